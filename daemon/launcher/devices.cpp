// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/kernel.hpp"

namespace recap::launcher {

namespace {

struct Node {
    const char* name;
    unsigned major;
    unsigned minor;
};
// tty is whatever terminal the opener has
constexpr Node kNodes[] = {{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};

struct Link {
    const char* name;
    const char* to;
};
// shm_open(3) wants /dev/shm: the capsule's own /tmp serves, on its own copy-on-write layer.
constexpr Link kLinks[] = {
    {"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
    {"shm", "/tmp"},         {"ptmx", "pts/ptmx"}};

bool fill(int dir) {
    for (const auto& node : kNodes)
        if (::mknodat(dir, node.name, S_IFCHR | 0666, makedev(node.major, node.minor)) != 0 || ::fchmodat(dir, node.name, 0666, 0) != 0)
            return false;
    for (const auto& link : kLinks)
        if (::symlinkat(link.to, dir, link.name) != 0) return false;
    return ::mkdirat(dir, "pts", 0755) == 0;  // terminal.cpp
}

}  // namespace

// A clone of this costs a tenth of making the nodes anew; it is read-only, so that capsules cannot speak through it.
Result<UniqueFd> makeDeviceTemplate(const std::string& mountpoint) {
    UniqueFd context(::fsopen("tmpfs", FSOPEN_CLOEXEC));
    if (!context || kernel::setKey(context.get(), "size", "64k") != 0 || kernel::setKey(context.get(), "mode", "755") != 0)
        return failErrno("fsopen tmpfs");
    UniqueFd mount(kernel::createMount(context.get(), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
    if (!mount) return failErrno("mount the /dev template");
    if (!fill(mount.get())) return failErrno("fill the /dev template");
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_RDONLY;
    if (::mount_setattr(mount.get(), "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) != 0)
        return failErrno("make the /dev template read-only");
    if (::move_mount(mount.get(), "", AT_FDCWD, mountpoint.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0)
        return failErrno("mount the /dev template at " + mountpoint);
    UniqueFd device(::open(mountpoint.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!device) return failErrno("open " + mountpoint);
    return device;
}

}  // namespace recap::launcher
