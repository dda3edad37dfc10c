// SPDX-License-Identifier: Apache-2.0
// One run from the asking to its end, without a round trip that is not needed: the subscriptions and the call leave in one
// go, and RunFinished carries all that there is to say.
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <new>

#include "sdk/client/private.hpp"

namespace recap::client {

namespace {

constexpr const char* kFinishedRule =
    "type='signal',sender='org.recap1',path='/org/recap1',interface='org.recap1.Manager',member='RunFinished'";
constexpr const char* kOwnerRule =
    "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='org.recap1'";

std::uint64_t now() {
    timespec at{};
    ::clock_gettime(CLOCK_MONOTONIC, &at);
    return static_cast<std::uint64_t>(at.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(at.tv_nsec) / 1000;
}

MessagePtr addMatch(const char* rule) {
    MessagePtr message(dbus_message_new_method_call(DBUS_SERVICE_DBUS, DBUS_PATH_DBUS, DBUS_INTERFACE_DBUS, "AddMatch"));
    if (!message || !dbus_message_append_args(message.get(), DBUS_TYPE_STRING, &rule, DBUS_TYPE_INVALID)) throw std::bad_alloc();
    dbus_message_set_no_reply(message.get(), true);
    return message;
}

Dict runOptions(const RunRequest& request) {
    Dict options;
    if (request.standardInput >= 0) options.set("stdin", BorrowedFd{request.standardInput});
    if (request.standardOutput >= 0) options.set("stdout", BorrowedFd{request.standardOutput});
    if (request.standardError >= 0) options.set("stderr", BorrowedFd{request.standardError});
    if (request.tty) options.set("tty", *request.tty);
    if (request.rows > 0) options.set("rows", request.rows);
    if (request.columns > 0) options.set("columns", request.columns);
    if (request.openInput) options.set("open-stdin", true);
    if (request.timeout.count() > 0) options.set("timeout", static_cast<std::uint64_t>(request.timeout.count()));
    if (request.endsWithCaller) options.set("lifetime", "caller");
    for (const auto& [key, word] : request.adjustments) options.set(key, word);
    if (request.interactive) options.set("interactive", true);
    return options;
}

bool from(DBusMessage* message, std::string_view sender) {
    const char* actual = dbus_message_get_sender(message);
    return actual && sender == actual;
}

// Somebody takes this for a service.
void refuse(Bus& bus, DBusMessage* call) {
    if (dbus_message_get_no_reply(call)) return;
    if (MessagePtr error{dbus_message_new_error(call, DBUS_ERROR_UNKNOWN_METHOD, "this is a client of recapd, and has no methods")})
        (void)bus.send(std::move(error));
}

}  // namespace

const std::string& Run::path() const { return state_->path; }
std::string Run::id() const { return state_->path.substr(state_->path.rfind('/') + 1); }
bool Run::ended() const { return state_->settled(); }
const RunEnd* Run::end() const { return state_->end ? &*state_->end : nullptr; }
const Error* Run::failure() const { return state_->failure ? &*state_->failure : nullptr; }

Result<void> Client::Private::subscribe(const std::string& rule) {
    if (auto sent = bus.send(addMatch(rule.c_str())); !sent) return forward(std::move(sent));
    return {};
}

Result<void> Client::Private::watchOwner() {
    if (watchingOwner) return {};
    if (auto subscribed = subscribe(kOwnerRule); !subscribed) return subscribed;
    watchingOwner = true;
    return {};
}

Result<void> Client::Private::watch() {
    if (watching) return {};
    if (auto subscribed = subscribe(kFinishedRule); !subscribed) return subscribed;
    if (auto subscribed = watchOwner(); !subscribed) return subscribed;
    watching = true;
    return {};
}

Result<void> Client::Private::start(const RunRequest& request, const std::shared_ptr<Run::State>& state) {
    Method method = manager("Run", kAskTimeout);
    method.interactive = request.interactive;
    auto call = newCall(method, request.capsule, request.target, request.args, runOptions(request));
    if (!call) return forward(std::move(call));
    if (auto subscribed = watch(); !subscribed) return subscribed;
    auto serial = bus.send(std::move(*call));
    if (!serial) return forward(std::move(serial));
    pending.push_back({*serial, now() + std::uint64_t{kAskTimeout} * 1000, state});
    return {};
}

void Client::Private::handle(DBusMessage* message) {
    const int type = dbus_message_get_type(message);
    if (type == DBUS_MESSAGE_TYPE_METHOD_CALL) return refuse(bus, message);
    if (type == DBUS_MESSAGE_TYPE_SIGNAL) {
        if (dbus_message_is_signal(message, kManager, "RunFinished")) finished(message);
        if (dbus_message_is_signal(message, DBUS_INTERFACE_DBUS, "NameOwnerChanged")) ownerChanged(message);
        if (!batches.empty()) ofBatch(message);
        if (listening) keep(message);
        return;
    }
    const auto answered = std::ranges::find(pending, dbus_message_get_reply_serial(message), &Pending::serial);
    if (answered == pending.end()) return;
    const auto state = std::move(answered->state);
    pending.erase(answered);
    accepted(state, message);
}

void Client::Private::accepted(const std::shared_ptr<Run::State>& state, DBusMessage* reply) {
    auto path = take<std::string>(dbus_message_get_type(reply) == DBUS_MESSAGE_TYPE_ERROR
                                      ? Result<MessagePtr>(tl::unexpected(toError(reply)))
                                      : Result<MessagePtr>(MessagePtr(dbus_message_ref(reply))));
    if (path && !dbus_validate_path(path->c_str(), nullptr))
        path = fail(Errc::Io, "recapd's answer to Run is no object path: '" + *path + "'");
    if (!path) {
        state->failure = std::move(path.error());
        return;
    }
    state->path = std::move(*path);
    if (const char* sender = dbus_message_get_sender(reply)) owner = sender;
    open.push_back(state);
    if (state->killLater) return tell(kRun, state->path, "Kill", nullptr);
    if (!state->stopLater) return;
    const auto grace = static_cast<std::uint32_t>(state->stopLater->count());
    tell(kRun, state->path, "Stop", &grace);
}

// One that was started by somebody else.
std::shared_ptr<Run::State> Client::Private::follow(const std::string& path, DBusMessage* reply) {
    auto state = std::make_shared<Run::State>();
    state->path = path;
    if (const char* sender = dbus_message_get_sender(reply)) owner = sender;
    open.push_back(state);
    return state;
}

void Client::Private::finished(DBusMessage* signal) {
    if (!from(signal, owner)) return;
    std::string path;
    RunEnd end;
    DBusMessageIter at;
    dbus_message_iter_init(signal, &at);
    if (!read(&at, path)) return;
    const bool whole = read(&at, end.outcome) && read(&at, end.exitCode) && read(&at, end.details);
    std::erase_if(open, [&](const auto& state) {
        if (state->path != path) return false;
        if (whole)
            state->end = end;
        else
            state->failure = unexpectedTypes("recapd's RunFinished", signal).value();
        return true;
    });
}

void Client::Private::ownerChanged(DBusMessage* signal) {
    std::string which, before, after;
    DBusMessageIter at;
    dbus_message_iter_init(signal, &at);
    if (!from(signal, DBUS_SERVICE_DBUS) || !read(&at, which) || !read(&at, before) || !read(&at, after)) return;
    if (which != kService) return;
    const bool gone = !owner.empty() && before == owner;
    if (listening) keepOwner(after);
    if (!gone) return;
    // Not the calls under way: the bus answers them where recapd does not, and the next recapd may have them already.
    const Error why{Errc::Unavailable, "recapd went away while the run was under way; the next recapd knows what became of it"};
    for (const auto& state : std::exchange(open, {})) state->failure = why;
    for (const auto& state : std::exchange(batches, {}))
        state->failure = Error{Errc::Unavailable,
                               "recapd went away while the batch was under way, and starts no more of its runs; the next "
                               "recapd knows what became of the others (recapctl runs)"};
}

bool Client::Private::expire() {
    if (pending.empty()) return false;
    const std::uint64_t at = now();
    return std::erase_if(pending, [&](const Pending& call) {
               if (call.deadline > at) return false;
               call.state->failure = Error{Errc::Timeout, "Run: recapd did not answer in time"};
               return true;
           }) > 0;
}

void Client::Private::failAll(const Error& why) {
    for (const auto& state : std::exchange(open, {})) state->failure = why;
    for (const auto& call : std::exchange(pending, {})) call.state->failure = why;
    for (const auto& state : std::exchange(batches, {})) state->failure = why;
}

void Client::Private::tell(const char* interface, const std::string& path, const char* member, const std::uint32_t* grace) {
    const Method method{path.c_str(), interface, member};
    auto call = grace ? newCall(method, *grace, Dict{}) : newCall(method, Dict{});
    if (!call) return;
    dbus_message_set_no_reply(call->get(), true);
    (void)bus.send(std::move(*call));
}

Run Client::run(const RunRequest& request) {
    auto state = std::make_shared<Run::State>();
    if (auto queued = d_->start(request, state); !queued) state->failure = queued.error();
    return Run(state);
}

void Client::stop(const Run& run, std::chrono::seconds grace) {
    const auto seconds = static_cast<std::uint32_t>(grace.count());
    if (run.accepted())
        d_->tell(kRun, run.path(), "Stop", &seconds);
    else
        run.state_->stopLater = grace;
}

void Client::kill(const Run& run) {
    if (run.accepted())
        d_->tell(kRun, run.path(), "Kill", nullptr);
    else
        run.state_->killLater = true;
}

void Client::resize(const Run& run, std::uint32_t rows, std::uint32_t columns) {
    if (!run.accepted()) return;
    auto call = newCall({run.path().c_str(), kRun, "Resize"}, rows, columns, Dict{});
    if (!call) return;
    dbus_message_set_no_reply(call->get(), true);
    (void)d_->bus.send(std::move(*call));
}

int Client::fd() const { return d_->bus.fd(); }

short Client::events() const { return static_cast<short>(POLLIN | (d_->bus.hasUnsent() ? POLLOUT : 0)); }

std::uint64_t Client::deadline() const {
    if (d_->bus.hasMessage() || !d_->bus.connected()) return 0;
    std::uint64_t earliest = UINT64_MAX;
    for (const auto& call : d_->pending) earliest = std::min(earliest, call.deadline);
    return earliest;
}

Result<bool> Client::pump() {
    if (const MessagePtr message = d_->bus.next()) {
        d_->handle(message.get());
        return true;
    }
    if (d_->expire()) return true;
    if (d_->bus.connected()) return false;
    const Error why = d_->bus.closed();
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
    pollfd ready{fd(), events(), 0};
    const std::uint64_t until = deadline(), at = now(), left = until > at ? until - at : 0;
    const timespec timeout{static_cast<time_t>(left / 1'000'000), static_cast<long>(left % 1'000'000 * 1000)};
    if (::ppoll(&ready, 1, until == UINT64_MAX ? nullptr : &timeout, nullptr) < 0 && errno != EINTR) return failErrno("the bus");
    return {};
}

}  // namespace recap::client
