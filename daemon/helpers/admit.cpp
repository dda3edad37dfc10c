// SPDX-License-Identifier: Apache-2.0
// recap-admit: root's consent that an imported image may run, told to recap-launcher itself. It does not pass recapd, which
// could not be believed.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <iostream>

#include "daemon/launcher/codec.hpp"
#include "sdk/base/unique_fd.hpp"

namespace {

using namespace recap;

constexpr std::string_view kUsage =
    "usage: recap-admit [--socket PATH] DIGEST\n"
    "Lets an imported image run. DIGEST is the image's, as 'recapctl image list' shows it: sha256:HEX or HEX, 64 digits.\n"
    "Needs root. PATH is recap-launcher's admit socket, /run/recap/admit.sock if not given.\n";

struct Arguments {
    std::string socket = "/run/recap/admit.sock";
    std::string digest;
};

Result<std::string> digestOf(std::string_view text) {
    constexpr std::string_view prefix = "sha256:";
    const auto hex = text.starts_with(prefix) ? text.substr(prefix.size()) : text;
    if (hex.size() != 64 || hex.find_first_not_of("0123456789abcdef") != hex.npos) {
        return fail(Errc::InvalidArgument, "'" + std::string(text) + "' is not an image's whole digest (sha256: and 64 digits of 0-9a-f)");
    }
    return std::string(hex);
}

Result<Arguments> parse(int argc, char** argv) {
    Arguments arguments;
    std::vector<std::string> rest;
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        if (word == "--socket") {
            if (++i == argc) return fail(Errc::InvalidArgument, "--socket needs a path");
            arguments.socket = argv[i];
        } else if (word.starts_with("-")) {
            return fail(Errc::InvalidArgument, "unknown option '" + std::string(word) + "'");
        } else {
            rest.emplace_back(word);
        }
    }
    if (rest.size() != 1) return fail(Errc::InvalidArgument, "one digest is needed");
    auto digest = digestOf(rest.front());
    if (!digest) return forward(std::move(digest));
    arguments.digest = std::move(*digest);
    return arguments;
}

Result<UniqueFd> connectTo(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) return fail(Errc::InvalidArgument, path + ": longer than a socket's path may be");
    path.copy(address.sun_path, path.size());
    UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (!socket) return failErrno("socket");
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        const int error = errno;
        if (error == EACCES) return fail(Errc::AccessDenied, path + ": only root may admit images");
        return fail(Errc::Unavailable, "recap-launcher does not answer at " + path + " (" + ::strerrordesc_np(error) +
                                           "); start recap-launcher.socket, or give its path with --socket");
    }
    constexpr timeval patience{30, 0};
    if (::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0) return failErrno("setsockopt");
    return socket;
}

Result<void> admit(const Arguments& arguments) {
    auto socket = connectTo(arguments.socket);
    if (!socket) return forward(std::move(socket));
    const auto request = launcher::encode(launcher::Verb::Admit, 1, launcher::ImageRef{arguments.digest});
    if (::send(socket->get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) {
        return fail(Errc::Unavailable,
                    std::string("recap-launcher closed the connection (") + ::strerrordesc_np(errno) + "); only root may admit images");
    }
    std::string reply(launcher::kMaxMessage, '\0');
    const auto got = ::recv(socket->get(), reply.data(), reply.size(), 0);
    if (got < 0) return fail(Errc::Timeout, std::string("recap-launcher gave no answer: ") + ::strerrordesc_np(errno));
    if (got == 0) return fail(Errc::Unavailable, "recap-launcher closed the connection without an answer");
    reply.resize(static_cast<std::size_t>(got));
    auto header = launcher::decodeHeader(reply);
    if (!header) return forward(std::move(header));
    auto answer = launcher::decodeReply<launcher::Empty>(reply);
    return answer ? Result<void>{} : forward(std::move(answer));
}

int complain(const Error& error, int status) {
    std::cerr << "recap-admit: " << error.message << '\n';
    return status;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view first = argc > 1 ? argv[1] : "";
    if (first == "--help" || first == "-h") {
        std::cout << kUsage;
        return 0;
    }
    if (first == "--version") {
        std::cout << "recap-admit " RECAP_VERSION "\n";
        return 0;
    }
    const auto arguments = parse(argc, argv);
    if (!arguments) {
        complain(arguments.error(), 2);
        std::cerr << kUsage;
        return 2;
    }
    if (const auto done = admit(*arguments); !done) return complain(done.error(), 1);
    std::cout << "admitted sha256:" << arguments->digest << '\n';
    return 0;
}
