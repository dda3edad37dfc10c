// SPDX-License-Identifier: Apache-2.0
// Connections and the dispatch of verbs; what each verb does is in verbs.cpp.
#include "daemon/launcher/supervisor.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <csignal>

#include "daemon/launcher/codec.hpp"
#include "daemon/launcher/features.hpp"
#include "daemon/launcher/weaken.hpp"

namespace recap::launcher {

namespace {
constexpr std::size_t kMaxClients = 16;
constexpr std::size_t kMaxWaitingFds = 256;
constexpr std::size_t kMaxWaiting = 8 << 20;  // bytes of replies and events that a client may leave unread
}  // namespace

Supervisor::Supervisor(SupervisorSetup setup)
    : setup_(std::move(setup)),
      journal_(setup_.journalSocket),
      runHost_{loop_,
               setup_.procfs,
               setup_.cgroups,
               setup_.freezer,
               {},
               [this](const RunEvent& event) { publish(event); },
               [this](const std::string& id) { onEnded(id); }},
      workers_(loop_, setup_.prepared, setup_.store,
               [this](SpawnResult result) {
                   startWaiting();  // first: no worker waits for the journal
                   onSpawned(std::move(result));
               }),
      parking_(loop_, setup_.cgroups, setup_.prepared, setup_.store, [this](SpawnResult result) { onSpawned(std::move(result)); }),
      watches_(monotonicUsec()),
      opener_(loop_, setup_.procfs, setup_.watchPlaces) {
    setup_.prepared.procfs = &setup_.procfs;
    setCeiling(std::move(setup_.ceiling));
}

void Supervisor::setCeiling(Ceiling ceiling) {
    const bool another = ceiling.hostNamespaces != setup_.ceiling.hostNamespaces;
    setup_.ceiling = std::move(ceiling);
    if (another) tellAll(encodeReply(Verb::Hello, 0, greeting()));  // recapd's plans say what would be refused
    runHost_.streams->mostLogBytes = setup_.ceiling.estateMax;
}

Supervisor::~Supervisor() {
    runs_.clear();
    for (auto& [socket, client] : clients_) loop_.remove(socket);
}

void Supervisor::onSpawned(SpawnResult result) {
    const auto found = runs_.find(result.runId);
    if (found == runs_.end()) return;
    if (result.step.empty())
        found->second->spawned(std::move(result.pidfd));
    else
        found->second->notSpawned(std::move(result.step), result.error);
}

Result<void> Supervisor::start(unsigned workers) {
    ::signal(SIGPIPE, SIG_IGN);  // who is attached may close its ends at any time; workers and what they start undo this
    auto mounts = OwnMounts::watch(setup_.procfs);
    if (!mounts) return forward(std::move(mounts));
    runHost_.ownMounts = std::move(*mounts);
    setup_.prepared.features = probeFeatures(setup_.prepared, setup_.store.layersFd(), setup_.cgroups, setup_.without);
    const unsigned thawed = setup_.freezer.sweep();
    const auto swept = setup_.cgroups.sweep();
    for (const auto& id : swept.left) keepLeft(id, {});
    for (const auto& folder : setup_.store.incoming()) discard(folder);
    const std::string removed = std::to_string(swept.removed), left = std::to_string(swept.left.size());
    if (swept.removed + swept.left.size() != 0)
        journal_.write(Priority::Warning, kMessageSweep,
                       "swept " + removed + " cgroups that an earlier launcher left; " + left + " would not go yet",
                       {{"RECAP_SWEPT", removed}, {"RECAP_LEFT", left}});
    if (thawed != 0)
        journal_.write(Priority::Warning, kMessageSweep, "thawed " + std::to_string(thawed) + " targets that an earlier launcher froze");
    if (auto started = workers_.start(workers); !started) return started;
    if (!weakened(Threat::Exhaustion)) parking_.start();
    return {};
}

Result<void> Supervisor::listen(UniqueFd socket, bool admitSocket) {
    const int fd = socket.get();
    if (!loop_.add(fd, EPOLLIN, [this, fd, admitSocket](std::uint32_t) { onConnect(fd, admitSocket); }))
        return failErrno("watch the listening socket");
    listeners_.push_back(std::move(socket));
    return {};
}

void Supervisor::onConnect(int listener, bool admitSocket) {
    UniqueFd socket(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) return;
    ucred peer{};
    socklen_t size = sizeof(peer);
    const bool known = ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
    const std::uint32_t wanted = admitSocket ? 0 : setup_.peerUid;
    const auto same = std::ranges::count_if(clients_, [&](const auto& one) { return one.second.admit == admitSocket; });
    if (!known || peer.uid != wanted || static_cast<std::size_t>(same) >= kMaxClients) {
        journal_.refused("refused a connection of uid " + std::to_string(peer.uid), {{"RECAP_UID", std::to_string(peer.uid)}},
                         monotonicUsec());
        return;
    }
    const int fd = socket.get();
    Client client;
    client.id = ++lastClient_;
    client.socket = std::move(socket);
    client.admit = admitSocket;
    if (loop_.add(fd, EPOLLIN, [this, fd](std::uint32_t events) {
            if ((events & EPOLLOUT) != 0)
                if (auto found = clients_.find(fd); found != clients_.end()) flush(found->second);
            if ((events & ~EPOLLOUT) != 0) onReadable(fd);
        }))
        clients_.emplace(fd, std::move(client));
}

void Supervisor::drop(int socket) {
    loop_.remove(socket);
    if (const auto client = clients_.find(socket); client != clients_.end()) {
        dropWaiting(client->second.id);
        watches_.forget(client->second.id);
        opener_.forget(client->second.id);
    }
    clients_.erase(socket);
}

void Supervisor::onReadable(int socket) {
    if (!clients_.contains(socket)) return;
    std::vector<UniqueFd> refused;
    auto message = receiveMessage(socket, &refused);
    if (!message) {
        closing_.takeFiles(refused);
        if (message.error().code != Errc::Busy) drop(socket);
        return;
    }
    auto header = decodeHeader(message->bytes);
    if (!header) {
        closing_.takeFiles(message->fds);
        journal_.refused("dropped a connection: " + header.error().message, {}, monotonicUsec());
        send(socket, encodeFailure(Verb::Hello, 0, header.error()));
        return drop(socket);
    }
    Request request{socket, clients_.at(socket).id, *header, std::move(*message), monotonicUsec()};
    const bool tooMany = request.message.fds.size() > kMaxFds;
    if (header->verb == Verb::Import && !tooMany) return handle(std::move(request));
    if (!weakened(Threat::HangingMounts) && closing_.takeFiles(request.message.fds) != 0)
        return refuse(request, {Errc::InvalidArgument, "a descriptor is of a regular file, whose server may never answer: give a pipe"});
    if (tooMany) return refuse(request, {Errc::InvalidArgument, "too many descriptors"});
    handle(std::move(request));
}

void Supervisor::handle(Request request) {
    const bool admitSocket = clients_.at(request.client).admit;
    if (admitSocket != (request.header.verb == Verb::Admit)) return refuse(request, {Errc::AccessDenied, "not on this socket"});
    switch (request.header.verb) {
        case Verb::Hello: return hello(std::move(request));
        case Verb::Inspect: return inspectTarget(std::move(request));
        case Verb::Start: return startRun(std::move(request));
        case Verb::Signal: return signalRun(std::move(request));
        case Verb::Stop: return stopRun(std::move(request));
        case Verb::Resize: return resizeRun(std::move(request));
        case Verb::Attach: return attachRun(std::move(request));
        case Verb::List: return listRuns(std::move(request));
        case Verb::Ack: return ackRun(std::move(request));
        case Verb::Import: return importImage(std::move(request));
        case Verb::Log: return openLog(std::move(request));
        case Verb::Collect: return collect(std::move(request));
        case Verb::Admit: return admitImage(std::move(request));
        case Verb::RemoveImage: return removeImage(std::move(request));
        case Verb::Images: return listImages(std::move(request));
        case Verb::Watch: return watchTarget(std::move(request));
        case Verb::Unwatch: return unwatch(std::move(request));
        default:
            return refuse(request, {Errc::NotSupported, "verb " + std::to_string(static_cast<unsigned>(request.header.verb)) +
                                                            " is not supported by this version"});
    }
}

void Supervisor::flush(Client& client) {
    while (!client.waiting.empty()) {
        Outgoing& next = client.waiting.front();
        std::vector<int> fds;
        for (const auto& fd : next.fds) fds.push_back(fd.get());
        auto sent = sendMessage(client.socket.get(), next.bytes, fds);
        if (!sent && sent.error().code == Errc::Busy) break;
        if (!sent && sent.error().code == Errc::LimitExceeded) {  // its asker must not wait for ever
            const auto header = decodeHeader(next.bytes);
            journal_.write(Priority::Error, kMessageRefused, "an answer could not be sent: " + sent.error().message);
            const std::string failure = header ? encodeFailure(header->verb, header->sequence, sent.error()) : std::string();
            if (header && header->verb != Verb::Event) static_cast<void>(sendMessage(client.socket.get(), failure, {}));
        }
        client.waitingBytes -= next.bytes.size();
        client.waiting.pop_front();  // gone, or its reader is: the read side will notice
    }
    loop_.change(client.socket.get(), client.waiting.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

void Supervisor::send(int socket, std::string bytes, std::vector<UniqueFd> fds) {
    const auto found = clients_.find(socket);
    if (found == clients_.end()) return;
    Client& client = found->second;
    std::size_t waitingFds = fds.size();
    for (const auto& waiting : client.waiting) waitingFds += waiting.fds.size();
    // it will list what it missed when it is back
    if (client.waitingBytes + bytes.size() > kMaxWaiting || waitingFds > kMaxWaitingFds) return drop(socket);
    client.waitingBytes += bytes.size();
    client.waiting.push_back({std::move(bytes), std::move(fds)});
    if (client.waiting.size() == 1) flush(client);
}

// A later client may have got the number of the asker's descriptor.
void Supervisor::answer(const Request& request, std::string bytes, std::vector<UniqueFd> fds) {
    const auto found = clients_.find(request.client);
    if (found != clients_.end() && found->second.id == request.clientId) send(request.client, std::move(bytes), std::move(fds));
}

void Supervisor::refuse(const Request& request, const Error& error) {
    answer(request, encodeFailure(request.header.verb, request.header.sequence, error));
}

void Supervisor::publish(const RunEvent& event) { tellAll(encode(Verb::Event, 0, event)); }

void Supervisor::tellAll(const std::string& bytes) {
    std::vector<int> sockets;
    for (const auto& [socket, client] : clients_)
        if (!client.admit) sockets.push_back(socket);
    for (int socket : sockets) send(socket, bytes);
}

void Supervisor::shutDown() {
    stopping_ = true;
    parking_.stop();
    if (alive_ == 0) return loop_.stop();
    for (auto& [id, run] : runs_)
        if (!run->finished()) run->kill(End::Stopped);
}

}  // namespace recap::launcher
