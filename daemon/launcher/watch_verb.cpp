// SPDX-License-Identifier: Apache-2.0
// WATCH and UNWATCH: what is checked before anything is opened, and who has what.
#include "daemon/launcher/checks.hpp"
#include "daemon/launcher/supervisor.hpp"

namespace recap::launcher {

namespace {

std::string_view kindOf(const WatchRequest& watch) {
    constexpr std::string_view kinds[] = {"oom", "pressure", "file"};
    return kinds[static_cast<std::size_t>(watch.kind)];
}

}  // namespace

Result<WatchJob> Supervisor::checkedWatch(Request& request) {
    auto what = decode<WatchRequest>(request.message.bytes);
    if (!what) return forward(std::move(what));
    if (request.message.fds.size() != 1) return fail(Errc::InvalidArgument, "WATCH takes one pidfd");
    if (auto checked = checkWatch(*what, setup_.ceiling); !checked) return forward(std::move(checked));
    UniqueFd pidfd = std::move(request.message.fds[0]);
    auto facts = inspect(setup_.procfs, setup_.host, pidfd.get(), false);
    if (!facts) return forward(std::move(facts));
    if (isOurs(*facts, setup_.ownMounts, setup_.cgroups.capsulesPrefix()))
        return fail(Errc::Denied, "process " + std::to_string(facts->pid) + " is RECap's own");
    if (auto checked = checkWatched(*what, *facts, setup_.host); !checked) return forward(std::move(checked));
    const FolderId root{facts->rootDevice, facts->rootInode};
    return WatchJob{{facts->pid, facts->startTime}, std::move(*what), std::move(pidfd), root, setup_.peerUid, request.clientId, {}};
}

void Supervisor::watchTarget(Request request) {
    auto job = checkedWatch(request);
    if (!job) return refuseWatch(request, job.error());
    const auto id = watches_.add(request.clientId, job->target);
    if (!id) return refuseWatch(request, id.error());
    const std::string target = job->what.target, kind(kindOf(job->what));
    journal_.write(Priority::Info, kMessageWatch,
                   "WATCH " + kind + (job->what.path.empty() ? "" : " " + job->what.path.substr(0, 256)) + " of " + target,
                   {{"RECAP_TARGET", target}, {"RECAP_WATCH", kind}, {"RECAP_RECORD", "WATCH"}});
    const auto shared = std::make_shared<Request>(Request{request.client, request.clientId, request.header, {}, request.received});
    job->done = [this, shared, id = *id](Result<OpenedWatch> opened) {
        // Who asked may have gone meanwhile, and what it had with it.
        if (!opened || !watches_.has(id)) {
            watches_.remove(shared->clientId, id);
            return refuse(*shared, opened ? Error{Errc::Unavailable, "the asker has gone"} : opened.error());
        }
        opened->what.id = id;
        std::vector<UniqueFd> fds;
        fds.push_back(std::move(opened->fd));
        reply(*shared, opened->what, std::move(fds));
    };
    opener_.open(std::move(*job));
}

void Supervisor::refuseWatch(const Request& request, const Error& error) {
    journal_.refused("REFUSED watch: " + error.message.substr(0, 4096), {{"RECAP_RECORD", "REFUSED"}}, monotonicUsec());
    refuse(request, error);
}

void Supervisor::unwatch(Request request) {
    auto body = decode<WatchRef>(request.message.bytes);
    if (!body) return refuse(request, body.error());
    if (!watches_.remove(request.clientId, body->id)) return refuse(request, {Errc::NotFound, "no watch " + std::to_string(body->id)});
    reply(request, Empty{});
}

}  // namespace recap::launcher
