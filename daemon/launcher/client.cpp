// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/client.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "daemon/core/event.hpp"
#include "daemon/launcher/codec.hpp"

namespace recap {

using launcher::Empty;
using launcher::Message;
using launcher::Verb;

namespace {

constexpr std::uint64_t kFirstBackoffUsec = 50'000;
constexpr std::uint64_t kLongestBackoffUsec = 5'000'000;
constexpr int kMessagesATurn = 32;  // then other sources of the loop have their turn

std::vector<UniqueFd> one(int fd) {
    std::vector<UniqueFd> fds;
    fds.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
    return fds;
}

// The reply's only descriptor; an absent one is an empty UniqueFd.
Result<UniqueFd> descriptorOf(Result<Message> message) {
    if (!message) return forward(std::move(message));
    auto body = launcher::decodeReply<Empty>(message->bytes);
    if (!body) return forward(std::move(body));
    return message->fds.empty() ? UniqueFd{} : std::move(message->fds[0]);
}

Result<void> nothingOf(Result<Message> message) {
    if (!message) return forward(std::move(message));
    auto body = launcher::decodeReply<Empty>(message->bytes);
    if (!body) return forward(std::move(body));
    return {};
}

template <class T>
Result<T> bodyOf(Result<Message> message) {
    if (!message) return forward(std::move(message));
    return launcher::decodeReply<T>(message->bytes);
}

}  // namespace

LauncherClient::LauncherClient(sd_event* loop, std::string socketPath, LaunchEvents& events, LauncherPatience patience)
    : loop_(sd_event_ref(loop)), path_(std::move(socketPath)), events_(events), patience_(patience), backoffUsec_(kFirstBackoffUsec) {
    sd_event_add_defer(loop_, &deferred_, onDeferred, this);
    sd_event_source_set_enabled(deferred_, SD_EVENT_OFF);
    sd_event_add_time_relative(loop_, &timer_, CLOCK_MONOTONIC, 0, 1000, onTimer, this);
    sd_event_source_set_enabled(timer_, SD_EVENT_OFF);
    sd_event_add_time(loop_, &dueTimer_, CLOCK_MONOTONIC, 0, 1000, onDueTimer, this);
    sd_event_source_set_enabled(dueTimer_, SD_EVENT_OFF);
}

LauncherClient::~LauncherClient() {
    for (auto* source : {io_, timer_, deferred_, dueTimer_}) sd_event_source_disable_unref(source);
    sd_event_unref(loop_);
}

void LauncherClient::connect() { tryConnect(); }

void LauncherClient::tryConnect() {
    socket_.reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.size() >= sizeof(address.sun_path)) return lose({Errc::InvalidArgument, "launcher socket path too long: " + path_});
    std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
    if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
        return lose({Errc::Unavailable, "recap-launcher is away: " + path_ + ": " + ::strerrordesc_np(errno)});
    sd_event_add_io(loop_, &io_, socket_.get(), EPOLLIN, onIoEvent, this);
    ask(Verb::Hello, launcher::Hello{}, {}, [this](Result<Message> message) {
        auto hello = bodyOf<launcher::Hello>(std::move(message));
        if (!hello) return lose(std::move(hello.error()));
        ready_ = true;
        learn(*hello);
        backoffUsec_ = kFirstBackoffUsec;
        events_.connected();
    });
}

void LauncherClient::learn(const launcher::Hello& hello) {
    features_ = hello.features;
    openFiles_ = hello.openFiles;
    hostNamespaces_ = hello.hostNamespaces;
}

void LauncherClient::lose(Error why) {
    if (io_ != nullptr) io_ = sd_event_source_disable_unref(io_);
    socket_.reset();
    const bool was = std::exchange(ready_, false);
    outgoing_.clear();
    auto waiting = std::exchange(waiting_, {});
    due_.clear();
    late_ = 0;
    armDue();
    for (auto& [sequence, request] : waiting) {
        if (request.handler) request.handler(fail(Errc::Unavailable, why.message));
    }
    if (was) events_.disconnected(std::move(why));
    retryLater();
}

void LauncherClient::retryLater() {
    sd_event_source_set_time_relative(timer_, backoffUsec_);
    sd_event_source_set_enabled(timer_, SD_EVENT_ONESHOT);
    backoffUsec_ = std::min(backoffUsec_ * 2, kLongestBackoffUsec);
}

int LauncherClient::onTimer(sd_event_source*, std::uint64_t, void* self) {
    static_cast<LauncherClient*>(self)->tryConnect();
    return 0;
}

int LauncherClient::onDeferred(sd_event_source*, void* self) {
    auto& client = *static_cast<LauncherClient*>(self);
    auto due = std::exchange(client.later_, {});
    for (auto& tell : due) tell();
    if (client.later_.empty()) sd_event_source_set_enabled(client.deferred_, SD_EVENT_OFF);
    return 0;
}

