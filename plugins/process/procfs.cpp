// SPDX-License-Identifier: Apache-2.0
#include "plugins/process/procfs.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <recap/proc.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <sstream>

#include "sdk/base/unique_fd.hpp"

namespace recap::process {
namespace {

constexpr std::size_t kMaxFile = 256 * 1024;
constexpr std::uint64_t kKernelThreadFlag = 0x00200000;  // PF_KTHREAD, field 9 of proc(5) stat
constexpr std::array kLinks{"ipc", "uts", "cgroup"};

std::string pathOf(pid_t pid, const char* file) { return "/proc/" + std::to_string(pid) + "/" + file; }

std::string readAll(const std::string& path) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::string text;
    std::array<char, 8192> buffer;
    while (fd && text.size() < kMaxFile) {
        const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
        if (got <= 0) break;
        text.append(buffer.data(), static_cast<std::size_t>(got));
    }
    return text;
}

template <class Number>
Number number(std::string_view text) {
    Number value{};
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

std::vector<std::string_view> split(std::string_view text, char at) {
    std::vector<std::string_view> parts;
    while (!text.empty()) {
        const auto part = text.substr(0, text.find(at));
        text.remove_prefix(std::min(part.size() + 1, text.size()));
        if (!part.empty()) parts.push_back(part);
    }
    return parts;
}

// The name may hold blanks and brackets: what follows its last bracket is plain.
bool readStat(Process& process) {
    const std::string stat = readAll(pathOf(process.pid, "stat"));
    const auto open = stat.find('(');
    const auto close = stat.rfind(')');
    if (open == std::string::npos || close == std::string::npos || close < open) return false;
    process.name = stat.substr(open + 1, close - open - 1);
    const auto fields = split(std::string_view(stat).substr(close + 1), ' ');  // fields[0] is field 3
    if (fields.size() < 20) return false;
    process.zombie = fields[0] == "Z" || fields[0] == "X";
    process.parent = number<pid_t>(fields[1]);
    process.kernelThread = (number<std::uint64_t>(fields[6]) & kKernelThreadFlag) != 0;
    process.startTime = number<std::uint64_t>(fields[19]);
    return true;
}

void readNested(Process& process) {
    const std::string status = readAll(pathOf(process.pid, "status"));
    const auto at = status.find("\nNSpid:");
    if (at == std::string::npos) return;
    const auto line = std::string_view(status).substr(at + 7, status.find('\n', at + 1) - at - 7);
    for (const auto pid : split(line, '\t')) process.nested.push_back(number<pid_t>(pid));
}

void readCgroups(Process& process) {
    const std::string lines = readAll(pathOf(process.pid, "cgroup"));
    process.cgroup = plugin::knownCgroup(lines);
    for (const auto line : split(lines, '\n')) {
        const auto second = line.find(':', line.find(':') + 1);
        if (second != std::string_view::npos) process.cgroups.emplace_back(line.substr(second + 1));
    }
}

std::vector<std::string> mountIds(pid_t pid) {
    std::vector<std::string> ids;
    const std::string mounts = readAll(pathOf(pid, "mountinfo"));
    for (const auto line : split(mounts, '\n')) ids.emplace_back(line.substr(0, line.find(' ')));
    std::sort(ids.begin(), ids.end());
    return ids;
}

std::vector<std::string> readableLinks(pid_t pid) {
    std::vector<std::string> links;
    for (const char* kind : kLinks) {
        std::array<char, 64> target{};
        const auto path = pathOf(pid, "ns/") + kind;
        const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
        if (size <= 0) return {};
        links.emplace_back(target.data(), static_cast<std::size_t>(size));
    }
    return links;
}

}  // namespace

std::optional<Process> readProcess(pid_t pid) {
    Process process;
    process.pid = pid;
    if (!readStat(process)) return std::nullopt;
    if (process.kernelThread || process.zombie) return process;
    readNested(process);
    readCgroups(process);
    struct stat info {};
    if (::stat(pathOf(pid, "net/dev").c_str(), &info) == 0) process.network = info.st_ino;
    return process;
}

std::vector<pid_t> allPids() {
    std::vector<pid_t> pids;
    const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
    while (const dirent* entry = proc ? ::readdir(proc.get()) : nullptr) {
        const std::string_view name = entry->d_name;
        if (name.find_first_not_of("0123456789") == std::string_view::npos) pids.push_back(number<pid_t>(name));
    }
    return pids;
}

HostNamespaces::HostNamespaces()
    : mounts_(mountIds(1)),
      userMap_(readAll("/proc/1/uid_map")),
      timeOffsets_(readAll("/proc/1/timens_offsets")),
      links_(readableLinks(1)) {
    struct stat info {};
    if (::stat("/proc/1/net/dev", &info) == 0) network_ = info.st_ino;
}

bool HostNamespaces::sharesAll(const Process& process) const {
    if (process.nested.size() > 1 || !sharesNetwork(process)) return false;
    const auto mounts = mountIds(process.pid);
    const bool sharesMounts = mounts.empty() || std::any_of(mounts.begin(), mounts.end(), [&](const auto& id) {
                                  return std::binary_search(mounts_.begin(), mounts_.end(), id);
                              });
    if (!sharesMounts) return false;
    const std::string userMap = readAll(pathOf(process.pid, "uid_map"));
    const std::string offsets = readAll(pathOf(process.pid, "timens_offsets"));
    if ((!userMap.empty() && userMap != userMap_) || (!offsets.empty() && offsets != timeOffsets_)) return false;
    const auto links = readableLinks(process.pid);
    return links.empty() || links_.empty() || links == links_;
}

bool isInUserNamespaceOf(pid_t pid, uid_t uid) {
    const std::string map = readAll(pathOf(pid, "uid_map"));
    if (map == readAll("/proc/1/uid_map")) return false;
    std::istringstream lines(map);
    std::uint64_t inside = 0, outside = 0, count = 0;
    while (lines >> inside >> outside >> count) {
        if (uid >= outside && uid - outside < count) return true;
    }
    return false;
}

}  // namespace recap::process
