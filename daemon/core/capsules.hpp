// SPDX-License-Identifier: Apache-2.0
// Capsules and policies as the rest of recapd sees them: what can be listed, shown and asked polkit about. The manifests
// themselves stay in daemon/plan, which implements this; files are the truth.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/core/schedule.hpp"
#include "daemon/core/selection.hpp"
#include "sdk/base/result.hpp"

namespace recap {

// Who has armed a capsule's schedule, and for what: its runs are this user's.
struct Enabling {
    std::uint32_t uid = 0;
    std::string asks;         // asks() of the capsule as it was then: the user's right was asked about no other
    std::uint64_t since = 0;  // CLOCK_REALTIME, µs
    std::uint64_t last = 0;   // likewise, when its timer ran it last; 0: not yet
    bool operator==(const Enabling&) const = default;
};

struct CapsuleInfo {
    std::string name;
    std::string version;
    std::string description;
    std::string image;  // reference, as the manifest has it
    std::vector<std::string> command;
    std::vector<std::string> namespaces;    // the manifest's words: "net"
    std::vector<std::string> capabilities;  // "CAP_NET_RAW"
    std::string processes = "none";
    std::string view = "none";
    std::vector<std::string> writes;  // with view = "write": paths of the target's
    std::string user = "target";
    std::string policy = "default";
    std::string reason;
    std::vector<std::string> adjustable;  // what a caller may choose: "view"
    bool freeze = false;
    bool tty = false;
    Selection selection;       // [target]
    CapsuleSchedule schedule;  // [schedule]
    bool enabled = false;
    Enabling enabling;           // of one that is enabled
    std::string path;            // the file it comes from
    std::string problem;         // why that file could not be read; then only name and path are set
    std::uint64_t revision = 0;  // another one whenever the manifest's text is another
};

// Needs org.recap1.run-privileged rather than org.recap1.run.
inline bool privileged(const CapsuleInfo& capsule) {
    return !capsule.capabilities.empty() || capsule.processes == "join" || capsule.view == "merged" || capsule.view == "write" ||
           capsule.user != "target" || capsule.freeze;
}

// What the capsule would have on any target: what polkit is told when it is enabled, and what may be written by which profile.
std::string asks(const CapsuleInfo& capsule);

class CapsuleStore {
public:
    virtual ~CapsuleStore() = default;
    virtual Result<const CapsuleInfo*> find(std::string_view name) const = 0;  // valid until the next call that changes
    virtual std::vector<const CapsuleInfo*> list() const = 0;                  // by name; unreadable files too
    // The name in a manifest that is not installed, for polkit; InvalidArgument where it cannot be read.
    virtual Result<std::string> nameIn(std::string_view) const { return std::string(); }
    // Likewise all of it.
    virtual Result<CapsuleInfo> infoIn(std::string_view) const { return CapsuleInfo(); }
    virtual Result<std::string> install(std::string_view toml, bool replace) = 0;  // its name
    virtual Result<void> remove(std::string_view name) = 0;                        // of an installed one only
    virtual Result<void> reload() = 0;  // a bad file keeps its old version and is in the error's sentence
    // Whose schedules are armed is kept durably; what it takes to be enabled is daemon/triggers' to know.
    virtual Result<void> enable(std::string_view, std::uint32_t /*uid*/) { return fail(Errc::NotSupported, "nothing is enabled here"); }
    // As it was enabled before.
    virtual Result<void> restore(std::string_view, const Enabling&) { return fail(Errc::NotSupported, "nothing is enabled here"); }
    virtual Result<void> disable(std::string_view) { return fail(Errc::NotSupported, "nothing is enabled here"); }
    // Of whatever is called so now or will be; nothing: it is not enabled.
    virtual std::optional<Enabling> enablingOf(std::string_view) const { return {}; }
    virtual void ranAsScheduled(std::string_view) {}  // just now, by its timer
};

struct PolicyInfo {
    std::string name;
    std::string description;
    std::string path;
    std::string problem;
};

class PolicyStore {
public:
    virtual ~PolicyStore() = default;
    virtual std::vector<PolicyInfo> list() const = 0;
    virtual Result<void> reload() = 0;
};

}  // namespace recap
