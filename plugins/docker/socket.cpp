// SPDX-License-Identifier: Apache-2.0
#include "plugins/docker/socket.hpp"

#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <system_error>

namespace recap::docker {

namespace fs = std::filesystem;

Socket::Socket(fs::path path) : path_(std::move(path)), inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
    if (!inotify_) throw std::system_error(errno, std::generic_category(), "inotify");
}

Result<void> Socket::probe() const {
    const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return failErrno("socket");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.string().copy(address.sun_path, sizeof address.sun_path - 1);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return {};
    switch (errno) {
        case ENOENT:
        case ENOTDIR: return fail(Errc::NotFound, "no socket at " + path_.string());
        case ECONNREFUSED: return fail(Errc::NotFound, "nobody listens at " + path_.string());
        case EACCES: return fail(Errc::AccessDenied, "no right to use " + path_.string() + "; a member of its group has it");
        case EAGAIN: return fail(Errc::Unavailable, "nobody accepts connections at " + path_.string());
        default: return failErrno("connect to " + path_.string());
    }
}

void Socket::look() {
    fs::path folder = path_.parent_path();
    std::string awaited = path_.filename();
    std::error_code ignored;
    while (!fs::is_directory(folder, ignored) && folder != folder.root_path()) {
        awaited = folder.filename();
        folder = folder.parent_path();
    }
    const int watch = ::inotify_add_watch(inotify_.get(), folder.c_str(), IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_ONLYDIR);
    if (watch_ >= 0 && watch != watch_) ::inotify_rm_watch(inotify_.get(), watch_);
    watch_ = watch;
    awaited_ = std::move(awaited);
}

bool Socket::hasCome() {
    alignas(inotify_event) std::array<char, 8192> buffer;
    bool come = false;
    for (ssize_t got = 0; (got = ::read(inotify_.get(), buffer.data(), buffer.size())) > 0;) {
        for (ssize_t at = 0; at < got;) {
            const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
            come = come || (event->len > 0 && awaited_ == event->name);
            at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
        }
    }
    return come;
}

std::chrono::milliseconds Backoff::next() {
    const auto longest = step_.count();
    step_ = std::min(step_ * 2, kLongest);
    return std::chrono::milliseconds(std::uniform_int_distribution<std::int64_t>(longest / 2, longest)(random_));
}

Result<fs::path> socketPath(const std::string& endpoint) {
    constexpr std::string_view scheme = "unix://";
    const fs::path path = endpoint.starts_with(scheme) ? endpoint.substr(scheme.size()) : std::string();
    if (!path.is_absolute() || !path.has_filename())
        return fail(Errc::InvalidArgument, "'endpoint' is '" + endpoint + "'; a unix socket, unix:///PATH, is wanted");
    if (path.string().size() >= sizeof(sockaddr_un::sun_path))
        return fail(Errc::InvalidArgument, "'endpoint' is '" + endpoint + "', which is too long for a unix socket's path");
    return path;
}

}  // namespace recap::docker
