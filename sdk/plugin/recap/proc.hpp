// SPDX-License-Identifier: Apache-2.0
// What a backend reads of /proc to tell a target whole: the start time and the cgroup of a pid that its engine named. Needs no
// right. A pid may be another process's by the time that it is read: ask for the start time before and after.
#pragma once

#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

namespace recap::plugin {

namespace detail {

constexpr std::size_t kMaxProcFile = 256 * 1024;

// Empty: there is no such process (any more).
inline std::string readProc(pid_t pid, const char* file) {
    const int fd = ::open(("/proc/" + std::to_string(pid) + "/" + file).c_str(), O_RDONLY | O_CLOEXEC);
    std::string text;
    std::array<char, 4096> buffer;
    while (fd >= 0 && text.size() < kMaxProcFile) {
        const ssize_t got = ::read(fd, buffer.data(), buffer.size());
        if (got <= 0) break;
        text.append(buffer.data(), static_cast<std::size_t>(got));
    }
    if (fd >= 0) ::close(fd);
    return text;
}

}  // namespace detail

// Of the text of /proc/PID/stat: field 22, in clock ticks since boot; 0: a zombie, or no such text. The name may hold blanks and
// brackets: what follows its last bracket is plain.
inline std::uint64_t startTimeIn(std::string_view stat) {
    const auto close = stat.rfind(')');
    if (close == std::string_view::npos) return 0;
    std::string_view rest = stat.substr(close + 1);
    for (int field = 3;; ++field) {
        rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
        const auto word = rest.substr(0, rest.find(' '));
        if (word.empty() || (field == 3 && (word == "Z" || word == "X"))) return 0;
        rest.remove_prefix(word.size());
        if (field < 22) continue;
        std::uint64_t value = 0;
        std::from_chars(word.data(), word.data() + word.size(), value);
        return value;
    }
}

// Of the lines of /proc/PID/cgroup: the unified hierarchy's path where it says anything, else v1's pids', systemd's, any.
inline std::string knownCgroup(std::string_view lines) {
    std::string known = "/";
    int best = 0;
    while (!lines.empty()) {
        const auto line = lines.substr(0, lines.find('\n'));
        lines.remove_prefix(std::min(line.size() + 1, lines.size()));
        const auto first = line.find(':');
        const auto second = first == std::string_view::npos ? first : line.find(':', first + 1);
        if (second == std::string_view::npos || line.substr(second + 1) == "/") continue;
        const auto controllers = line.substr(first + 1, second - first - 1);
        const int rank = line.starts_with("0::") ? 4 : controllers == "pids" ? 3 : controllers == "name=systemd" ? 2 : 1;
        if (rank > best) known = line.substr(second + 1);
        best = best < rank ? rank : best;
    }
    return known;
}

inline std::uint64_t startTimeOf(pid_t pid) { return startTimeIn(detail::readProc(pid, "stat")); }  // 0: gone

// By the rule of knownCgroup(); empty: gone.
inline std::string cgroupOf(pid_t pid) {
    const std::string lines = detail::readProc(pid, "cgroup");
    return lines.empty() ? std::string() : knownCgroup(lines);
}

// In some hierarchy its cgroup's path has `id`, as engines name their containers' cgroups: it is one of that container's processes,
// and none that was given the pid of one since.
inline bool hasCgroupOf(pid_t pid, std::string_view id) {
    return !id.empty() && detail::readProc(pid, "cgroup").find(id) != std::string::npos;
}

}  // namespace recap::plugin
