// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/watch_file.hpp"

#include <signal.h>
#include <sys/inotify.h>
#include <sys/prctl.h>

#include <algorithm>

#include "daemon/launcher/checks.hpp"
#include "daemon/launcher/fault.hpp"
#include "daemon/launcher/kernel.hpp"
#include "daemon/launcher/weaken.hpp"

namespace recap::launcher {

namespace {

constexpr int kMostTries = 32;  // of a lookup beside which the target renames folders
constexpr std::uint32_t kChanges =
    IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF;

tl::unexpected<Error> foreign(const WatchOrder& order, const MountLine& mount) {
    return fail(Errc::NotSupported, "file: " + order.what.path + " of target " + order.what.target + " is on a " + mount.type + " mount, " +
                                        mount.path + ", where nobody tells of changes");
}

// What is seen without asking anybody: the names of the target's mounts.
Result<void> checkWay(const WatchOrder& order, const std::vector<MountLine>& mounts) {
    for (const auto& mount : mounts)
        if (isForeign(mount.type) && isAtOrBelow(order.what.path, mount.path)) return foreign(order, mount);
    return {};
}

std::string mountOf(const WatchOrder& order, int file) {
    const auto info = order.procfs.readSelf("fdinfo/" + std::to_string(file), 4096);
    return info ? std::string(statusLine(*info, "mnt_id")) : std::string();
}

// Where a link or a rename led it after all. Asks no file system. The mount that the root is in is not in the target's table where the
// root is but a folder of it.
Result<void> checkPlace(const WatchOrder& order, const std::vector<MountLine>& mounts, int root, int file) {
    const std::string id = mountOf(order, file);
    const auto mount = std::ranges::find_if(mounts, [&](const MountLine& one) { return std::to_string(one.id) == id; });
    if (mount != mounts.end()) return isForeign(mount->type) ? foreign(order, *mount) : Result<void>{};
    if (!id.empty() && id == mountOf(order, root)) return {};
    return fail(Errc::Busy, "file: the target changes its mounts; try again");
}

Result<UniqueFd> openRoot(const WatchOrder& order, pid_t pid) {
    auto root = order.procfs.open(pid, "root", O_PATH);
    if (!root) return forward(std::move(root));
    const auto id = folderId(root->get());
    if (!id || (*id != order.root && !weakened(Threat::SwappedTarget)))
        return fail(Errc::TargetGone, "the target changed its root while it was looked at");
    if (!alive(order.target)) return fail(Errc::TargetGone, "process " + std::to_string(pid) + " has ended");
    return root;
}

Result<UniqueFd> lookUp(const WatchOrder& order, int root) {
    const std::string& path = order.what.path;
    const std::string where = "file: " + path + " of target " + order.what.target;
    const std::uint64_t resolve = weakened(Threat::DivertedMounts) ? 0 : RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    const char* name = weakened(Threat::DivertedMounts) && path.size() > 1 ? path.c_str() + 1 : path.c_str();
    for (int i = 0; i < kMostTries; ++i) {
        UniqueFd file(kernel::openat2(root, name, O_PATH, resolve));
        if (file) return file;
        if (errno != EAGAIN) break;  // a rename beside a ".." of a link's
    }
    if (errno == ENOENT || errno == ENOTDIR) return fail(Errc::NotFound, where + ": there is none");
    if (errno == EAGAIN) return fail(Errc::Busy, where + ": it is being renamed all the time");
    if (errno == ELOOP) return fail(Errc::Denied, where + ": leads over too many links, or over one of /proc/PID's");
    return failErrno(where);
}

// An instance is of whoever makes it: recapd has its user's quota, not root's.
Result<UniqueFd> makeInotify(std::uint32_t owner) {
    if (::seteuid(owner) != 0) return failErrno("become the owner of an inotify instance");
    UniqueFd inotify(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    const int error = errno;
    // A change of identity takes both away.
    if (::seteuid(0) != 0 || ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return failErrno("become root again");
    if (inotify) return inotify;
    if (error == EMFILE)
        return fail(Errc::LimitExceeded,
                    "file: uid " + std::to_string(owner) + " has all inotify instances that fs.inotify.max_user_instances allows");
    return failErrno("inotify_init1", error);
}

}  // namespace

Result<OpenedWatch> openFile(const WatchOrder& order) {
    auto pid = order.procfs.pidOf(order.target);
    if (!pid) return forward(std::move(pid));
    auto inotify = makeInotify(order.owner);
    if (!inotify) return forward(std::move(inotify));
    auto root = openRoot(order, *pid);
    if (!root) return forward(std::move(root));
    auto text = order.procfs.read(*pid, "mountinfo", Procfs::kMaxMountinfo);
    if (!text) return forward(std::move(text));
    const auto mounts = parseMountinfo(*text);
    if (!weakened(Threat::HangingMounts))
        if (auto way = checkWay(order, mounts); !way) return forward(std::move(way));
    faultPoint("watch", "look up");
    auto file = lookUp(order, root->get());
    if (!file) return forward(std::move(file));
    if (!weakened(Threat::HangingMounts) && !weakened(Threat::DivertedMounts))
        if (auto place = checkPlace(order, mounts, root->get(), file->get()); !place) return forward(std::move(place));
    // inotify_add_watch(2) takes a path alone; this one is the launcher's own.
    const std::string name = "self/fd/" + std::to_string(file->get());
    if (::fchdir(order.procfs.fd()) != 0) return failErrno("change to the launcher's procfs");
    if (::inotify_add_watch(inotify->get(), name.c_str(), kChanges) >= 0)
        return OpenedWatch{{.form = WatchForm::Changes}, std::move(*inotify)};
    if (errno == ENOSPC)
        return fail(Errc::LimitExceeded,
                    "file: uid " + std::to_string(order.owner) + " has all watches that fs.inotify.max_user_watches allows");
    return failErrno("watch " + order.what.path + " of target " + order.what.target);
}

}  // namespace recap::launcher
