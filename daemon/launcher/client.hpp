// SPDX-License-Identifier: Apache-2.0
// recapd's side of the launcher's protocol: core's Launcher over an sd-event loop. Connects by itself, again and again with back-off
// when the launcher is away; asks HELLO, then answers are matched to requests by their sequence. A request that is not answered in
// time is answered here, with Unavailable; a launcher that stays late is left and connected to anew.
#pragma once

#include <systemd/sd-event.h>

#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "daemon/core/launcher.hpp"
#include "daemon/core/watch.hpp"
#include "daemon/launcher/protocol.hpp"
#include "daemon/launcher/transport.hpp"

namespace recap {

// How long answers may take, in microseconds.
struct LauncherPatience {
    std::uint64_t usual = 10'000'000;
    std::uint64_t import = 1'260'000'000;  // the launcher gives unpacking and adopting ten minutes each
    std::uint64_t collect = 660'000'000;
    std::uint64_t watch = 30'000'000;  // its turn may be after others'
    std::uint64_t late = 60'000'000;   // after that the connection is given up
    std::size_t mostLate = 64;         // answers; likewise
};

class LauncherClient : public Launcher, public TargetWatches {
public:
    // `events` outlives this. On the loop's thread only, all of it.
    LauncherClient(sd_event* loop, std::string socketPath, LaunchEvents& events, LauncherPatience patience = {});
    ~LauncherClient() override;
    LauncherClient(const LauncherClient&) = delete;
    LauncherClient& operator=(const LauncherClient&) = delete;

    // Starts connecting. Not in the constructor: the answers need the whole house.
    void connect();

    bool available() const override { return ready_; }
    std::uint64_t features() const override { return ready_ ? features_ : 0; }
    std::uint64_t openFiles() const override { return ready_ ? openFiles_ : 0; }
    std::uint32_t hostNamespaces() const override { return hostNamespaces_; }
    void inspect(int pidfd, Reply<TargetFacts> reply) override;
    void start(const RunPlan& plan, Reply<UniqueFd> reply) override;
    void signal(const RunId& id, int signal, Reply<void> reply) override;
    void stop(const RunId& id, std::chrono::microseconds grace, Reply<void> reply) override;
    void attach(const RunId& id, const AttachOptions& options, Reply<AttachedEnds> reply) override;
    void resize(const RunId& id, std::uint32_t rows, std::uint32_t columns, Reply<void> reply) override;
    void log(const RunId& id, Reply<UniqueFd> reply) override;
    void collect(const RunId& id, Reply<UniqueFd> reply) override;
    void ack(const RunId& id) override;
    void list(Reply<std::vector<LaunchedRun>> reply) override;
    void importImage(UniqueFd archive, Reply<ImportedImage> reply) override;
    void removeImage(const std::string& digest, Reply<void> reply) override;
    void images(Reply<std::vector<AdmissionState>> reply) override;
    void watch(const Target& target, const WatchSpec& what, Reply<OpenedWatch> reply) override;
    void unwatch(std::uint64_t id) override;

private:
    using Handler = std::function<void(Result<launcher::Message>)>;
    struct Waiting {
        Handler handler;  // null: has been told that there was no answer in time
        launcher::Verb verb{};
        std::uint64_t due = 0;  // CLOCK_MONOTONIC, µs
    };
    struct Outgoing {
        std::uint32_t sequence = 0;
        std::string bytes;
        std::vector<UniqueFd> fds;
    };

    template <class Body>
    void ask(launcher::Verb verb, const Body& body, std::vector<UniqueFd> fds, Handler handler);
    void listPage(std::string after, std::vector<LaunchedRun> soFar, Reply<std::vector<LaunchedRun>> reply);
    void imagesPage(std::string after, std::vector<AdmissionState> soFar, Reply<std::vector<AdmissionState>> reply);
    void tryConnect();
    void learn(const launcher::Hello& hello);
    void onIo(std::uint32_t events);
    bool readOne();
    void dispatch(launcher::Message message);
    void flush();
    std::uint64_t patienceFor(launcher::Verb verb) const;
    void expect(std::uint32_t sequence, Waiting waiting);
    Waiting answered(std::uint32_t sequence);  // no handler where nobody waits
    void refuseLater(Handler handler, Errc code, std::string why);
    void overdue(std::uint32_t sequence);
    void undo(const launcher::Message& late);
    void onDue();
    void armDue();
    void lose(Error why);
    void retryLater();
    void waitFor(std::uint32_t events);

    static int onIoEvent(sd_event_source* source, int fd, std::uint32_t revents, void* self);
    static int onTimer(sd_event_source* source, std::uint64_t usec, void* self);
    static int onDeferred(sd_event_source* source, void* self);
    static int onDueTimer(sd_event_source* source, std::uint64_t usec, void* self);

    sd_event* loop_;
    std::string path_;
    LaunchEvents& events_;
    LauncherPatience patience_;
    UniqueFd socket_;
    sd_event_source* io_ = nullptr;
    sd_event_source* timer_ = nullptr;
    sd_event_source* deferred_ = nullptr;
    sd_event_source* dueTimer_ = nullptr;
    std::uint64_t features_ = 0;
    std::uint64_t openFiles_ = 0;
    std::uint32_t hostNamespaces_ = 0;
    bool ready_ = false;
    std::uint32_t sequence_ = 0;
    std::uint64_t backoffUsec_;
    std::map<std::uint32_t, Waiting> waiting_;
    std::set<std::pair<std::uint64_t, std::uint32_t>> due_;  // of `waiting_`, by time
    std::size_t late_ = 0;                                   // in `waiting_`, without a handler
    std::deque<Outgoing> outgoing_;
    std::deque<std::function<void()>> later_;  // refusals that are told on a later turn
};

// The protocol's words in recapd's, and back; pure.
launcher::Plan toProtocol(const RunPlan& plan);
RunReport fromProtocol(const launcher::Report& report);
TargetFacts fromProtocol(const launcher::TargetFacts& facts);
launcher::WatchRequest toProtocol(const Target& target, const WatchSpec& what);

}  // namespace recap
