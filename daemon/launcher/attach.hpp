// SPDX-License-Identifier: Apache-2.0
// One attach, as the spawn worker prepares it and the capsule's own first process carries it out. Order is the design: see
// kInitSteps in capsule_init.cpp and kPayloadSteps in payload.cpp. A step answers 0, or -1 with errno set.
#pragma once

#include <linux/filter.h>
#include <sys/capability.h>

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "daemon/launcher/inspect.hpp"
#include "daemon/launcher/news.hpp"
#include "daemon/launcher/procfs.hpp"
#include "daemon/launcher/protocol.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::launcher {

// FUSE and network mounts that one report or reply names; what is more is counted as such.
inline constexpr std::size_t kMostNoted = 64;

// What every attach of this launcher uses, made once at start.
struct Prepared {
    const Procfs* procfs = nullptr;
    UniqueFd seed;       // mount namespace with nothing but an empty, read-only tmpfs
    UniqueFd ownMounts;  // the launcher's own mount namespace
    UniqueFd ownPids;    // and its pid namespace
    HostIds host;
    std::uint64_t hostUsers = 0;  // inode of the host's user namespace
    pid_t supervisor = 0;         // parent of the workers and of every capsule's init, as `procfs` numbers it
    UniqueFd device;              // O_PATH of the /dev template in the launcher's mount namespace
    std::vector<sock_filter> ceilingFilter;
    std::uint64_t noFile = 1024;
    std::span<char> commandLine;  // the launcher's own arguments, NULs and all, where execve(2) put them
    std::uint64_t features = 0;   // bits of Feature; what lacks is done by a fallback_*.cpp
};

// The payload's ids as setresuid(2) takes them: in the user namespace that it is in by then.
struct Identity {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
};

// What one attach needs, opened by the worker.
struct Attach {
    const Prepared* prepared = nullptr;
    Plan plan;
    int worker = -1;      // the worker's socket, of which nobody else is to have a copy: its end tells that the worker has died
    UniqueFd target;      // pidfd
    UniqueFd targetRoot;  // O_PATH of the target's root
    FolderId checkedRoot;
    std::set<std::uint64_t> pidNamespaces;  // join: the target's, and those that it is nested in
    UniqueFd proc;                          // observe and join: the target's procfs, detached
    UniqueFd payloadCgroup;                 // join: below the capsule's cgroup, for all of it but its init
    UniqueFd root;                          // the capsule's root: overlay, detached, later "/"
    std::vector<UniqueFd> layers;           // view = "merged": the image's, lowest first; the root is made of them and the target's
    UniqueFd report;                        // to the supervisor
    std::array<UniqueFd, 3> stdio;
    UniqueFd frozen;    // where the target is to stand still: tells whether it does
    UniqueFd terminal;  // the devpts instance, where the payload has a terminal
    std::vector<UniqueFd> v1Procs;
    UniqueFd alone;  // born of a parked worker: a pipe that ends when that one has left the capsule's cgroups
    Identity identity;
    std::vector<sock_filter> filter;
    std::vector<char*> argv;  // into plan
    std::vector<char*> envp;
    // made by the steps
    UniqueFd tree;       // detached clone of the target's files
    UniqueFd base;       // view = "merged": of its root alone, without submounts
    UniqueFd upper;      // view = "merged": the copy-on-write layer, for the list of what was written
    UniqueFd devices;    // detached clone of the /dev template
    UniqueFd artifacts;  // detached tmpfs, later at plan.artifacts
    UniqueFd executable;
    UniqueFd workdir;
    std::vector<std::string> omitted;  // FUSE and network mounts taken out of the view
    cap_t capabilities = nullptr;      // built before the vfork
    std::string subject;               // what a step that failed was about, where its name does not say it
    int payloadNews = -1;              // join, in the payload: where it says which step failed
};

struct Step {
    const char* name;
    int (*apply)(Attach&);
};

std::uint64_t monotonicUsec();

// namespaces.cpp
Result<UniqueFd> makeSeed(const Procfs& procfs);
int enterSeed(Attach& attach);       // into a copy of the seed
int enterRoot(Attach& attach);       // the capsule's root over it
int joinNamespaces(Attach& attach);  // the target's net, ipc, uts, time and user; before them an own cgroup namespace
int verifyNamespaces(Attach& attach);
int joinCgroupNamespace(Attach& attach);  // in the payload, verified too; allocates nothing

// tracers.cpp: processes that could take over what joins their pid namespace (threat T3)
// The inodes of a pid namespace and of those that it is nested in, the launcher's own not among them. To be asked outside of them.
std::optional<std::set<std::uint64_t>> pidNamespacesAbove(const Prepared& prepared, int pidNamespace);
// 0: none in `joined`, below it, or in those `above` it; -1 with EPERM: there is one. `within` is a procfs of `joined`, and shows
// those below it too; -1: there is none. The launcher's processes in `joined` do not count.
int refuseTracers(const Prepared& prepared, std::uint64_t joined, const std::set<std::uint64_t>& above, int within);

// view.cpp
int cloneTarget(Attach& attach);
int mountProcesses(Attach& attach);  // join: the procfs of the pid namespace that this process was born in
int mountArtifacts(Attach& attach);
int showTarget(Attach& attach);
int omitForeign(Attach& attach);
int populateRoot(Attach& attach);                                  // dev, proc, artifacts
Result<std::vector<MountLine>> shownMounts(const Attach& attach);  // of the target, in the capsule's own table: below targetAt()
void noteOmitted(Attach& attach, const MountLine& mount);
int allowWrites(Attach& attach);  // writes.cpp

// merged.cpp: view = "merged"
int cloneLayers(Attach& attach);
int mergeRoot(Attach& attach);       // in the copy of the seed: attach.root, of the image's layers over the target's root
int mergeSubmounts(Attach& attach);  // the target's, read-only, each where it is in the target
int openExecutable(Attach& attach);
int openWorkdir(Attach& attach);

// mask.cpp: covers what of the procfs at `proc` is the whole host's
int maskProc(Attach& attach, int proc);

// landlock.cpp: in the payload, once it can gain no privilege: no abstract socket of others; in the host's, no process of others
int scopeSockets(Attach& attach);
bool scopesSockets();  // whether this kernel can

// devices.cpp: the /dev template, at `mountpoint` in the launcher's own mount namespace
Result<UniqueFd> makeDeviceTemplate(const std::string& mountpoint);

// terminal.cpp
int mountTerminal(Attach& attach);
int controlTerminal(const Attach& attach);

// payload.cpp
struct PayloadOutcome {
    const char* volatile failedStep = nullptr;
    volatile int error = 0;
};
// In the capsule's first process: starts the payload and returns once it executes (or failed). Its pid, and its pidfd.
pid_t startPayload(Attach& attach, int& pidfd, PayloadOutcome& outcome);

// capsule_init.cpp: never returns
[[noreturn]] void runCapsuleInit(Attach& attach);

}  // namespace recap::launcher
