// SPDX-License-Identifier: Apache-2.0
// The supervisor: answers the protocol, owns capsules, cgroups, logs, artifacts and deadlines. It never enters a namespace.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/launcher/ceiling.hpp"
#include "daemon/launcher/cgroup.hpp"
#include "daemon/launcher/closing.hpp"
#include "daemon/launcher/codec.hpp"
#include "daemon/launcher/inspect.hpp"
#include "daemon/launcher/journal.hpp"
#include "daemon/launcher/loop.hpp"
#include "daemon/launcher/parking.hpp"
#include "daemon/launcher/run.hpp"
#include "daemon/launcher/store.hpp"
#include "daemon/launcher/watch_opener.hpp"
#include "daemon/launcher/workers.hpp"

namespace recap::launcher {

struct SupervisorSetup {
    Procfs procfs;
    HostIds host;
    std::uint64_t ownMounts = 0;  // the launcher's own mount namespace
    CgroupTree cgroups;
    Freezer freezer;
    WatchPlaces watchPlaces;
    Store store;
    Ceiling ceiling;
    Prepared prepared;
    std::uint32_t peerUid = 0;
    std::string helpers;  // folder of recap-unpack and recap-collect
    std::string journalSocket;
    std::uint64_t without = 0;  // features that are taken to be missing
};

class Supervisor {
public:
    explicit Supervisor(SupervisorSetup setup);
    ~Supervisor();

    Result<void> start(unsigned workers);
    // Takes over a listening SOCK_SEQPACKET socket; on the admit socket only ADMIT is answered, and only to uid 0.
    Result<void> listen(UniqueFd socket, bool admitSocket);
    void setCeiling(Ceiling ceiling);
    Loop& loop() { return loop_; }
    const Journal& journal() const { return journal_; }
    // Kills every capsule; the loop ends when all are gone.
    void shutDown();

private:
    struct Outgoing {
        std::string bytes;
        std::vector<UniqueFd> fds;
    };
    struct Client {
        std::uint64_t id = 0;
        UniqueFd socket;
        bool admit = false;
        std::deque<Outgoing> waiting;
        std::size_t waitingBytes = 0;
    };
    struct Request {
        int client;  // its socket; the client may be gone when the answer comes
        std::uint64_t clientId;
        Header header;
        Message message;
        std::uint64_t received;  // µs of CLOCK_MONOTONIC
    };

    struct Estate {
        Loop::TimerId expiry;
        std::uint64_t bytes;
    };

    void onConnect(int listener, bool admitSocket);
    void onReadable(int socket);
    void drop(int socket);
    void handle(Request request);
    void send(int socket, std::string bytes, std::vector<UniqueFd> fds = {});
    void flush(Client& client);
    void answer(const Request& request, std::string bytes, std::vector<UniqueFd> fds = {});
    void refuse(const Request& request, const Error& error);
    template <class T>
    void reply(const Request& request, const T& body, std::vector<UniqueFd> fds = {}) {
        answer(request, encodeReply(request.header.verb, request.header.sequence, body), std::move(fds));
    }
    void publish(const RunEvent& event);
    void tellAll(const std::string& bytes);
    Hello greeting() const;

    // one a verb
    void hello(Request request);
    void inspectTarget(Request request);
    void startRun(Request request);
    void signalRun(Request request);
    void resizeRun(Request request);
    void attachRun(Request request);
    void stopRun(Request request);
    void listRuns(Request request);
    void ackRun(Request request);
    void importImage(Request request);
    Result<void> startImport(const Request& request, const std::vector<UniqueFd>& given);
    void adoptImage(Request request, const std::string& folder);
    void collect(Request request);
    void openLog(Request request);
    void admitImage(Request request);
    void removeImage(Request request);
    void listImages(Request request);
    void watchTarget(Request request);
    Result<WatchJob> checkedWatch(Request& request);
    void refuseWatch(const Request& request, const Error& error);
    void unwatch(Request request);

    Result<void> checkAlone(const Plan& plan) const;
    Result<void> checkRoom() const;  // for one capsule more
    void startWaiting();
    void dropWaiting(std::uint64_t client);
    void startNext(Request request);
    // `record`: kRefused is one of those whose number is bounded; what had a START is told in any case.
    static constexpr std::string_view kRefused = "REFUSED", kNotLaunched = "NOT-LAUNCHED";
    void refuseStart(const Request& request, const Error& error, std::string_view record = kRefused);
    // A START that may be: its plan, the target and the stdio that came with it, and what was the target's root then.
    struct Start {
        Plan plan;
        std::vector<UniqueFd> fds;
        FolderId root;
    };
    Result<Start> checked(Request& request);
    Result<Cgroup> cgroupFor(const Plan& plan, std::optional<std::string>& parked);
    static SpawnRequest spawnRequest(const Start& start, const Cgroup& cgroup, bool parked);
    Result<void> launch(Start start, std::uint64_t received);
    Result<Run*> find(const std::string& runId);
    void recordRun(Priority priority, std::string_view messageId, std::string_view what, const Plan& plan, std::string_view detail);
    void onSpawned(SpawnResult result);
    void onEnded(const std::string& runId);
    void forget(const std::string& runId, std::string_view why);
    void boundEstate();
    void keepLeft(const std::string& runId, UniqueFd init);
    void retryLeft();
    void discard(const std::string& folder);

    SupervisorSetup setup_;
    Loop loop_;
    Journal journal_;
    Closing closing_{loop_};
    RunHost runHost_;
    Workers workers_;
    Parking parking_;
    WatchBook watches_;
    WatchOpener opener_;
    std::vector<UniqueFd> listeners_;
    std::map<int, Client> clients_;
    std::uint64_t lastClient_ = 0;
    std::map<std::string, std::unique_ptr<Run>> runs_;  // by id: in the order of their time
    std::map<std::string, UniqueFd> left_;  // runs whose init or cgroup would not go, and the init's pidfd: tried again until they do
    std::uint64_t leftWaitUsec_ = 0;
    std::map<std::string, Estate> estates_;  // of finished runs, by id
    std::uint64_t estateBytes_ = 0;          // all of them
    unsigned imports_ = 0;
    unsigned collects_ = 0;
    std::size_t alive_ = 0;
    std::deque<Request> waiting_;  // STARTs whose turn has not come
    std::size_t waitingBytes_ = 0;
    bool stopping_ = false;
};

}  // namespace recap::launcher
