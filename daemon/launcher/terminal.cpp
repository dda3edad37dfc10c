// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/terminal.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <string>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/kernel.hpp"

namespace recap::launcher {

namespace {

// Owned by the payload's user, and nobody's but its to open: no group tty, no mesg(1).
UniqueFd mountDevpts(std::uint32_t uid, std::uint32_t gid) {
    UniqueFd context(::fsopen("devpts", FSOPEN_CLOEXEC));
    if (!context) return {};
    const std::string user = std::to_string(uid), group = std::to_string(gid);
    const struct {
        const char* key;
        const char* value;
    } keys[] = {{"uid", user.c_str()}, {"gid", group.c_str()}, {"mode", "600"}, {"ptmxmode", "666"}, {"max", kMostPtys}};
    if (kernel::setFlag(context.get(), "newinstance") != 0) return {};
    for (const auto& [key, value] : keys)
        if (kernel::setKey(context.get(), key, value) != 0) return {};
    return UniqueFd(kernel::createMount(context.get(), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
}

}  // namespace

Result<Terminal> openTerminal(std::uint32_t uid, std::uint32_t gid, std::uint32_t rows, std::uint32_t columns) {
    Terminal terminal;
    terminal.mount = mountDevpts(uid, gid);
    if (!terminal.mount) return failErrno("mount devpts");
    terminal.master.reset(::openat(terminal.mount.get(), "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
    const int unlocked = 0;
    if (!terminal.master || ::ioctl(terminal.master.get(), TIOCSPTLCK, &unlocked) != 0) return failErrno("open a terminal");
    terminal.slave.reset(::ioctl(terminal.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (!terminal.slave) return failErrno("open a terminal's other side");
    if (auto sized = resizeTerminal(terminal.master.get(), rows, columns); !sized) return forward(std::move(sized));
    return terminal;
}

Result<void> resizeTerminal(int master, std::uint32_t rows, std::uint32_t columns) {
    if (rows > UINT16_MAX || columns > UINT16_MAX)
        return fail(Errc::InvalidArgument, "a terminal of " + std::to_string(rows) + " rows and " + std::to_string(columns) +
                                               " columns; 65535 is the most of each");
    const winsize size{static_cast<unsigned short>(rows), static_cast<unsigned short>(columns), 0, 0};
    if (::ioctl(master, TIOCSWINSZ, &size) != 0) return failErrno("resize the terminal");
    return {};
}

// /dev/ptmx, /dev/tty and the folder are the template's, where they lead nowhere without this. There is no /dev/console: that is
// the host's.
int mountTerminal(Attach& attach) {
    if (!attach.terminal) return 0;
    return ::move_mount(attach.terminal.get(), "", attach.devices.get(), "pts", MOVE_MOUNT_F_EMPTY_PATH);
}

// In the payload, which leads a session of its own by now. What it leads is in the foreground.
int controlTerminal(const Attach& attach) { return attach.terminal ? ::ioctl(0, TIOCSCTTY, 0) : 0; }

}  // namespace recap::launcher
