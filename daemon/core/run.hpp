// SPDX-License-Identifier: Apache-2.0
// A run is three values moving one way: asked (RunRequest), decided (RunPlan), happened (RunReport).
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/core/adjustments.hpp"
#include "daemon/core/policy.hpp"
#include "daemon/core/sandbox.hpp"
#include "daemon/core/schedule.hpp"
#include "daemon/core/target.hpp"
#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap {

using RunId = std::string;  // ULID, 26 characters

struct Caller {
    std::uint32_t uid = 0;
    std::string busName;  // unique name on the bus; empty: not from the bus
};

enum class Lifetime { Detached, Caller };

// What polkit was told when it allowed a run. The engine refuses to start anything else under that answer.
struct Authorisation {
    std::string backend;
    std::string digest;                // of the capsule's image; empty: it was not known
    std::uint64_t revision = 0;        // of the capsule
    std::uint64_t startTime = 0;       // of the target's first process, so that its id is this life's; 0: it was not known
    std::uint32_t hostNamespaces = 0;  // bits: of the host's namespaces those that the run was said to be in
};

struct RunRequest {
    std::string capsule;
    std::string target;  // BACKEND:ID, BACKEND:NAME or a bare name
    std::vector<std::string> args;
    Adjustments adjustments;
    Caller caller;
    std::chrono::microseconds timeout{0};  // 0: the manifest's
    Lifetime lifetime = Lifetime::Detached;
    std::array<std::shared_ptr<UniqueFd>, 3> stdio;  // null: /dev/null in, log out
    std::optional<bool> tty;                         // none: as the manifest says, where no stdio is given
    std::uint32_t rows = 0, columns = 0;             // of the terminal
    bool openStdin = false;                          // stdin waits for whoever attaches
    std::uint64_t received = 0;                      // CLOCK_MONOTONIC, µs
    std::optional<Authorisation> authorised;         // none: root, by its bus credentials
    Trigger trigger = Trigger::OnDemand;
    std::string batch;                             // of which it is one; empty: none
    std::shared_ptr<const Occurrence> occurrence;  // of Trigger::Event, and of a turn that was missed; null: none
    RunId expected;                                // what RunTable::expect() called it; empty: it was not expected
};

// Whether what happened is on the run's stdin, as one JSON object: where there is no other use of that.
inline bool readsOccurrence(const RunRequest& request, bool tty) {
    return request.occurrence != nullptr && !request.stdio[0] && !request.openStdin && !tty;
}

struct RunPlan {
    RunId id;
    RunRequest request;
    Target target;
    std::string tenant;  // whose the target is; empty: nobody's
    SandboxSpec sandbox;
    std::vector<Narrowing> narrowed;
    std::string imageDigest;
    std::vector<std::string> layers;
    std::string executable;
    std::vector<std::string> argv;
    std::vector<std::string> env;
    std::string workdir;
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::vector<std::uint32_t> groups;
    std::vector<std::uint64_t> filter;  // compiled seccomp program, struct sock_filter as 8 bytes each
    std::string artifacts;              // path in the capsule
    bool artifactsOnDisk = false;
    bool tty = false;  // stdio that is given is attached to the terminal from the start
    std::chrono::seconds artifactsKeep{0};
    std::chrono::microseconds grace{0};
    std::uint64_t planned = 0;  // CLOCK_MONOTONIC, µs
};

// A process may trace another one of its own uid, and who is root of a user namespace any process in it: where the capsule is among the
// target's processes, the target may then change what the capsule does and says.
inline bool targetMayTrace(const RunPlan& plan) {
    constexpr std::uint32_t kUserNamespace = 16;
    constexpr std::uint32_t kPidNamespace = 1;
    const bool sameUid = plan.target.facts && plan.target.facts->uid == plan.uid;
    const bool seesAll = plan.target.facts && (plan.target.facts->hostNamespaces & kPidNamespace) != 0;  // it is among the host's processes
    if (plan.sandbox.processes != Processes::Join && !seesAll) return false;
    return (plan.sandbox.namespaces & kUserNamespace) != 0 || sameUid;
}

// Of an attachment to a run under way.
struct AttachOptions {
    bool takeOver = false;     // whoever is attached no longer is
    std::uint64_t replay = 0;  // begin with so many of each stream's last bytes
};
using AttachedEnds = std::array<std::shared_ptr<UniqueFd>, 3>;  // stdin to write to, stdout and stderr to read from

// Closed; the words that D-Bus and the ledger carry.
enum class Outcome { Succeeded, Failed, Killed, TimedOut, TargetGone, Denied, NotStarted, Lost, Skipped };
constexpr std::string_view name(Outcome outcome) {
    constexpr std::string_view names[] = {"succeeded", "failed",      "killed", "timed-out", "target-gone",
                                          "denied",    "not-started", "lost",   "skipped"};
    return names[static_cast<std::size_t>(outcome)];
}

// What a shell would say of a command that it could not start; 0: nothing, it is not the command's fault.
constexpr int shellStatus(Errc error) { return error == Errc::NoCommand ? 127 : error == Errc::NotExecutable ? 126 : 0; }

// Microseconds of CLOCK_MONOTONIC; 0: not reached.
struct Phases {
    std::uint64_t received = 0;
    std::uint64_t planned = 0;
    std::uint64_t attached = 0;
    std::uint64_t executing = 0;
    std::uint64_t finished = 0;
    std::uint64_t escaped = 0;
};

struct RunReport {
    RunId id;
    Outcome outcome = Outcome::NotStarted;
    int exitCode = 0;         // the payload's; 128+n for signal n
    Errc error = Errc::None;  // of a run that did not start
    std::string detail;       // one sentence, for NotStarted and Denied always there
    Phases phases;
    std::vector<std::string> left;    // empty: escape is clean
    std::uint64_t cpuUsec = 0;        // of all its processes together
    std::uint64_t cpuSystemUsec = 0;  // of that, in the kernel
    std::uint64_t memoryPeak = 0;
    std::uint64_t pidsPeak = 0;
    bool outOfMemory = false;
    bool logTruncated = false;
    std::uint64_t logBytes = 0;
    bool hasArtifacts = false;
    std::vector<std::string> unenforcedLimits;
    std::vector<std::string> omittedMounts;
    std::vector<std::string> written;  // by view = "merged", and gone: "C PATH" made or changed, "D PATH" deleted
};

// The one way in: every trigger ends here. Answers with the id before any work is done.
class RunSink {
public:
    virtual ~RunSink() = default;
    virtual Result<RunId> submit(RunRequest request) = 0;
};

// The one way out. On the loop; each run exactly one finished(), and later one expired().
class RunListener {
public:
    virtual ~RunListener() = default;
    virtual void submitted(const RunId& id) = 0;  // from inside submit(), or when a run is adopted
    virtual void started(const RunPlan& plan) = 0;
    virtual void changed(const RunId& id, const Phases& phases) = 0;
    virtual void finished(const RunReport& report) = 0;
    virtual void expired(const RunId& id) = 0;  // from now on only the ledger knows it
};

}  // namespace recap
