// SPDX-License-Identifier: Apache-2.0
// A capsule's manifest (capsule.toml) as values. The reader in reader.hpp makes these from text; nothing here knows TOML.
// The schema is the contract of architecture "Manifest"; recap-capsule(5) documents it for authors.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sdk/base/result.hpp"

namespace recap::manifest {

enum class ArgsMode { Append, Replace, Refuse };
enum class Namespace : std::uint32_t {  // bits of Sandbox::namespaces
    Pid = 1,
    Net = 2,
    Ipc = 4,
    Uts = 8,
    User = 16,
    Cgroup = 32,
    Time = 64,
};
enum class Adjustable : std::uint32_t {  // bits of Sandbox::adjustable
    View = 1,
    User = 2,
    Processes = 4,
    Image = 8,
};
enum class Processes { None, Observe, Join };
enum class View { None, ReadOnly, Merged, Write };
enum class OnViolation { Errno, Kill, Log };
enum class TargetMode { All, One, Fixed, Percent };
enum class Overlap { Skip, Queue, Replace, Allow };
enum class Missed { RunOnce, Skip };
enum class Storage { Memory, Disk };
enum class Verdict { ExitStatus, Report };

struct Build {  // exactly one of the three is set
    std::vector<std::string> packages;
    std::vector<std::string> binaries;
    std::string dockerfile;
    std::map<std::string, std::string> files;  // path in the image -> a file beside the manifest
    std::map<std::string, std::string> links;  // path in the image -> what it leads to
};

struct SelectorExpression {
    std::string key;
    std::string op;  // = != in notin exists
    std::vector<std::string> values;
};

struct TargetSelection {
    std::map<std::string, std::string> selector;
    std::vector<SelectorExpression> expressions;
    std::vector<std::string> backends;  // empty: all
    TargetMode mode = TargetMode::All;
    std::uint32_t modeValue = 0;  // N of fixed:N, P of percent:P
    std::uint32_t parallel = 8;
};

// user = "target" | "root" | "uid:gid"
struct User {
    enum class Kind { Target, Root, Ids } kind = Kind::Target;
    std::uint32_t uid = 0;  // for Ids
    std::uint32_t gid = 0;
};

struct Syscalls {  // nothing set: the profile's own
    std::vector<std::string> groups;
    std::vector<std::string> allow;
    std::vector<std::string> deny;
    std::optional<OnViolation> onViolation;
};

struct Sandbox {
    std::uint32_t namespaces = 0;  // of Namespace
    Processes processes = Processes::None;
    View view = View::None;
    std::vector<std::string> writes;
    User user;
    std::vector<std::string> capabilities;  // "CAP_NET_RAW", known to this kernel's table
    std::string policy = "default";
    bool freeze = false;
    std::uint32_t adjustable = 0;  // of Adjustable: what a caller may choose
    std::string reason;
    Syscalls syscalls;
};

// Unset: the profile's default. Never unlimited.
struct Limits {
    std::optional<std::uint64_t> memory;  // bytes
    std::optional<double> cpu;            // CPUs
    std::optional<std::uint32_t> pids;
    std::optional<std::uint64_t> scratch;  // bytes of the copy-on-write layer
    std::optional<std::chrono::microseconds> timeout;
};

struct Periodic {  // one of calendar and every
    std::string calendar;
    std::optional<std::chrono::microseconds> every;
    std::chrono::microseconds randomizedDelay{0};
};

struct EventTrigger {
    std::string on;        // target-start target-stop oom pressure file-changed dbus-signal run-finished
    std::string resource;  // pressure
    std::chrono::microseconds stall{0};
    std::chrono::microseconds window{0};
    std::string path;     // file-changed
    std::string match;    // dbus-signal: a match rule in the one form that parseMatchRule() gives it
    std::string sender;   // likewise: the well-known name in it
    std::string capsule;  // run-finished
    std::string outcome;
    std::chrono::microseconds cooldown{0};
};

struct Schedule {
    bool onDemand = true;
    Overlap overlap = Overlap::Skip;
    Missed missed = Missed::RunOnce;
    std::optional<Periodic> periodic;
    std::vector<EventTrigger> events;
};

struct Output {
    std::string artifacts;  // absolute path in the capsule; empty: none
    std::uint64_t maxSize = 64u << 20;
    Storage storage = Storage::Memory;
    std::chrono::seconds keep{7 * 24 * 3600};
    Verdict verdict = Verdict::ExitStatus;
};

struct Manifest {
    std::uint32_t schema = 1;
    std::vector<std::string> requirements;  // "recap >= 0.1"
    std::string name;
    std::string version;
    std::string description;
    std::string image;  // reference; may end in @sha256:…
    std::vector<std::string> command;
    ArgsMode args = ArgsMode::Append;
    std::map<std::string, std::string> env;
    std::string workdir = "/";
    bool tty = false;
    std::optional<Build> build;
    TargetSelection target;
    Sandbox sandbox;
    Limits limits;
    Schedule schedule;
    Output output;
};

}  // namespace recap::manifest