template <class Body>
void LauncherClient::ask(Verb verb, const Body& body, std::vector<UniqueFd> fds, Handler handler) {
    std::string bytes = launcher::encode(verb, sequence_ + 1, body);
    std::string why;
    if (!socket_ || (!ready_ && verb != Verb::Hello)) why = "recap-launcher is away: " + path_;
    if (bytes.size() > launcher::kMaxMessage)
        why = "a request of " + std::to_string(bytes.size()) + " bytes is too long for recap-launcher";
    if (!why.empty()) {
        const Errc code = bytes.size() > launcher::kMaxMessage ? Errc::LimitExceeded : Errc::Unavailable;
        return refuseLater(std::move(handler), code, std::move(why));
    }
    expect(++sequence_, {std::move(handler), verb, monotonicMicroseconds() + patienceFor(verb)});
    outgoing_.push_back({sequence_, std::move(bytes), std::move(fds)});
    if (outgoing_.size() == 1) flush();
}

void LauncherClient::refuseLater(Handler handler, Errc code, std::string why) {
    later_.push_back([code, why = std::move(why), handler = std::move(handler)] { handler(fail(code, why)); });
    sd_event_source_set_enabled(deferred_, SD_EVENT_ON);
}

std::uint64_t LauncherClient::patienceFor(Verb verb) const {
    if (verb == Verb::Import) return patience_.import;
    if (verb == Verb::Watch) return patience_.watch;
    return verb == Verb::Collect ? patience_.collect : patience_.usual;
}

void LauncherClient::expect(std::uint32_t sequence, Waiting waiting) {
    due_.emplace(waiting.due, sequence);
    waiting_[sequence] = std::move(waiting);
    armDue();
}

LauncherClient::Waiting LauncherClient::answered(std::uint32_t sequence) {
    auto found = waiting_.extract(sequence);
    if (found.empty()) return {};
    due_.erase({found.mapped().due, sequence});
    if (!found.mapped().handler) --late_;
    return std::move(found.mapped());
}

// The timer may be early where the first answer has come since: then it is set anew when it fires.
void LauncherClient::armDue() {
    if (due_.empty()) return;
    std::uint64_t armed = 0;
    int enabled = SD_EVENT_OFF;
    sd_event_source_get_enabled(dueTimer_, &enabled);
    sd_event_source_get_time(dueTimer_, &armed);
    if (enabled != SD_EVENT_OFF && armed <= due_.begin()->first) return;
    sd_event_source_set_time(dueTimer_, due_.begin()->first);
    sd_event_source_set_enabled(dueTimer_, SD_EVENT_ONESHOT);
}

int LauncherClient::onDueTimer(sd_event_source*, std::uint64_t, void* self) {
    static_cast<LauncherClient*>(self)->onDue();
    return 0;
}

// What has come already, while this process was not running perhaps, is not late.
void LauncherClient::onDue() {
    while (socket_ && readOne()) continue;
    const std::uint64_t now = monotonicMicroseconds();
    while (!due_.empty() && due_.begin()->first <= now) overdue(due_.begin()->second);
    armDue();
}

void LauncherClient::overdue(std::uint32_t sequence) {
    Waiting request = answered(sequence);
    if (!request.handler) return lose({Errc::Unavailable, "recap-launcher leaves requests unanswered"});
    const auto unsent = std::ranges::find(outgoing_, sequence, &Outgoing::sequence);
    if (unsent != outgoing_.end()) {
        outgoing_.erase(unsent);  // and never will be
    } else {
        ++late_;
        expect(sequence, {{}, request.verb, monotonicMicroseconds() + patience_.late});
    }
    const auto seconds = std::to_string(patienceFor(request.verb) / 1'000'000);
    request.handler(fail(Errc::Unavailable,
                         "recap-launcher has not answered within " + seconds + " s; whether it has done what was asked is not known"));
    if (late_ > patience_.mostLate) lose({Errc::Unavailable, "recap-launcher leaves " + std::to_string(late_) + " requests unanswered"});
}

void LauncherClient::flush() {
    while (!outgoing_.empty()) {
        std::vector<int> fds;
        for (const auto& fd : outgoing_.front().fds) fds.push_back(fd.get());
        auto sent = launcher::sendMessage(socket_.get(), outgoing_.front().bytes, fds);
        if (!sent && sent.error().code == Errc::Busy) return waitFor(EPOLLIN | EPOLLOUT);
        // A peer that is gone shows on the reading side, where everything that waits is told. What could not be sent for
        // another reason, a descriptor that could not be copied, will have no answer.
        if (!sent && sent.error().code != Errc::Unavailable) {
            auto unsent = answered(outgoing_.front().sequence);
            if (unsent.handler)
                refuseLater(std::move(unsent.handler), sent.error().code, "request to recap-launcher: " + sent.error().message);
        }
        outgoing_.pop_front();
    }
    waitFor(EPOLLIN);
}

