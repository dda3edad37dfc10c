// SPDX-License-Identifier: Apache-2.0
// One run from the asking to its end, without a round trip that is not needed: the subscriptions and the call leave in one
// go, and RunFinished carries all that there is to say.
#include <cstring>

#include "sdk/client/private.hpp"

namespace recap::client {

namespace {

constexpr const char* kFinishedRule =
    "type='signal',sender='org.recap1',path='/org/recap1',interface='org.recap1.Manager',member='RunFinished'";
constexpr const char* kOwnerRule =
    "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='org.recap1'";

int addMatch(sd_bus* bus, const char* rule) {
    sd_bus_message* raw = nullptr;
    int r = sd_bus_message_new_method_call(bus, &raw, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch");
    MessagePtr message(raw);
    if (r >= 0) r = sd_bus_message_append_basic(raw, 's', rule);
    if (r >= 0) r = sd_bus_message_set_expect_reply(raw, 0);
    return r < 0 ? r : sd_bus_send(bus, raw, nullptr);
}

Dict runOptions(const RunRequest& request) {
    Dict options;
    if (request.standardInput >= 0) options.set("stdin", BorrowedFd{request.standardInput});
    if (request.standardOutput >= 0) options.set("stdout", BorrowedFd{request.standardOutput});
    if (request.standardError >= 0) options.set("stderr", BorrowedFd{request.standardError});
    if (request.timeout.count() > 0) options.set("timeout", static_cast<std::uint64_t>(request.timeout.count()));
    if (request.endsWithCaller) options.set("lifetime", "caller");
    if (request.interactive) options.set("interactive", true);
    return options;
}

bool from(sd_bus_message* message, std::string_view sender) {
    const char* actual = sd_bus_message_get_sender(message);
    return actual && sender == actual;
}

}  // namespace

const std::string& Run::path() const {
    return state_->path;
}
std::string Run::id() const {
    return state_->path.substr(state_->path.rfind('/') + 1);
}
bool Run::ended() const {
    return state_->settled();
}
const RunEnd* Run::end() const {
    return state_->end ? &*state_->end : nullptr;
}
const Error* Run::failure() const {
    return state_->failure ? &*state_->failure : nullptr;
}

int Client::Private::watch() {
    if (watching) return 0;
    const auto onMessage = [](sd_bus_message* message, void* self, sd_bus_error*) {
        auto* client = static_cast<Private*>(self);
        if (sd_bus_message_is_signal(message, kManager, "RunFinished"))
            client->finished(message);
        else if (sd_bus_message_is_signal(message, "org.freedesktop.DBus", "NameOwnerChanged"))
            client->ownerChanged(message);
        return 0;
    };
    int r = sd_bus_add_filter(bus.get(), nullptr, onMessage, this);
    if (r >= 0) r = addMatch(bus.get(), kFinishedRule);
    if (r >= 0) r = addMatch(bus.get(), kOwnerRule);
    watching = r >= 0;
    return r;
}

Result<void> Client::Private::start(const RunRequest& request, const std::shared_ptr<Run::State>& state) {
    if (const int r = watch(); r < 0) return tl::unexpected(toError(r, "subscribing to RunFinished"));
    Method method = manager("Run", kAskTimeout);
    method.interactive = request.interactive;
    auto call = newCall(bus.get(), method);
    if (!call) return forward(std::move(call));
    int r = append(call->get(), request.capsule);
    if (r >= 0) r = append(call->get(), request.target);
    if (r >= 0) r = append(call->get(), request.args);
    if (r >= 0) r = append(call->get(), runOptions(request));
    if (r < 0) return tl::unexpected(toError(r, "Run"));
    const auto onReply = [](sd_bus_message* reply, void* which, sd_bus_error*) {
        auto* pendingCall = static_cast<Pending*>(which);
        pendingCall->client->accepted(*pendingCall, reply);
        return 0;
    };
    Pending& waiting = pending.emplace_back(Pending{this, state});
    r = sd_bus_call_async(bus.get(), nullptr, call->get(), onReply, &waiting, method.timeout);
    if (r >= 0) return {};
    pending.pop_back();
    return tl::unexpected(toError(r, "Run"));
}

void Client::Private::accepted(Pending& call, sd_bus_message* reply) {
    const auto state = call.state;
    pending.remove_if([&](const Pending& one) { return &one == &call; });
    if (const sd_bus_error* error = sd_bus_message_get_error(reply)) {
        state->failure = toError(*error);
        return;
    }
    if (const int r = read(reply, state->path); r < 0) {
        state->failure = toError(r, "recapd's answer to Run");
        return;
    }
    if (const char* sender = sd_bus_message_get_sender(reply)) owner = sender;
    open.push_back(state);
    if (state->killLater) return tell(state->path, "Kill", nullptr);
    if (!state->stopLater) return;
    const auto grace = static_cast<std::uint32_t>(state->stopLater->count());
    tell(state->path, "Stop", &grace);
}

void Client::Private::finished(sd_bus_message* signal) {
    if (!from(signal, owner)) return;
    std::string path, outcome;
    std::int32_t code = 0;
    Dict details;
    int r = read(signal, path);
    if (r >= 0) r = read(signal, outcome);
    if (r >= 0) r = sd_bus_message_read_basic(signal, 'i', &code);
    if (r >= 0) r = read(signal, details);
    std::erase_if(open, [&](const auto& state) {
        if (state->path != path) return false;
        if (r < 0)
            state->failure = toError(r, "RunFinished");
        else
            state->end = RunEnd{outcome, code, details};
        return true;
    });
}

void Client::Private::ownerChanged(sd_bus_message* signal) {
    std::string which, before;
    if (!from(signal, "org.freedesktop.DBus") || read(signal, which) < 0 || read(signal, before) < 0) return;
    if (which == kService && !owner.empty() && before == owner)
        failAll({Errc::Unavailable, "recapd went away while the run was under way; the next recapd knows what became of it"});
}

void Client::Private::failAll(const Error& why) {
    for (const auto& state : open) state->failure = why;
    open.clear();
    for (const auto& call : pending) call.state->failure = why;
}

void Client::Private::tell(const std::string& path, const char* member, const std::uint32_t* grace) {
    auto call = newCall(bus.get(), {path.c_str(), kRun, member});
    if (!call) return;
    int r = grace ? append(call->get(), *grace) : 0;
    if (r >= 0) r = append(call->get(), Dict{});
    if (r >= 0) r = sd_bus_message_set_expect_reply(call->get(), 0);
    if (r >= 0) sd_bus_send(bus.get(), call->get(), nullptr);
}

Run Client::run(const RunRequest& request) {
    auto state = std::make_shared<Run::State>();
    if (auto queued = d_->start(request, state); !queued) state->failure = queued.error();
    return Run(state);
}

void Client::stop(const Run& run, std::chrono::seconds grace) {
    const auto seconds = static_cast<std::uint32_t>(grace.count());
    if (run.accepted())
        d_->tell(run.path(), "Stop", &seconds);
    else
        run.state_->stopLater = grace;
}

void Client::kill(const Run& run) {
    if (run.accepted())
        d_->tell(run.path(), "Kill", nullptr);
    else
        run.state_->killLater = true;
}

int Client::fd() const {
    return sd_bus_get_fd(d_->bus.get());
}

short Client::events() const {
    const int events = sd_bus_get_events(d_->bus.get());
    return static_cast<short>(events < 0 ? 0 : events);
}

std::uint64_t Client::deadline() const {
    std::uint64_t deadline = UINT64_MAX;
    return sd_bus_get_timeout(d_->bus.get(), &deadline) < 0 ? UINT64_MAX : deadline;
}

Result<bool> Client::pump() {
    const int r = sd_bus_process(d_->bus.get(), nullptr);
    if (r >= 0) return r > 0;
    const Error why = toError(r, "the bus");
    d_->failAll(why);
    return tl::unexpected(why);
}

Result<void> Client::wait() {
    bool any = false;
    for (;;) {
        auto more = pump();
        if (!more) return forward(std::move(more));
        if (!*more) break;
        any = true;
    }
    if (any) return {};  // the caller looks at what has changed before anybody waits
    if (const int r = sd_bus_wait(d_->bus.get(), UINT64_MAX); r < 0 && r != -EINTR) return tl::unexpected(toError(r, "the bus"));
    return {};
}

}  // namespace recap::client
