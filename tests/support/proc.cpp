// SPDX-License-Identifier: Apache-2.0
#include "tests/support/proc.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <stdexcept>

#include "tests/support/files.hpp"

namespace recap::test {
namespace {

std::string proc(pid_t pid, const std::string& name) { return "/proc/" + std::to_string(pid) + "/" + name; }

}  // namespace

std::optional<Process> processOf(pid_t pid) {
    try {
        const std::string stat = readFile(proc(pid, "stat"));
        const auto open = stat.find('('), close = stat.rfind(')');
        Process process;
        process.pid = pid;
        process.name = stat.substr(open + 1, close - open - 1);
        std::istringstream rest{stat.substr(close + 2)};
        rest >> process.state >> process.parent;
        std::string skipped;
        for (int field = 5; field < 22; ++field) rest >> skipped;
        rest >> process.startTime;
        process.cgroups = readFile(proc(pid, "cgroup"));
        return process;
    } catch (const std::runtime_error&) {
        return {};  // ended while we looked
    }
}

std::vector<Process> allProcesses() {
    std::vector<Process> all;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const std::string name = entry.path().filename();
        if (!std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c) != 0; })) continue;
        if (auto process = processOf(std::stoi(name))) all.push_back(std::move(*process));
    }
    return all;
}

std::uint64_t namespaceOf(pid_t pid, const std::string& kind) {
    struct stat what {};
    return ::stat(proc(pid, "ns/" + kind).c_str(), &what) == 0 ? what.st_ino : 0;
}

std::map<std::string, std::string> statusOf(pid_t pid) {
    std::map<std::string, std::string> fields;
    for (const std::string& line : lines(readFile(proc(pid, "status")))) {
        const auto colon = line.find(':');
        if (colon != std::string::npos) fields[line.substr(0, colon)] = trimmed(line.substr(colon + 1));
    }
    return fields;
}

std::vector<pid_t> childrenOf(pid_t pid) {
    std::vector<pid_t> children;
    for (const Process& process : allProcesses())
        if (process.parent == pid) children.push_back(process.pid);
    return children;
}

std::filesystem::path cgroupOf(pid_t pid, const std::string& controller) {
    for (const std::string& line : lines(processOf(pid)->cgroups)) {
        const auto first = line.find(':'), second = line.find(':', first + 1);
        if (line.substr(first + 1, second - first - 1) != controller || line.size() < second + 3) continue;
        return (controller.empty() ? unifiedCgroups() : std::filesystem::path("/sys/fs/cgroup") / controller) / line.substr(second + 2);
    }
    return {};
}

void limitMemory(pid_t pid, std::uint64_t bytes) {
    const std::filesystem::path v2 = cgroupOf(pid, ""), v1 = cgroupOf(pid, "memory");
    if (!v2.empty() && std::filesystem::exists(v2 / "memory.max")) {
        writeFile(v2 / "memory.max", std::to_string(bytes));
        writeFile(v2 / "memory.swap.max", "0");
    } else {
        writeFile(v1 / "memory.limit_in_bytes", std::to_string(bytes));
    }
}

std::filesystem::path unifiedCgroups() {
    const std::filesystem::path top = "/sys/fs/cgroup";
    return std::filesystem::exists(top / "unified/cgroup.procs") ? top / "unified" : top;
}

}  // namespace recap::test
