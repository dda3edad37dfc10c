// SPDX-License-Identifier: Apache-2.0
// The verbs about images: import in a jail, admission by root, lists, removal.
#include <fcntl.h>
#include <sys/stat.h>

#include <utility>

#include "daemon/launcher/supervisor.hpp"
#include "daemon/launcher/tasks.hpp"

namespace recap::launcher {

namespace {

constexpr std::uint64_t kImportTimeoutUsec = 600ull * 1000000;
constexpr unsigned kMaxImports = 2;  // at once: each may fill its share of memory and disk

// What recap-unpack says of an image: a plain file, or it is not handed on.
UniqueFd openAnswer(int incoming, const std::string& folder) {
    UniqueFd answer(::openat(incoming, (folder + "/answer.json").c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat info {};
    if (!answer || ::fstat(answer.get(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_nlink != 1) return {};
    return answer;
}

}  // namespace

void Supervisor::discard(const std::string& folder) {
    const int incoming = setup_.store.incomingFd();
    static_cast<void>(runTask(
        loop_, kImportTimeoutUsec, {incoming},
        [incoming, folder] {
            Store::removeIncoming(incoming, folder);
            return 0;
        },
        [](TaskResult) {}));
}

void Supervisor::importImage(Request request) {
    std::vector<UniqueFd> given = std::exchange(request.message.fds, {});
    const auto started = startImport(request, given);
    closing_.takeFiles(given);
    if (!started) refuse(request, started.error());
}

Result<void> Supervisor::startImport(const Request& request, const std::vector<UniqueFd>& given) {
    if (given.size() != 1) return fail(Errc::InvalidArgument, "IMPORT takes one descriptor, of an archive or an OCI layout folder");
    if (imports_ >= kMaxImports) return fail(Errc::Busy, std::to_string(imports_) + " imports are under way; try again when one has ended");
    std::string folder;
    auto staging = setup_.store.makeIncoming(folder);
    if (!staging) return forward(std::move(staging));
    const std::string program = setup_.helpers + "/recap-unpack";
    const auto shared = std::make_shared<Request>(Request{request.client, request.clientId, request.header, {}, request.received});
    const int archive = given[0].get();
    const int dir = staging->get();
    auto started = runTask(
        loop_, kImportTimeoutUsec, {archive, dir}, [&program, archive, dir] { return executeHelper(program, {}, archive, -1, dir); },
        [this, shared, folder](TaskResult result) {
            --imports_;
            if (result.ok()) return adoptImage(std::move(*shared), folder);
            const std::string why = result.output.empty() ? "ended with wait status " + std::to_string(result.status) : result.output;
            journal_.write(Priority::Warning, kMessageRefused, "refused an image: " + why);
            discard(folder);
            refuse(*shared, {Errc::InvalidArgument, "recap-unpack: " + why});
        });
    if (started)
        ++imports_;
    else
        discard(folder);
    return started;
}

void Supervisor::adoptImage(Request request, const std::string& folder) {
    auto shared = std::make_shared<Request>(std::move(request));
    // Renames and a sync of the file system: in a child, whose answer comes through its descriptor 2.
    auto started = runTask(
        loop_, kImportTimeoutUsec, setup_.store.descriptors(),
        [this, folder] {
            auto digest = setup_.store.adopt(folder);
            const std::string& text = digest ? *digest : digest.error().message;
            return ::write(2, text.data(), text.size()) > 0 && digest ? 0 : 1;
        },
        [this, shared, folder](TaskResult result) {
            if (!result.ok()) {
                discard(folder);
                return refuse(*shared, {Errc::Io, result.output});
            }
            UniqueFd answer = openAnswer(setup_.store.incomingFd(), folder);
            journal_.write(Priority::Notice, kMessageImport, "imported image sha256:" + result.output,
                           {{"RECAP_IMAGE_DIGEST", result.output}});
            discard(folder);
            std::vector<UniqueFd> fds;
            if (answer) fds.push_back(std::move(answer));
            reply(*shared, ImageRef{result.output}, std::move(fds));
        });
    if (!started) refuse(*shared, started.error());
}

void Supervisor::admitImage(Request request) {
    auto body = decode<ImageRef>(request.message.bytes);
    if (!body) return refuse(request, body.error());
    auto admitted = setup_.store.admit(body->digest);
    if (!admitted) return refuse(request, admitted.error());
    journal_.write(Priority::Notice, kMessageAdmit, "admitted image sha256:" + body->digest, {{"RECAP_IMAGE_DIGEST", body->digest}});
    reply(request, Empty{});
}

void Supervisor::removeImage(Request request) {
    auto body = decode<ImageRef>(request.message.bytes);
    if (!body) return refuse(request, body.error());
    for (const auto& [id, run] : runs_)
        if (!run->finished() && run->plan().imageDigest == body->digest)
            return refuse(request, {Errc::Busy, "run " + id + " uses the image"});
    auto folder = setup_.store.retire(body->digest);
    if (!folder) return refuse(request, folder.error());
    discard(*folder);
    reply(request, Empty{});
}

void Supervisor::listImages(Request request) {
    auto body = decode<ImageRef>(request.message.bytes);
    if (!body) return refuse(request, body.error());
    ImageList list;
    for (auto& image : setup_.store.list(body->digest, kListPage)) list.images.push_back({std::move(image.record.digest), image.admitted});
    reply(request, list);
}

}  // namespace recap::launcher
