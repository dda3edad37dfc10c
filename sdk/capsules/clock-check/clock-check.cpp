// SPDX-License-Identifier: Apache-2.0
// clock-check [--tolerance SECONDS] [ADDRESS[:PORT]]: how far the machine's clock is from an NTP server's (RFC 4330, client only), by
// the least delayed of four answers. It only looks: no clock has a namespace, so setting it would set the host's.
// Without arguments: NTP_SERVER and TOLERANCE of the environment. Exit: 0 within the tolerance; 1 beyond it; 2 that could not be told.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>

namespace {

using Packet = std::array<std::uint8_t, 48>;

constexpr int kAsked = 4;
constexpr int kPatience = 2000;                       // ms an answer
constexpr std::int64_t kFrom1900 = 2'208'988'800;     // seconds to 1970
constexpr std::int64_t kSecond = 1'000'000'000;       // times are nanoseconds
constexpr std::int64_t kEra = std::int64_t{1} << 32;  // seconds; the second one begins in 2036

struct Options {
    std::string server;
    double tolerance = 1;
};

struct Server {
    sockaddr_storage address{};
    socklen_t size = 0;
};

struct Answer {
    std::int64_t offset = 0;  // what the server is ahead by
    std::int64_t delay = 0;
    unsigned stratum = 0;
};

int complain(const std::string& what) {
    std::fprintf(stderr, "clock-check: %s\n", what.c_str());
    return 2;
}

// "192.0.2.1", "192.0.2.1:1123", "2001:db8::1", "[2001:db8::1]:1123". No names: a target's network may have none to ask.
std::optional<Server> parse(std::string_view text) {
    std::string host(text);
    std::uint16_t port = 123;
    const bool bracketed = text.starts_with('[');
    const auto colon = text.rfind(':');
    if (colon != text.npos && (bracketed ? text[colon - 1] == ']' : text.find(':') == colon)) {
        const char* end = text.data() + text.size();
        const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, port);
        if (error != std::errc{} || stop != end || port == 0) return {};
        host.resize(colon);
    }
    if (bracketed) {
        if (host.back() != ']') return {};
        host = host.substr(1, host.size() - 2);
    }
    Server server;
    auto* four = reinterpret_cast<sockaddr_in*>(&server.address);
    auto* six = reinterpret_cast<sockaddr_in6*>(&server.address);
    if (!bracketed && ::inet_pton(AF_INET, host.c_str(), &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        server.size = sizeof *four;
        return server;
    }
    if (::inet_pton(AF_INET6, host.c_str(), &six->sin6_addr) != 1) return {};
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    server.size = sizeof *six;
    return server;
}

std::int64_t now() {
    timespec time{};
    ::clock_gettime(CLOCK_REALTIME, &time);
    return time.tv_sec * kSecond + time.tv_nsec;
}

// The moment that lies nearest to `near`: eras of 136 years have the same numbers.
std::int64_t timestamp(const Packet& packet, std::size_t at, std::int64_t near) {
    std::uint32_t seconds = 0, fraction = 0;
    std::memcpy(&seconds, &packet[at], 4);
    std::memcpy(&fraction, &packet[at + 4], 4);
    std::int64_t since1970 = std::int64_t{ntohl(seconds)} - kFrom1900;
    const std::int64_t here = near / kSecond;
    while (here - since1970 > kEra / 2) since1970 += kEra;
    return since1970 * kSecond + static_cast<std::int64_t>(ntohl(fraction) * std::uint64_t{kSecond} >> 32);
}

std::string judge(const Packet& answer, const Packet& asked) {
    if ((answer[0] & 7) != 4) return "what answers is no NTP server";
    if (std::memcmp(&answer[24], &asked[40], 8) != 0) return "an answer to another question";
    if (answer[1] == 0) {  // with a word of four letters
        std::string word(reinterpret_cast<const char*>(&answer[12]), 4);
        for (char& c : word)
            if (c < ' ' || c > '~') c = '?';
        return "the server refuses: " + word;
    }
    if (answer[1] > 15 || answer[0] >> 6 == 3) return "the server itself has no time that it trusts";
    constexpr std::array<std::uint8_t, 8> none{};
    if (std::memcmp(&answer[40], none.data(), 8) == 0) return "the server's answer holds no time";
    return {};
}

// An answer, or why there is none. The question's own time is a nonce: only this process knows when it asked.
std::optional<Answer> ask(int fd, std::string& why) {
    Packet question{}, reply{};
    question[0] = 4 << 3 | 3;  // version 4, client
    if (::getrandom(&question[40], 8, 0) != 8) return why = "no random number", std::nullopt;
    const std::int64_t sent = now();
    if (::send(fd, question.data(), question.size(), 0) < 0) return why = std::strerror(errno), std::nullopt;
    pollfd waiting{fd, POLLIN, 0};
    if (::poll(&waiting, 1, kPatience) <= 0) return why = "no answer within 2 s", std::nullopt;
    const ssize_t size = ::recv(fd, reply.data(), reply.size(), 0);
    const std::int64_t received = now();
    if (size < 0) return why = std::strerror(errno), std::nullopt;
    if (size < static_cast<ssize_t>(reply.size())) return why = "an answer that is too short", std::nullopt;
    if (why = judge(reply, question); !why.empty()) return {};
    const std::int64_t arrived = timestamp(reply, 32, sent), left = timestamp(reply, 40, sent);
    return Answer{((arrived - sent) + (left - received)) / 2, (received - sent) - (left - arrived), reply[1]};
}

std::optional<Options> read(int argc, char** argv) {
    Options options;
    const auto given = [](const char* name) { return std::string(std::getenv(name) ? std::getenv(name) : ""); };
    std::string tolerance = given("TOLERANCE");
    options.server = given("NTP_SERVER");
    int at = 1;
    if (at + 1 < argc && std::strcmp(argv[at], "--tolerance") == 0) tolerance = argv[at + 1], at += 2;
    if (at < argc && argv[at][0] != '-') options.server = argv[at++];
    if (at != argc) return complain(std::string(argv[at]) + ": there are --tolerance SECONDS and a server's address"), std::nullopt;
    if (tolerance.empty()) return options;
    char* end = nullptr;
    options.tolerance = std::strtod(tolerance.c_str(), &end);
    if (*end != '\0' || !std::isfinite(options.tolerance) || options.tolerance < 0)
        return complain("tolerance " + tolerance + " is no number of seconds"), std::nullopt;
    return options;
}

}  // namespace

int main(int argc, char** argv) {
    const auto options = read(argc, argv);
    if (!options) return 2;
    if (options->server.empty()) return complain("no server: NTP_SERVER in the manifest, or an argument, is the address of one");
    const auto server = parse(options->server);
    if (!server) return complain(options->server + " is not an address, perhaps with :PORT; names are not looked up");
    const int fd = ::socket(server->address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&server->address), server->size) != 0)
        return complain(options->server + ": " + std::strerror(errno));
    std::optional<Answer> best;
    std::string why;
    for (int i = 0; i < kAsked; ++i) {
        const auto answer = ask(fd, why);
        if (!answer) break;  // one that refuses is not asked again
        if (!best || answer->delay < best->delay) best = answer;
    }
    ::close(fd);
    if (!best) return complain(options->server + ": " + why);
    const double offset = static_cast<double>(best->offset) / 1e9;
    std::printf("server: %s\nstratum: %u\noffset: %+.6f\ndelay: %.6f\ntolerance: %g\n", options->server.c_str(), best->stratum, offset,
                static_cast<double>(best->delay) / 1e9, options->tolerance);
    return std::fabs(offset) <= options->tolerance ? 0 : 1;
}