void LauncherClient::waitFor(std::uint32_t events) {
    if (io_ != nullptr) sd_event_source_set_io_events(io_, events);
}

int LauncherClient::onIoEvent(sd_event_source*, int, std::uint32_t revents, void* self) {
    static_cast<LauncherClient*>(self)->onIo(revents);
    return 0;
}

void LauncherClient::onIo(std::uint32_t events) {
    if ((events & EPOLLOUT) != 0) flush();
    for (int i = 0; i < kMessagesATurn && socket_ && readOne(); ++i) continue;
}

bool LauncherClient::readOne() {
    auto message = launcher::receiveMessage(socket_.get());
    if (message) {
        dispatch(std::move(*message));
        return true;
    }
    if (message.error().code != Errc::Busy) lose(std::move(message.error()).in("recap-launcher"));
    return false;
}

void LauncherClient::dispatch(Message message) {
    auto header = launcher::decodeHeader(message.bytes);
    if (!header) return lose(std::move(header.error()).in("recap-launcher"));
    if (header->verb == Verb::Event) {
        auto event = launcher::decode<launcher::RunEvent>(message.bytes);
        if (!event) return lose(std::move(event.error()).in("recap-launcher"));
        RunReport report = fromProtocol(event->report);
        if (event->phase == launcher::RunPhase::Finished) return events_.ended(std::move(report));
        return events_.progressed(report.id, report.phases);
    }
    if (header->verb == Verb::Hello && header->sequence == 0) {
        if (const auto hello = bodyOf<launcher::Hello>(std::move(message))) learn(*hello);
        return;
    }
    auto request = answered(header->sequence);
    if (request.handler) return request.handler(std::move(message));
    if (request.verb == Verb::Watch) undo(message);
}

// Of a watch that nobody waits for any more: it would be counted until the connection ends.
void LauncherClient::undo(const Message& late) {
    if (const auto opened = launcher::decodeReply<launcher::Watched>(late.bytes)) unwatch(opened->id);
}

void LauncherClient::inspect(int pidfd, Reply<TargetFacts> reply) {
    ask(Verb::Inspect, Empty{}, one(pidfd), [reply = std::move(reply)](Result<Message> message) {
        auto facts = bodyOf<launcher::TargetFacts>(std::move(message));
        if (!facts) return reply(forward(std::move(facts)));
        reply(fromProtocol(*facts));
    });
}

void LauncherClient::start(const RunPlan& plan, Reply<UniqueFd> reply) {
    auto fds = one(plan.target.pidfd ? plan.target.pidfd->get() : -1);
    for (const auto& fd : plan.request.stdio)
        if (fd && *fd) fds.emplace_back(::fcntl(fd->get(), F_DUPFD_CLOEXEC, 3));
    ask(Verb::Start, toProtocol(plan), std::move(fds), [reply = std::move(reply)](Result<Message> message) {
        if (!message) return reply(forward(std::move(message)));
        auto body = launcher::decodeReply<launcher::Started>(message->bytes);
        if (!body) return reply(forward(std::move(body)));
        reply(message->fds.empty() ? UniqueFd{} : std::move(message->fds[0]));
    });
}

void LauncherClient::signal(const RunId& id, int signal, Reply<void> reply) {
    ask(Verb::Signal, launcher::SignalRequest{id, signal}, {},
        [reply = std::move(reply)](Result<Message> message) { reply(nothingOf(std::move(message))); });
}

void LauncherClient::stop(const RunId& id, std::chrono::microseconds grace, Reply<void> reply) {
    const auto usec = static_cast<std::uint64_t>(std::max<std::int64_t>(grace.count(), 0));
    ask(Verb::Stop, launcher::StopRequest{id, usec}, {},
        [reply = std::move(reply)](Result<Message> message) { reply(nothingOf(std::move(message))); });
}

void LauncherClient::attach(const RunId& id, const AttachOptions& options, Reply<AttachedEnds> reply) {
    ask(Verb::Attach, launcher::AttachRequest{id, options.takeOver, options.replay}, {},
        [reply = std::move(reply)](Result<Message> message) {
            if (!message) return reply(forward(std::move(message)));
            auto body = launcher::decodeReply<Empty>(message->bytes);
            if (!body) return reply(forward(std::move(body)));
            AttachedEnds ends;
            if (message->fds.size() != ends.size())
                return reply(fail(Errc::Internal, "recap-launcher's answer to ATTACH has other descriptors"));
            for (std::size_t i = 0; i < ends.size(); ++i) ends[i] = std::make_shared<UniqueFd>(std::move(message->fds[i]));
            reply(std::move(ends));
        });
}

