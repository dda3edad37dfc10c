// SPDX-License-Identifier: Apache-2.0
// Capsules' roots: an image's layers with a copy-on-write layer on a tmpfs of its own over them. Mounting one is the largest part
// of an attach, so a worker makes the next one of the same kind while it has nothing else to do. Each root serves one run.
#pragma once

#include <linux/openat2.h>
#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/launcher/fallback_overlay.hpp"
#include "daemon/launcher/protocol.hpp"
#include "daemon/launcher/weaken.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::launcher {

// What two runs must have in common to be served by the same kind of root.
struct RootKind {
    // The layers' folders, lowest first. A root that was made ahead holds them, so that their numbers are not used again while
    // it lives, and an image that was removed and imported anew is another one.
    std::vector<std::pair<dev_t, ino_t>> layers;
    std::uint64_t scratch = 0;
    std::vector<std::string> mountpoints;
    bool operator==(const RootKind&) const = default;
};

// What stands below /.recap while a capsule observes: its own procfs, and links into that.
inline constexpr const char* kSelfLinks[] = {"self", "thread-self"};

// Where the target's files are shown; merged: where their submounts are sorted before they are taken to their places.
constexpr std::string_view targetAt(const Plan& plan) { return plan.view == View::Merged ? "/.recap/target" : "/target"; }

// The folders that are mounted on.
std::vector<std::string> mountpointsOf(const Plan& plan);

// A tmpfs of its own gives a size limit, and dies with its last user: a detached mount, or -1 with errno.
int makeTmpfs(std::uint64_t size, const char* mode, std::uint32_t uid, std::uint32_t gid);

// For openat2(2): how a name in a tree that others make is looked up: nowhere else than in that tree, whatever is a link in it.
inline std::uint64_t beneath() {
    return weakened(Threat::DivertedMounts) ? 0 : RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
}

// Opens a folder below `root`, making what is missing (in the copy-on-write layer). A symbolic link in its way, or anything else
// that is no folder, is the image's doing and fails. -1 with errno.
int openMountpoint(int root, const std::string& path);

class Roots {
public:
    Roots() = default;
    // All are mounted there; take()'s layers are of it too.
    explicit Roots(const Workshop* workshop) : workshop_(workshop) {}
    // A detached mount for this plan; `layers`: its layers' folders, lowest first. Empty, with errno, where it can't be made.
    UniqueFd take(const Plan& plan, std::span<const UniqueFd> layers);
    // Whether a root should be made ahead; then makeNext() does so. To be called when nobody waits.
    bool lacksNext() const { return !next_.layers.empty(); }
    void makeNext();
    // One for this plan, without taking it.
    void makeAhead(const Plan& plan, std::span<const UniqueFd> layers);

private:
    static constexpr std::size_t kMost = 4;
    struct Ready {
        RootKind kind;
        UniqueFd root;
    };
    struct Next {
        RootKind kind;
        std::vector<UniqueFd> layers;
    };
    // The mountpoints, made once for all roots that have the same ones, whose lowest layer they are.
    struct Scaffold {
        std::vector<std::string> mountpoints;
        UniqueFd mount;
    };
    static std::optional<Next> kindOf(const Plan& plan, std::span<const UniqueFd> layers);
    UniqueFd makeKind(const RootKind& kind, std::span<const UniqueFd> layers);
    int scaffoldOf(const std::vector<std::string>& mountpoints);

    const Workshop* workshop_ = nullptr;  // where this kernel mounts layers by name only
    std::deque<Ready> ready_;             // the last used is the last
    Next next_;
    std::deque<Scaffold> scaffolds_;
};

}  // namespace recap::launcher
