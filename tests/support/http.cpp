// SPDX-License-Identifier: Apache-2.0
#include "tests/support/http.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "tests/support/wait.hpp"

namespace recap::test {
namespace {

// In the forked child: the whole exchange, copied to `out`; the answer's end is the connection's.
[[noreturn]] void exchange(int namespaces, std::uint16_t port, const std::string& request, int out) {
    if (::setns(namespaces, CLONE_NEWNET) != 0) ::_exit(2);
    UniqueFd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval patience{10, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) ::_exit(3);
    if (::write(fd.get(), request.data(), request.size()) != static_cast<ssize_t>(request.size())) ::_exit(4);
    char buffer[65536];
    for (ssize_t got = 0; (got = ::read(fd.get(), buffer, sizeof buffer)) > 0;)
        if (::write(out, buffer, static_cast<std::size_t>(got)) != got) ::_exit(5);
    ::_exit(0);
}

HttpAnswer parse(const std::string& raw) {
    const auto end = raw.find("\r\n\r\n");
    if (raw.rfind("HTTP/1.", 0) != 0 || end == std::string::npos) throw std::runtime_error("no HTTP answer but '" + raw + "'");
    return {std::stoi(raw.substr(9, 3)), raw.substr(end + 4)};
}

}  // namespace

HttpAnswer httpGet(pid_t target, std::uint16_t port, const std::string& path) {
    const UniqueFd namespaces = openPidfd(target);
    int ends[2];
    if (::pipe(ends) != 0) throw std::runtime_error(std::string("pipe: ") + std::strerror(errno));
    UniqueFd in{ends[0]}, out{ends[1]};
    const std::string request = "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    const pid_t child = ::fork();
    if (child < 0) throw std::runtime_error(std::string("fork: ") + std::strerror(errno));
    if (child == 0) exchange(namespaces.get(), port, request, out.get());
    out.reset();
    std::string raw;
    char buffer[65536];
    for (ssize_t got = 0; (got = ::read(in.get(), buffer, sizeof buffer)) > 0;) raw.append(buffer, static_cast<std::size_t>(got));
    int status = 0;
    ::waitpid(child, &status, 0);
    if (status != 0) throw std::runtime_error("GET " + path + " in the container: step " + std::to_string(WEXITSTATUS(status)) + " failed");
    return parse(raw);
}

}  // namespace recap::test
