// SPDX-License-Identifier: Apache-2.0
// The backend of Docker Engine, and of podman's socket that speaks like it. See README.md for what it finds and how.
#include <unistd.h>
#include <recap/plugin.hpp>

#include <cerrno>
#include <cstring>

#include "plugins/docker/session.hpp"
#include "plugins/docker/socket.hpp"
#include "plugins/docker/target.hpp"

namespace {

namespace plugin = recap::plugin;
namespace docker = recap::docker;
using recap::Errc;
using recap::Error;
using recap::Result;

// What is asked for on the way of a search, which has ten seconds.
constexpr docker::EngineTimes kSearch{.answer = std::chrono::milliseconds(2'500), .inspect = std::chrono::milliseconds(2'500)};

plugin::Code codeOf(Errc code) {
    switch (code) {
        case Errc::NotFound: return plugin::Code::NotFound;
        case Errc::InvalidArgument: return plugin::Code::Invalid;
        case Errc::AccessDenied:
        case Errc::Timeout:
        case Errc::Unavailable: return plugin::Code::Unavailable;
        default: return plugin::Code::Internal;
    }
}

[[noreturn]] void raise(const Error& error) { throw plugin::Error(codeOf(error.code), error.message); }

bool isReadable(int fd) {
    pollfd one{fd, POLLIN, 0};
    return ::poll(&one, 1, 0) > 0;
}

// Never waits in write(2): a pipe that is ready takes a page.
Result<void> writeAll(int out, int stopFd, std::string_view bytes) {
    constexpr std::size_t page = 4096;
    while (!bytes.empty()) {
        std::array<pollfd, 2> fds{pollfd{out, POLLOUT, 0}, pollfd{stopFd, POLLIN, 0}};
        if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return recap::failErrno("poll");
        if (fds[1].revents != 0) return recap::fail(Errc::Unavailable, "asked to end while an image was written");
        const ssize_t wrote = ::write(out, bytes.data(), std::min(bytes.size(), page));
        if (wrote < 0 && errno != EINTR && errno != EAGAIN) return recap::failErrno("write the image");
        bytes.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(wrote, 0)));
    }
    return {};
}

class DockerBackend {
public:
    explicit DockerBackend(plugin::Settings& settings) : socket_(endpointIn(settings)) {
        times_.resync = settings.duration("resync").value_or(times_.resync);
        if (times_.resync < std::chrono::seconds(1)) throw plugin::Error(plugin::Code::Invalid, "'resync' is below 1s");
    }

    void run(plugin::Sink& sink) {
        docker::Memory memory;
        docker::Backoff backoff;
        while (!sink.stopping()) {
            socket_.look();
            Error problem = connectAndReport(memory, sink);
            if (sink.stopping()) return;
            if (std::exchange(memory.wasReady, false)) backoff.reset();
            if (problem.code == Errc::NotFound) {
                sink.waiting(problem.message);
            } else {
                sink.unavailable(problem.message);
            }
            if (!waitToTryAgain(sink, backoff)) return;
        }
    }

    void find(plugin::Sink& sink, std::string_view wanted) {
        const std::string name(wanted);
        if (!docker::isName(name)) throw plugin::Error(plugin::Code::NotFound, "no container '" + name + "'");
        docker::Engine engine(socket_.path(), {sink.stopFd(), [&] { return !sink.stopping(); }}, kSearch);
        connect(engine);
        const auto container = engine.inspect(name);
        if (!container && container.error().code == Errc::NotFound)
            throw plugin::Error(plugin::Code::NotFound, "no container '" + name + "'");
        if (!container) raise(container.error());
        if (!container->running) throw plugin::Error(plugin::Code::NotFound, docker::whyNotRunning(*container));
        auto target = docker::describe(*container, engine.hasUserNamespaces());
        if (!docker::pin(target)) throw plugin::Error(plugin::Code::NotFound, "container '" + container->name + "' has just ended");
        sink.added(target);
        if (!docker::isAlive(target)) sink.removed(target.id);  // run() may have heard of its end before
    }

    void exportImage(std::string_view wanted, int out, int stopFd) {
        const std::string reference(wanted);
        if (!docker::isReference(reference)) throw plugin::Error(plugin::Code::Invalid, "'" + reference + "' is no image's name");
        docker::Engine engine(socket_.path(), {stopFd, [stopFd] { return !isReadable(stopFd); }});
        connect(engine);
        const auto done = engine.exportImage(reference, [&](std::string_view bytes) { return writeAll(out, stopFd, bytes); });
        if (!done) raise(done.error());
    }

private:
    static std::filesystem::path endpointIn(plugin::Settings& settings) {
        const bool podman = settings.instance() == "podman";
        const auto endpoint = settings.text("endpoint").value_or(podman ? "unix:///run/podman/podman.sock" : "unix:///run/docker.sock");
        auto path = docker::socketPath(endpoint);
        if (!path) raise(path.error());
        return std::move(*path);
    }

    Error connectAndReport(docker::Memory& memory, plugin::Sink& sink) {
        if (auto listening = socket_.probe(); !listening) return std::move(listening).error();
        Error ended = docker::Session(socket_.path(), memory, sink, times_).run();
        // An answer of 404 is no absent engine.
        if (ended.code == Errc::NotFound) ended.code = Errc::Unavailable;
        return ended;
    }

    bool waitToTryAgain(plugin::Sink& sink, docker::Backoff& backoff) {
        const auto end = std::chrono::steady_clock::now() + backoff.next();
        for (;;) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
            if (left.count() <= 0) return true;
            std::array<pollfd, 1> fds{pollfd{socket_.fd(), POLLIN, 0}};
            if (!sink.wait(fds, left)) return false;
            if (fds[0].revents == 0 || !socket_.hasCome()) continue;
            backoff.reset();
            return true;
        }
    }

    void connect(docker::Engine& engine) const {
        if (auto listening = socket_.probe(); !listening) throw plugin::Error(plugin::Code::Unavailable, listening.error().message);
        if (auto connected = engine.connect(); !connected) throw plugin::Error(plugin::Code::Unavailable, connected.error().message);
    }

    docker::Socket socket_;
    docker::SessionTimes times_;
};

}  // namespace

RECAP_BACKEND_PLUGIN(DockerBackend, "docker", RECAP_VERSION);
