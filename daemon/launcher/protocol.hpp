// SPDX-License-Identifier: Apache-2.0
// What recapd (or a test) and recap-launcher say to each other over an AF_UNIX SOCK_SEQPACKET socket: one message a
// record, little-endian, a fixed header and then the verb's fields in the order of the structs below. Strings and arrays
// are counted. A message that is longer than it says, shorter than its fields, over a cap or has an unknown flag or verb
// is refused whole. Descriptors travel beside the record (SCM_RIGHTS), in the order that each verb states.
//
// The launcher is the reader that matters: it trusts nothing in a message, and checks a plan by itself (checks.hpp).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "sdk/base/result.hpp"

namespace recap::launcher {

inline constexpr std::uint32_t kMagic = 0x31504352;  // "RCP1"
inline constexpr std::uint16_t kVersion = 1;
inline constexpr std::size_t kMaxMessage = 160 * 1024;  // below the socket's default buffer
inline constexpr std::size_t kMaxStrings = 1024;        // entries of one array
inline constexpr std::size_t kMaxString = 64 * 1024;
inline constexpr std::size_t kMaxWrites = 64;                                             // paths of one plan
inline constexpr std::size_t kMaxFilter = 4096;                                           // BPF instructions
inline constexpr std::size_t kMaxFds = 4;                                                 // that a client may send with one message
inline constexpr std::size_t kListPage = 128;                                             // rows of one answer
inline constexpr std::size_t kListPageBytes = 64 * 1024;                                  // a row more is at most some 60 KiB
inline constexpr std::size_t kRunIdLength = 26;                                           // ULID, Crockford base 32
inline constexpr std::size_t kMaxWatchPath = 4095;                                        // PATH_MAX, without its NUL
inline constexpr std::uint64_t kLeastWindowUsec = 500'000, kMostWindowUsec = 10'000'000;  // of a pressure trigger, as in Linux' psi.rst

enum class Verb : std::uint16_t {
    Hello =
        1,  // Hello                                      -> Hello; the launcher's again, unasked, sequence 0, when its ceiling is another
    Inspect = 2,       // fds: the target's pidfd                        -> TargetFacts
    Start = 3,         // Plan; fds: target's pidfd, stdio given or attached -> Started; fds: log (read-only), if the launcher keeps it
    Signal = 4,        // SignalRequest
    Stop = 5,          // StopRequest
    Resize = 6,        // ResizeRequest
    Attach = 7,        // AttachRequest                              -> fds: stdin to write to, stdout and stderr to read from
    List = 8,          // RunRef: runs after this id ("": from the first), as many as fit a page -> RunList; empty: no more
    Ack = 9,           // RunRef; drops the run's estate
    Watch = 10,        // WatchRequest; fds: the target's pidfd          -> Watched; fds: what tells of the event
    Import = 11,       // fds: the archive or folder (read-only)         -> text: digest; fds: answer.json (read-only)
    RemoveLayer = 12,  // unsupported; layers go with their last image
    Collect = 13,      // RunRef                                     -> fds: pipe that yields a tar of the artifacts
    Admit = 14,        // ImageRef; on the admit socket only, from uid 0 only
    RemoveImage = 15,  // ImageRef; with every layer that no other image needs
    Images = 16,       // ImageRef: images after this digest ("": from the first), at most kListPage -> ImageList; empty: no more
    Log = 17,          // RunRef                                     -> fds: the run's log (read-only), as START gave it
    Unwatch = 18,      // WatchRef: the descriptor of that one is closed
    Event = 100,       // launcher -> client, unasked: RunEvent
};

// Names the namespaces as bits, as manifest::Namespace does (the same numbers).
enum NamespaceBit : std::uint32_t {
    kNsPid = 1,
    kNsNet = 2,
    kNsIpc = 4,
    kNsUts = 8,
    kNsUser = 16,
    kNsCgroup = 32,
    kNsTime = 64,
    kNsMnt = 128
};
inline constexpr std::size_t kNamespaces = 8;  // index = number of the bit

enum class Processes : std::uint8_t { None = 0, Observe = 1, Join = 2 };
enum class View : std::uint8_t { None = 0, ReadOnly = 1, Merged = 2, Write = 3 };
// Log: kept by the launcher (stdout, stderr). Pipe: whoever attaches may write to it (stdin). Terminal: all three; its output is kept
// as stdout's.
enum class Stdio : std::uint8_t { Null = 0, Given = 1, Log = 2, Pipe = 3, Terminal = 4 };
enum class Storage : std::uint8_t { Memory = 0, Disk = 1 };

struct Header {
    std::uint32_t magic = kMagic;
    std::uint16_t version = kVersion;
    Verb verb{};
    std::uint32_t length = 0;    // of the whole message, header included
    std::uint32_t sequence = 0;  // a reply carries its request's; events carry 0
};

// Bits of HELLO's features: what the launcher's probe found at its start.
enum Feature : std::uint64_t {
    kFeatureObserve = 1u << 0,     // a procfs of another pid namespace (Linux 6.17): processes = "observe"
    kFeatureLayers = 1u << 1,      // overlay layers by descriptor (Linux 6.13): every capsule's root
    kFeatureIntoCgroup = 1u << 2,  // clone3 into a cgroup (Linux 5.7): every capsule
    kFeatureCgroupKill = 1u << 3,  // cgroup.kill (Linux 5.14): the end of what does not end
    kFeatureLimits = 1u << 4,      // memory, cpu and pids controllers, of either version: limits are enforced
    // Tried only where the one of the same purpose above is missing.
    kFeatureObserveByVisit = 1u << 5,  // a procfs from within the other pid namespace
    kFeatureLayersByName = 1u << 6,    // overlay layers by name
    // What a report tells; 0 there where the kernel counts no such thing.
    kFeatureMemoryPeak = 1u << 7,  // memory.peak (Linux 5.19), or version 1's
    kFeaturePidsPeak = 1u << 8,    // pids.peak (Linux 6.11, and stable ones)
    kFeatureScope = 1u << 9,       // Landlock's scope for abstract unix sockets (Linux 6.12): processes = "none"
};

struct Hello {
    std::uint16_t version = kVersion;
    std::uint64_t features = 0;
    std::string launcher;              // the program's own version
    std::uint64_t openFiles = 0;       // its RLIMIT_NOFILE
    std::uint32_t hostNamespaces = 0;  // of the host's, those that its ceiling lets be joined
};

// A range of ids in a user namespace, as user_namespaces(7) has them in uid_map and gid_map: `inside` there is `outside` on the host.
struct IdRange {
    std::uint32_t inside = 0;
    std::uint32_t outside = 0;
    std::uint32_t count = 0;
    bool operator==(const IdRange&) const = default;
};

// What the launcher found out about a process through its own procfs. Ids are the host's.
struct TargetFacts {
    std::uint32_t pid = 0;
    std::uint64_t startTime = 0;  // clock ticks since boot, field 22 of proc(5) stat
    std::string cgroup;           // the path on the unified hierarchy ("0::" line), or v1's pids or name=systemd where that has none
    std::array<std::uint64_t, kNamespaces> namespaces{};  // inodes
    std::uint32_t hostNamespaces = 0;                     // bits: this namespace is the host's (the launcher's own)
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::vector<std::uint32_t> groups;
    std::uint64_t capBounding = 0;
    std::uint64_t capEffective = 0;
    std::uint64_t rootDevice = 0;
    std::uint64_t rootInode = 0;
    std::vector<std::string> foreignMounts;  // FUSE and network submounts, "TYPE PATH"; left out of a view
    bool userNamespaceMapped = false;        // the target has a user namespace of its own; then these are its maps
    std::vector<IdRange> uidMap;
    std::vector<IdRange> gidMap;
};

struct Limits {                  // all mandatory, never 0
    std::uint64_t memory = 0;    // bytes
    std::uint32_t cpuMilli = 0;  // thousandths of a CPU
    std::uint32_t pids = 0;
    std::uint64_t scratch = 0;  // bytes of the copy-on-write layer
};

struct Plan {
    std::string runId;
    std::uint64_t timeoutUsec = 0;  // from START to the first TERM
    std::uint64_t graceUsec = 0;    // from TERM to KILL
    std::uint32_t callerUid = 0;    // for the record only
    std::string boundTo;            // for the record only: the bus name that the run ends with; "": none
    std::string capsule;            // for the record only
    std::string target;             // for the record only
    // expected of the target; a difference refuses the run
    std::uint64_t startTime = 0;
    std::string cgroup;
    std::array<std::uint64_t, kNamespaces> expected{};  // inodes of what is joined or observed; 0: not looked at
    // sandbox
    std::uint32_t namespaces = 0;
    Processes processes = Processes::None;
    View view = View::None;
    std::vector<std::string> writes;  // with View::Write: absolute paths of the target's that can be written, with what is below
    bool freeze = false;              // the target's cgroup stands still while the capsule lives
    std::string imageDigest;          // 64 hex digits
    std::vector<std::string> layers;  // diff-ids, 64 hex digits, lowest first
    std::string executable;           // absolute path in the image
    std::vector<std::string> argv;
    std::vector<std::string> env;
    std::string workdir;
    std::uint32_t uid = 0;  // the host's numbers, in a joined user namespace too
    std::uint32_t gid = 0;
    std::vector<std::uint32_t> groups;
    std::uint64_t capabilities = 0;
    std::uint64_t noFile = 0;  // RLIMIT_NOFILE; 0: the ceiling's
    Limits limits;
    std::array<Stdio, 3> stdio{Stdio::Null, Stdio::Log, Stdio::Log};
    std::uint8_t attached =
        0;                   // bits: a unix stream socket travels for this stream, to be attached from the start; not with Null and Given
    std::uint32_t rows = 0;  // of the terminal
    std::uint32_t columns = 0;
    std::uint64_t logMax = 0;  // bytes of the log, both streams together
    std::string artifacts;     // absolute path in the capsule; empty: none
    std::uint64_t artifactsMax = 0;
    Storage artifactsStorage = Storage::Memory;
    std::vector<std::uint64_t> filter;  // struct sock_filter as 8 bytes each; empty is refused
};

struct Started {
    std::string runId;
};

enum class RunPhase : std::uint8_t { Attached = 1, Executing = 2, Finished = 3 };

// How a payload's life ended, as the launcher saw it.
enum class End : std::uint8_t {
    Exited = 0,      // value = exit status
    Signalled = 1,   // value = signal
    TimedOut = 2,    // deadline; value as a shell says it: exit status, or 128 + signal
    Stopped = 3,     // STOP; value as for TimedOut
    TargetGone = 4,  // the target ended first; value as for TimedOut
    NotStarted = 5,  // a step of the attach failed: step, error
};

struct Report {
    std::string runId;
    End end = End::NotStarted;
    std::int32_t value = 0;
    std::string step;        // for NotStarted: the step that failed
    std::int32_t error = 0;  // its errno
    std::string message;     // for people; may be empty
    // microseconds of CLOCK_MONOTONIC
    std::uint64_t received = 0;
    std::uint64_t attached = 0;
    std::uint64_t executing = 0;
    std::uint64_t finished = 0;
    std::uint64_t escaped = 0;
    std::vector<std::string> left;    // empty: escape is clean
    std::uint64_t cpuUsec = 0;        // of all its processes together
    std::uint64_t cpuSystemUsec = 0;  // of that, in the kernel
    std::uint64_t memoryPeak = 0;     // 0 here: this kernel does not count it, or nothing was started
    std::uint64_t pidsPeak = 0;
    bool outOfMemory = false;
    bool logTruncated = false;
    std::uint64_t logBytes = 0;
    std::vector<std::string> unenforcedLimits;  // with limits = "best-effort"
    std::vector<std::string> omittedMounts;     // left out of the view: FUSE and network mounts; merged: what the image covers
    std::vector<std::string> written;           // merged: "C PATH" made or changed, "D PATH" deleted; all of it is gone by now
    bool hasArtifacts = false;
};

struct RunEvent {
    RunPhase phase{};
    Report report;  // whole for Finished; runId and the times so far otherwise
};

struct SignalRequest {
    std::string runId;
    std::int32_t signal = 0;
};
struct StopRequest {
    std::string runId;
    std::uint64_t graceUsec = 0;
};
struct ResizeRequest {
    std::string runId;
    std::uint32_t rows = 0;
    std::uint32_t columns = 0;
};
struct AttachRequest {
    std::string runId;
    bool takeOver = false;     // where somebody is attached: they no longer are
    std::uint64_t replay = 0;  // begin with so many of each stream's last bytes, as far as they are still here
};
struct RunRef {
    std::string runId;
};
struct ImageRef {
    std::string digest;  // 64 hex digits
};

enum class WatchKind : std::uint8_t { Oom = 0, Pressure = 1, File = 2 };
enum class Resource : std::uint8_t { Memory = 0, Cpu = 1, Io = 2 };
// What of a container is to be watched. It is opened here, as recapd may not, and then is recapd's: the launcher keeps no descriptor of
// it, only counts it, for as long as its asker is connected or until UNWATCH.
struct WatchRequest {
    std::string target;  // for the record only
    // expected of the target; a difference refuses the watch
    std::uint64_t startTime = 0;
    std::string cgroup;
    std::uint64_t mounts = 0;  // inode of its mount namespace; 0: not looked at
    WatchKind kind = WatchKind::Oom;
    Resource resource = Resource::Memory;  // of Pressure, as are the next two; else 0
    std::uint64_t stallUsec = 0;           // of some task in the target's cgroup, within
    std::uint64_t windowUsec = 0;
    std::string path;  // of File: absolute, looked up below the target's root; symbolic links lead to no place outside of it
};

// What to do with the descriptor that tells of the event.
enum class WatchForm : std::uint8_t {
    Counters = 0,  // memory.events, read-only: POLLPRI when a number in it has changed; "oom_kill" counts what is meant
    Counter = 1,   // an eventfd(2): read it; it counts once more when its cgroup goes
    Trigger = 2,   // a PSI trigger: POLLPRI when it was pulled, at most once a window; POLLERR when its cgroup is gone
    Changes = 3,   // an inotify(7) with one watch: on a file, or on a folder and what is right in it
};
struct Watched {
    std::uint64_t id = 0;  // for UNWATCH
    WatchForm form = WatchForm::Counters;
    // Trigger: as the kernel was asked. Without CAP_SYS_RESOURCE it takes only windows of whole 2 s: then the next longer one is asked for,
    // with as much more to stall.
    std::uint64_t stallUsec = 0;
    std::uint64_t windowUsec = 0;
};
struct WatchRef {
    std::uint64_t id = 0;
};

struct RunState {
    RunPhase phase{};  // Attached: not yet executing
    Report report;
    std::string capsule;
    std::string target;
    std::uint32_t callerUid = 0;
    std::string boundTo;
    bool terminal = false;
};
struct RunList {
    std::vector<RunState> runs;
};

struct ImageEntry {
    std::string digest;
    bool admitted = false;
};
struct ImageList {
    std::vector<ImageEntry> images;
};

// Every reply: status first; a failed one carries a sentence and no body.
struct Reply {
    Errc status = Errc::None;
    std::string message;
};

// Where things are below the store's folder. Root-owned; written by the launcher and, in its jail, by recap-unpack.
//   layers/<diff-id>/          an unpacked layer
//   images/<digest>            an ImageRecord (flat)
//   admitted/<digest>          exists: root has admitted the image
//   incoming/<n>/              what recap-unpack writes: layers/<diff-id>/, image (ImageRecord), answer.json
// ImageRecord: "RIMG", u32 version 1, u32 machine (ELF e_machine), u32 layer count, digest (32 bytes), diff-ids (32 bytes each).
inline constexpr std::uint32_t kImageRecordVersion = 1;
inline constexpr std::size_t kMaxLayers = 128;

}  // namespace recap::launcher
