// SPDX-License-Identifier: Apache-2.0
// The launcher as the rest of recapd sees it. Implemented by daemon/launcher/client; every callback comes on the loop, on
// a later turn, never from inside the call.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daemon/core/run.hpp"
#include "daemon/core/target.hpp"
#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap {

// What happens to a run after start() was accepted.
class LaunchEvents {
public:
    virtual ~LaunchEvents() = default;
    virtual void progressed(const RunId& id, const Phases& phases) = 0;
    virtual void ended(RunReport report) = 0;  // the estate is kept until ack()
    virtual void connected() = 0;              // HELLO answered: runs(), images() may be asked
    virtual void disconnected(Error why) = 0;  // runs in the air: their end comes after a reconnect, or they are lost
};

struct ImportedImage {
    std::string digest;
    UniqueFd answer;  // answer.json of recap-unpack, read-only
};
struct AdmissionState {
    std::string digest;
    bool admitted = false;
};
struct LaunchedRun {  // of LIST
    RunId id;
    std::string capsule;
    std::string target;
    bool finished = false;
    RunReport report;
    std::uint32_t callerUid = 0;
    std::string boundTo = {};  // the bus name that it ends with; "": none
    bool tty = false;
};

// As launcher::Feature of its protocol.
enum LauncherFeature : std::uint64_t {
    kCanObserve = 1,
    kCanLayer = 2,
    kCanClonePlaced = 4,
    kCanKillCgroup = 8,
    kCanLimit = 16,
    kCanObserveByVisit = 32,
    kCanLayerByName = 64,
    kCanTellMemoryPeak = 128,
    kCanTellPidsPeak = 256,
    kCanScopeSockets = 512
};

class Launcher {
public:
    template <class T>
    using Reply = std::function<void(Result<T>)>;

    virtual ~Launcher() = default;
    virtual bool available() const = 0;
    virtual std::uint64_t features() const { return 0; }   // bits of LauncherFeature: what its probe found; 0 while it is away
    virtual std::uint64_t openFiles() const { return 0; }  // its RLIMIT_NOFILE, which bounds how many runs it can have; likewise
    // Bits: of the host's namespaces those that its ceiling lets be joined, as it last said.
    virtual std::uint32_t hostNamespaces() const { return 0; }
    virtual void inspect(int pidfd, Reply<TargetFacts> reply) = 0;
    // The reply's fd is the run's log (read-only), absent where the caller gave both stdout and stderr.
    virtual void start(const RunPlan& plan, Reply<UniqueFd> reply) = 0;
    virtual void signal(const RunId& id, int signal, Reply<void> reply) = 0;
    virtual void stop(const RunId& id, std::chrono::microseconds grace, Reply<void> reply) = 0;
    virtual void attach(const RunId& id, const AttachOptions& options, Reply<AttachedEnds> reply) = 0;
    virtual void resize(const RunId& id, std::uint32_t rows, std::uint32_t columns, Reply<void> reply) = 0;
    virtual void log(const RunId& id, Reply<UniqueFd> reply) = 0;      // start()'s fd once more, for an adopted run
    virtual void collect(const RunId& id, Reply<UniqueFd> reply) = 0;  // a pipe that yields a tar
    virtual void ack(const RunId& id) = 0;
    virtual void list(Reply<std::vector<LaunchedRun>> reply) = 0;
    virtual void importImage(UniqueFd archive, Reply<ImportedImage> reply) = 0;
    virtual void removeImage(const std::string& digest, Reply<void> reply) = 0;
    virtual void images(Reply<std::vector<AdmissionState>> reply) = 0;
};

}  // namespace recap