void LauncherClient::resize(const RunId& id, std::uint32_t rows, std::uint32_t columns, Reply<void> reply) {
    ask(Verb::Resize, launcher::ResizeRequest{id, rows, columns}, {},
        [reply = std::move(reply)](Result<Message> message) { reply(nothingOf(std::move(message))); });
}

void LauncherClient::log(const RunId& id, Reply<UniqueFd> reply) {
    ask(Verb::Log, launcher::RunRef{id}, {},
        [reply = std::move(reply)](Result<Message> message) { reply(descriptorOf(std::move(message))); });
}

void LauncherClient::collect(const RunId& id, Reply<UniqueFd> reply) {
    ask(Verb::Collect, launcher::RunRef{id}, {},
        [reply = std::move(reply)](Result<Message> message) { reply(descriptorOf(std::move(message))); });
}

void LauncherClient::ack(const RunId& id) {
    ask(Verb::Ack, launcher::RunRef{id}, {}, [](const Result<Message>&) {});  // lost with the connection: LIST shows the run again
}

void LauncherClient::list(Reply<std::vector<LaunchedRun>> reply) { listPage({}, {}, std::move(reply)); }

void LauncherClient::listPage(std::string after, std::vector<LaunchedRun> soFar, Reply<std::vector<LaunchedRun>> reply) {
    auto runs = std::make_shared<std::vector<LaunchedRun>>(std::move(soFar));
    ask(Verb::List, launcher::RunRef{std::move(after)}, {}, [this, runs, reply = std::move(reply)](Result<Message> message) {
        auto page = bodyOf<launcher::RunList>(std::move(message));
        if (!page) return reply(forward(std::move(page)));
        for (const auto& state : page->runs)
            runs->push_back({state.report.runId, state.capsule, state.target, state.phase == launcher::RunPhase::Finished,
                             fromProtocol(state.report), state.callerUid, state.boundTo, state.terminal});
        if (page->runs.empty()) return reply(std::move(*runs));
        listPage(page->runs.back().report.runId, std::move(*runs), reply);
    });
}

void LauncherClient::importImage(UniqueFd archive, Reply<ImportedImage> reply) {
    std::vector<UniqueFd> fds;
    fds.push_back(std::move(archive));
    ask(Verb::Import, Empty{}, std::move(fds), [reply = std::move(reply)](Result<Message> message) {
        if (!message) return reply(forward(std::move(message)));
        auto image = launcher::decodeReply<launcher::ImageRef>(message->bytes);
        if (!image) return reply(forward(std::move(image)));
        reply(ImportedImage{std::move(image->digest), message->fds.empty() ? UniqueFd{} : std::move(message->fds[0])});
    });
}

void LauncherClient::removeImage(const std::string& digest, Reply<void> reply) {
    ask(Verb::RemoveImage, launcher::ImageRef{digest}, {},
        [reply = std::move(reply)](Result<Message> message) { reply(nothingOf(std::move(message))); });
}

void LauncherClient::images(Reply<std::vector<AdmissionState>> reply) { imagesPage({}, {}, std::move(reply)); }

void LauncherClient::imagesPage(std::string after, std::vector<AdmissionState> soFar, Reply<std::vector<AdmissionState>> reply) {
    auto states = std::make_shared<std::vector<AdmissionState>>(std::move(soFar));
    ask(Verb::Images, launcher::ImageRef{std::move(after)}, {}, [this, states, reply = std::move(reply)](Result<Message> message) {
        auto page = bodyOf<launcher::ImageList>(std::move(message));
        if (!page) return reply(forward(std::move(page)));
        for (auto& image : page->images) states->push_back({std::move(image.digest), image.admitted});
        if (page->images.empty()) return reply(std::move(*states));
        const std::string last = states->back().digest;
        imagesPage(last, std::move(*states), reply);
    });
}

void LauncherClient::watch(const Target& target, const WatchSpec& what, Reply<OpenedWatch> reply) {
    ask(Verb::Watch, toProtocol(target, what), one(target.pidfd ? target.pidfd->get() : -1),
        [reply = std::move(reply)](Result<Message> message) {
            if (!message) return reply(forward(std::move(message)));
            auto opened = launcher::decodeReply<launcher::Watched>(message->bytes);
            if (!opened) return reply(forward(std::move(opened)));
            if (message->fds.size() != 1) return reply(fail(Errc::Internal, "recap-launcher's answer to WATCH has no descriptor"));
            reply(OpenedWatch{opened->id, static_cast<WatchForm>(opened->form), std::chrono::microseconds(opened->stallUsec),
                              std::chrono::microseconds(opened->windowUsec), std::move(message->fds[0])});
        });
}

void LauncherClient::unwatch(std::uint64_t id) {
    ask(Verb::Unwatch, launcher::WatchRef{id}, {}, [](const Result<Message>&) {});  // lost with the connection, as the watch is
}

}  // namespace recap
