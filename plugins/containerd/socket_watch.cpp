// SPDX-License-Identifier: Apache-2.0
#include "plugins/containerd/socket_watch.hpp"

#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <system_error>

namespace recap::containerd {

SocketWatch::SocketWatch(std::filesystem::path socket) : socket_(std::move(socket)), inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
    if (!inotify_) throw std::system_error(errno, std::generic_category(), "inotify");
}

void SocketWatch::arm() {
    for (auto path = socket_; path.has_parent_path() && path != path.parent_path(); path = path.parent_path()) {
        const int watch = ::inotify_add_watch(inotify_.get(), path.parent_path().c_str(),
                                              IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);
        if (watch < 0) continue;
        if (watch != watch_ && watch_ >= 0) ::inotify_rm_watch(inotify_.get(), watch_);
        watch_ = watch;
        awaited_ = path.filename();
        return;
    }
}

bool SocketWatch::changed() {
    alignas(inotify_event) std::array<char, 8192> buffer;
    bool any = false;
    for (ssize_t got = 0; (got = ::read(inotify_.get(), buffer.data(), buffer.size())) > 0;) {
        for (const char* at = buffer.data(); at < buffer.data() + got;) {
            inotify_event event{};
            std::memcpy(&event, at, sizeof event);
            const std::string name = event.len > 0 ? at + sizeof event : "";
            at += sizeof event + event.len;
            if (event.wd != watch_) continue;  // of an earlier watch
            any = any || name == awaited_ || (event.mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) != 0;
        }
    }
    return any;
}

Result<void> SocketWatch::tryConnect() const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = socket_;
    if (path.size() >= sizeof address.sun_path)
        return fail(Errc::InvalidArgument, "socket '" + path + "': longer than a socket's path may be");
    path.copy(address.sun_path, path.size());
    const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return failErrno("socket");
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return {};
    if (errno == ENOENT || errno == ENOTDIR) return fail(Errc::NotFound, "no socket at '" + path + "'");
    if (errno == EAGAIN) return fail(Errc::Unavailable, "containerd at '" + path + "' accepts no more connections");
    return fail(Errc::Unavailable, "connect to '" + path + "': " + ::strerrordesc_np(errno));
}

}  // namespace recap::containerd
