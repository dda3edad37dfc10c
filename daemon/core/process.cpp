// SPDX-License-Identifier: Apache-2.0
#include "daemon/core/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

namespace recap {
namespace {

constexpr std::size_t kMaxProcFile = 64 * 1024;
constexpr int kStartTimeAfterName = 19;  // field 22 of proc(5) stat, counted from the first one behind "(name) "

Result<std::string> readProc(pid_t pid, const char* file) {
    const std::string path = "/proc/" + std::to_string(pid) + "/" + file;
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return failErrno("open " + path);
    std::string text;
    char buffer[4096];
    while (text.size() < kMaxProcFile) {
        const ssize_t count = ::read(fd.get(), buffer, sizeof buffer);
        if (count < 0) return failErrno("read " + path);
        if (count == 0) break;
        text.append(buffer, static_cast<std::size_t>(count));
    }
    return text;
}

// The name may hold blanks and brackets: what follows its last bracket is plain.
std::uint64_t startTimeOf(std::string_view stat) {
    const auto bracket = stat.rfind(')');
    if (bracket == std::string_view::npos) return 0;
    stat.remove_prefix(std::min(bracket + 2, stat.size()));
    for (int field = 0; field < kStartTimeAfterName; ++field) {
        const auto blank = stat.find(' ');
        if (blank == std::string_view::npos) return 0;
        stat.remove_prefix(blank + 1);
    }
    std::uint64_t ticks = 0;
    std::from_chars(stat.data(), stat.data() + stat.size(), ticks);
    return ticks;
}

std::vector<std::string> cgroupsOf(std::string_view text) {
    std::vector<std::string> paths;
    while (!text.empty()) {
        auto line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        const auto first = line.find(':');
        const auto second = first == std::string_view::npos ? first : line.find(':', first + 1);
        if (second != std::string_view::npos) paths.emplace_back(line.substr(second + 1));
    }
    return paths;
}

}  // namespace

bool isIn(const PinnedProcess& process, const std::string& cgroup) {
    return std::any_of(process.cgroups.begin(), process.cgroups.end(),
                       [&](const std::string& own) { return own == cgroup || (cgroup != "/" && own.starts_with(cgroup + "/")); });
}

bool ended(const UniqueFd& pidfd) {
    pollfd poll{pidfd.get(), POLLIN, 0};
    return ::poll(&poll, 1, 0) != 0;
}

Result<PinnedProcess> pinProcess(pid_t pid) {
    const std::string who = "process " + std::to_string(pid);
    if (pid <= 0) return fail(Errc::TargetGone, who + " does not exist");
    PinnedProcess pinned{UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))), 0, {}};
    if (!pinned.pidfd) {
        if (errno == ESRCH || errno == EINVAL) return fail(Errc::TargetGone, who + " does not exist");
        return failErrno("pidfd_open of " + who);
    }
    const auto stat = readProc(pid, "stat");
    const auto cgroup = readProc(pid, "cgroup");
    // While the pinned process lives its pid is its own, so what was read belongs to it.
    if (ended(pinned.pidfd)) return fail(Errc::TargetGone, who + " has ended");
    if (!stat) return tl::unexpected(stat.error());
    if (!cgroup) return tl::unexpected(cgroup.error());
    pinned.startTime = startTimeOf(*stat);
    pinned.cgroups = cgroupsOf(*cgroup);
    return pinned;
}

}  // namespace recap
