// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "sdk/client/private.hpp"

namespace recap::client {

namespace {

// "/org/recap1/run/ID"; ids are ULIDs, which people may also type in lower case.
Result<std::string> objectPath(const std::string& kind, std::string_view id) {
    const bool plain = std::ranges::all_of(id, [](unsigned char c) { return std::isalnum(c) && c < 128; });
    if (id.empty() || !plain) return fail(Errc::NotFound, "no " + kind + " '" + std::string(id) + "': an id is 26 letters and digits");
    std::string path = std::string(kRoot) + "/" + kind + "/";
    for (const char c : id) path += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return path;
}

// A call on the object of a run or a batch; that there is no such object is said in words of ours.
template <class... Args>
Result<MessagePtr> onObject(Bus& bus, bool interactive, const std::string& kind, const char* interface, const std::string& id,
                            const char* member, const Args&... args) {
    auto path = objectPath(kind, id);
    if (!path) return forward(std::move(path));
    auto reply = bus.call({path->c_str(), interface, member, kAskTimeout, interactive}, args...);
    // sd-bus's words, in recapd but not of it: there is no such object.
    if (!reply && reply.error().message.starts_with("Unknown "))
        reply.error() = {Errc::NotFound, "no " + kind + " '" + id + "' at hand: it is, from its start until ten minutes after its end"};
    return reply;
}

template <class... Args>
Result<MessagePtr> onRun(Bus& bus, bool interactive, const std::string& run, const char* member, const Args&... args) {
    return onObject(bus, interactive, "run", kRun, run, member, args...);
}

}  // namespace

Client::Client(std::unique_ptr<Private> d) : d_(std::move(d)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

Result<Client> Client::connect() {
    auto bus = Bus::open();
    if (!bus) return forward(std::move(bus));
    return Client(std::make_unique<Private>(std::move(*bus)));
}

void Client::setInteractive(bool interactive) { d_->interactive = interactive; }

Result<std::string> Client::runSelected(const std::string& capsule, const Dict& selector, const Strings& args, const Dict& options) {
    Dict all = options;
    if (d_->interactive) all.set("interactive", true);
    return take<std::string>(d_->bus.call(d_->manager("RunSelected", kAskTimeout), capsule, selector, args, all));
}

Result<Dict> Client::plan(const std::string& capsule, const std::string& target, const Strings& args, const Dict& options) {
    Dict all = options;
    if (d_->interactive) all.set("interactive", true);
    return take<Dict>(d_->bus.call(d_->manager("Plan", kAskTimeout), capsule, target, args, all));
}

Result<Rows> Client::targets(const Dict& filter) { return take<Rows>(d_->bus.call(d_->manager("ListTargets"), filter, Dict{})); }
Result<Rows> Client::capsules() { return take<Rows>(d_->bus.call(d_->manager("ListCapsules"), Dict{})); }
Result<Rows> Client::images() { return take<Rows>(d_->bus.call(d_->manager("ListImages"), Dict{})); }
Result<Rows> Client::backends() { return take<Rows>(d_->bus.call(d_->manager("ListBackends"), Dict{})); }
Result<Rows> Client::policies() { return take<Rows>(d_->bus.call(d_->manager("ListPolicies"), Dict{})); }
Result<Rows> Client::schedule() { return take<Rows>(d_->bus.call(d_->manager("ListSchedule"), Dict{})); }
Result<Rows> Client::doctor() { return take<Rows>(d_->bus.call(d_->manager("Doctor"), Dict{})); }

Result<RunPage> Client::runs(const Dict& filter, const Dict& options) {
    auto reply = d_->bus.call(d_->manager("ListRuns"), filter, options);
    if (!reply) return forward(std::move(reply));
    RunPage page;
    DBusMessageIter at;
    dbus_message_iter_init(reply->get(), &at);
    if (!read(&at, page.runs) || !read(&at, page.next)) return unexpectedTypes("recapd's answer to ListRuns", reply->get());
    return page;
}

Result<std::string> Client::installCapsule(const std::string& toml, bool replace) {
    if (toml.find('\0') != std::string::npos) return fail(Errc::InvalidArgument, "the manifest has a zero byte in it: not TOML");
    Dict options = d_->asking();
    if (replace) options.set("replace", true);
    return take<std::string>(d_->bus.call(d_->manager("InstallCapsule", kAskTimeout), toml, options));
}
Result<std::string> Client::runScheduled(const std::string& capsule) {
    return take<std::string>(d_->bus.call(d_->manager("RunScheduled", kAskTimeout), capsule, d_->asking()));
}
Result<void> Client::removeCapsule(const std::string& name) {
    return takeNothing(d_->bus.call(d_->manager("RemoveCapsule", kAskTimeout), name, d_->asking()));
}
Result<void> Client::enableCapsule(const std::string& name) {
    return takeNothing(d_->bus.call(d_->manager("EnableCapsule", kAskTimeout), name, d_->asking()));
}
Result<void> Client::disableCapsule(const std::string& name) {
    return takeNothing(d_->bus.call(d_->manager("DisableCapsule", kAskTimeout), name, d_->asking()));
}

Result<std::string> Client::importImage(int archive, const Dict& options) {
    Dict all = d_->asking();
    for (const auto& [key, value] : options) all.set(key, value);
    return take<std::string>(d_->bus.call(d_->manager("ImportImage", kNoTimeout), BorrowedFd{archive}, all));
}
Result<std::string> Client::importImageFrom(const std::string& reference, const Dict& options) {
    Dict all = d_->asking();
    for (const auto& [key, value] : options) all.set(key, value);
    return take<std::string>(d_->bus.call(d_->manager("ImportImageFrom", kNoTimeout), reference, all));
}
Result<void> Client::removeImage(const std::string& image) {
    return takeNothing(d_->bus.call(d_->manager("RemoveImage", kAskTimeout), image, d_->asking()));
}
Result<void> Client::scanImage(const std::string& image) {
    return takeNothing(d_->bus.call(d_->manager("ScanImage", kNoTimeout), image, d_->asking()));
}
Result<void> Client::reload() { return takeNothing(d_->bus.call(d_->manager("Reload", kAskTimeout), d_->asking())); }

Result<Dict> Client::details(const std::string& run) {
    return take<Dict>(onRun(d_->bus, d_->interactive, run, "GetDetails", d_->asking()));
}

Result<OutputChunk> Client::output(const std::string& run, const std::string& stream, std::uint64_t offset, std::uint32_t max) {
    auto reply = onRun(d_->bus, d_->interactive, run, "GetOutput", stream, offset, max, d_->asking());
    if (!reply) return forward(std::move(reply));
    OutputChunk chunk;
    DBusMessageIter at;
    dbus_message_iter_init(reply->get(), &at);
    if (!read(&at, chunk.data) || !read(&at, chunk.end)) return unexpectedTypes("recapd's answer to GetOutput", reply->get());
    return chunk;
}

Result<UniqueFd> Client::openOutput(const std::string& run, const std::string& stream) {
    Dict options = d_->asking();
    options.set("stream", stream);
    return takeFd(onRun(d_->bus, d_->interactive, run, "OpenOutput", options));
}
Result<Rows> Client::artifacts(const std::string& run) {
    return take<Rows>(onRun(d_->bus, d_->interactive, run, "ListArtifacts", d_->asking()));
}
Result<UniqueFd> Client::openArtifact(const std::string& run, const std::string& name) {
    return takeFd(onRun(d_->bus, d_->interactive, run, "OpenArtifact", name, d_->asking()));
}
Result<void> Client::stop(const std::string& run, std::chrono::seconds grace) {
    const auto seconds = static_cast<std::uint32_t>(grace.count());
    return takeNothing(onRun(d_->bus, d_->interactive, run, "Stop", seconds, d_->asking()));
}
Result<void> Client::stopBatch(const std::string& id, std::chrono::seconds grace) {
    const auto seconds = static_cast<std::uint32_t>(grace.count());
    return takeNothing(onObject(d_->bus, d_->interactive, "batch", kBatch, id, "Stop", seconds, d_->asking()));
}
Result<void> Client::kill(const std::string& run) { return takeNothing(onRun(d_->bus, d_->interactive, run, "Kill", d_->asking())); }
Result<void> Client::detach(const std::string& run) { return takeNothing(onRun(d_->bus, d_->interactive, run, "Detach", d_->asking())); }

Result<Run> Client::attach(const std::string& run, const AttachOptions& wanted, Attachment& into) {
    if (auto watching = d_->watch(); !watching) return forward(std::move(watching));  // first: its end may come with the answer
    Dict options = d_->asking();
    if (wanted.takeOver) options.set("take-over", true);
    if (wanted.replay > 0) options.set("replay", wanted.replay);
    auto reply = onRun(d_->bus, d_->interactive, run, "Attach", options);
    if (!reply) return forward(std::move(reply));
    DBusMessageIter at;
    dbus_message_iter_init(reply->get(), &at);
    for (UniqueFd* end : {&into.standardInput, &into.standardOutput, &into.standardError}) {
        if (dbus_message_iter_get_arg_type(&at) != DBUS_TYPE_UNIX_FD) return unexpectedTypes("recapd's answer to Attach", reply->get());
        int own = -1;
        dbus_message_iter_get_basic(&at, &own);  // a duplicate
        if (own < 0) return failErrno("recapd's descriptor");
        *end = UniqueFd(own);
        dbus_message_iter_next(&at);
    }
    return Run(d_->follow(*objectPath("run", run), reply->get()));
}

}  // namespace recap::client
