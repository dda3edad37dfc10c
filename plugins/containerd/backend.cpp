// SPDX-License-Identifier: Apache-2.0
#include "plugins/containerd/backend.hpp"

#include "plugins/containerd/backoff.hpp"
#include "plugins/containerd/export.hpp"
#include "plugins/containerd/finder.hpp"
#include "plugins/containerd/socket_watch.hpp"

namespace recap::containerd {
namespace {

constexpr std::string_view kScheme = "unix://";

plugin::Code codeOf(Errc code) {
    switch (code) {
        case Errc::InvalidArgument:
        case Errc::Ambiguous:
        case Errc::LimitExceeded: return plugin::Code::Invalid;
        case Errc::NotFound: return plugin::Code::NotFound;
        case Errc::Unavailable:
        case Errc::Timeout: return plugin::Code::Unavailable;
        case Errc::NotSupported: return plugin::Code::NotSupported;
        case Errc::AccessDenied:
        case Errc::Denied: return plugin::Code::Denied;
        default: return plugin::Code::Internal;
    }
}

void orThrow(const Result<void>& done) {
    if (!done) throw plugin::Error(codeOf(done.error().code), done.error().message);
}

}  // namespace

Options readOptions(plugin::Settings& settings) {
    Options options;
    if (const auto endpoint = settings.text("endpoint")) {
        if (!endpoint->starts_with(std::string(kScheme) + "/"))
            throw plugin::Error(plugin::Code::Invalid, "'endpoint' is '" + *endpoint + "'; unix:///PATH is wanted");
        options.socket = endpoint->substr(kScheme.size());
    }
    options.namespaces = settings.list("namespaces").value_or(std::vector<std::string>());
    for (const auto& name : options.namespaces) {
        if (!isName(name)) throw plugin::Error(plugin::Code::Invalid, "'namespaces' has '" + name + "', which is no namespace's name");
    }
    return options;
}

void Backend::run(plugin::Sink& sink) {
    SocketWatch watch(options_.socket);
    Backoff backoff(options_.firstRetry, options_.longestRetry);
    for (;;) {
        watch.arm();
        const auto there = watch.tryConnect();
        if (there) {
            Session session(options_, roster_, sink);
            const auto why = session.serve();
            if (!why) return;
            sink.unavailable(*why);
            if (session.wasReady()) backoff.reset();
        } else if (there.error().code == Errc::NotFound) {
            sink.waiting(there.error().message);
        } else {
            sink.unavailable(there.error().message);
        }
        std::array<pollfd, 1> fds{{{watch.fd(), POLLIN, 0}}};
        if (!sink.wait(fds, backoff.next())) return;
        if (fds[0].revents != 0 && watch.changed()) backoff.reset();
    }
}

void Backend::find(plugin::Sink& sink, std::string_view id) {
    orThrow(SocketWatch(options_.socket).tryConnect().map_error([](Error error) { return Error{Errc::Unavailable, error.message}; }));
    orThrow(findTarget(options_, roster_, sink, id));
}

void Backend::exportImage(std::string_view reference, int out, int stopFd) {
    orThrow(SocketWatch(options_.socket).tryConnect().map_error([](Error error) { return Error{Errc::Unavailable, error.message}; }));
    Client client(options_.socket, stopFd, options_.calls);
    orThrow(recap::containerd::exportImage(client, options_.namespaces, reference, stoppableSink(out, stopFd)));
}

}  // namespace recap::containerd
