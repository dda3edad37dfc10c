// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/measure.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <stdexcept>

#include "tests/support/command.hpp"

namespace recap::bench {

namespace {

std::vector<char*> pointers(std::vector<std::string>& words) {
    std::vector<char*> all;
    for (auto& word : words) all.push_back(word.data());
    all.push_back(nullptr);
    return all;
}

std::vector<std::string> environment(const Program& program) {
    std::vector<std::string> all;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string text = *entry;
        if (!program.env.contains(text.substr(0, text.find('=')))) all.push_back(text);
    }
    for (const auto& [key, value] : program.env) all.push_back(key + "=" + value);
    return all;
}

// A path as execvp(3) would find it: the search is not part of what is timed.
std::string located(const std::string& name) {
    if (name.find('/') != std::string::npos) return name;
    std::string path = ::getenv("PATH") != nullptr ? ::getenv("PATH") : "/usr/bin:/bin";
    for (std::size_t at = 0; at != std::string::npos && at <= path.size();) {
        const auto end = std::min(path.find(':', at), path.size());
        const std::string candidate = path.substr(at, end - at) + "/" + name;
        if (::access(candidate.c_str(), X_OK) == 0) return candidate;
        at = end + 1;
    }
    throw std::runtime_error("no program '" + name + "' on PATH");
}

}  // namespace

std::uint64_t nowNs() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

double timeOf(const Program& program) {
    std::vector<std::string> words = program.argv, variables = environment(program);
    const std::string path = located(words.at(0));
    const auto argv = pointers(words), envp = pointers(variables);
    static const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    const std::uint64_t begin = nowNs();
    const pid_t pid = ::vfork();  // what a shell's own fork costs depends on the shell; this is the least
    if (pid == 0) {
        for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);  // NOLINT(clang-analyzer-unix.Vfork): fd is the child's alone
        // raw calls: the C library's would change this process too, whose memory a vfork child shares
        if (program.uid != 0 &&
            (::syscall(SYS_setgroups, 0, nullptr) != 0 || ::syscall(SYS_setresgid, program.uid, program.uid, program.uid) != 0 ||
             ::syscall(SYS_setresuid, program.uid, program.uid, program.uid) != 0))
            ::_exit(126);
        ::execve(path.c_str(), argv.data(), envp.data());
        ::_exit(127);
    }
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    const std::uint64_t end = nowNs();
    if (status == 0) return static_cast<double>(end - begin) / 1e6;
    test::Command again{.argv = program.argv, .env = program.env};
    if (program.uid != 0) again.uid = program.uid;
    throw std::runtime_error(program.argv[0] + " " + (program.argv.size() > 1 ? program.argv[1] : "") + ": " + test::run(again).all());
}

double Times::at(double quantile) const {
    if (all_.empty()) return 0;
    std::vector<double> sorted = all_;
    std::sort(sorted.begin(), sorted.end());
    const auto index = static_cast<std::size_t>(std::ceil(quantile * static_cast<double>(sorted.size())));
    return sorted[std::min(sorted.size() - 1, index == 0 ? 0 : index - 1)];
}

void takeTurns(std::vector<Case>& all, int rounds) {
    constexpr int kWarmUps = 3;
    for (int i = 0; i < kWarmUps; ++i)
        for (Case& one : all) one.once();
    for (int round = 0; round < rounds; ++round)
        for (Case& one : all) one.hot.add(one.once());
    for (int round = 0; round < rounds; ++round)
        for (Case& one : all) {
            ::poll(nullptr, 0, 100);  // what makes it cold: the machine at rest before each
            one.cold.add(one.once());
        }
}

void printCases(const std::vector<Case>& all) {
    std::printf("%-50s %9s %9s %9s %9s\n", "ms", "hot p50", "p99", "cold p50", "p99");
    for (const Case& one : all)
        std::printf("%-50s %9.2f %9.2f %9.2f %9.2f\n", one.words.c_str(), one.hot.median(), one.hot.at(0.99), one.cold.median(),
                    one.cold.at(0.99));
}

double rounded(double ms) { return std::round(ms * 1000) / 1000; }

}  // namespace recap::bench
