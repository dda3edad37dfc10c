// SPDX-License-Identifier: Apache-2.0
#include "tests/support/engines/remains.hpp"

#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "tests/support/files.hpp"
#include "tests/support/proc.hpp"
#include "tests/support/wait.hpp"

namespace recap::test {

namespace fs = std::filesystem;

namespace {

std::string commandLine(pid_t pid) {
    try {
        return readFile("/proc/" + std::to_string(pid) + "/cmdline");
    } catch (const std::runtime_error&) {
        return {};  // it has ended
    }
}

// This process and those that it is of: whoever started the tests may have named the folder too.
std::set<pid_t> ownLine() {
    std::set<pid_t> line;
    for (auto one = processOf(::getpid()); one; one = processOf(one->parent)) line.insert(one->pid);
    return line;
}

std::vector<Process> processesOf(const fs::path& folder) {
    auto all = allProcesses();
    const auto spared = ownLine();
    std::erase_if(all, [&](const Process& one) {
        return spared.contains(one.pid) || one.state == 'Z' || commandLine(one.pid).find(folder.string()) == std::string::npos;
    });
    return all;
}

// Places of what is mounted in this mount namespace, below `folder` or of a cgroup's type.
std::vector<fs::path> mounts(const auto& wanted) {
    std::vector<fs::path> places;
    for (const std::string& line : lines(readFile("/proc/self/mountinfo"))) {
        std::istringstream fields(line.substr(0, line.find(" - ")));
        std::string skipped, place;
        fields >> skipped >> skipped >> skipped >> skipped >> place;
        if (wanted(place, line.substr(line.find(" - ") + 3))) places.emplace_back(place);
    }
    return places;
}

void removeTree(const fs::path& cgroup) {
    std::error_code ignored;
    std::vector<fs::path> folders{cgroup};
    for (const auto& entry : fs::recursive_directory_iterator(cgroup, ignored))
        if (entry.is_directory(ignored)) folders.push_back(entry.path());
    std::sort(folders.rbegin(), folders.rend());
    for (const auto& folder : folders) fs::remove(folder, ignored);
}

}  // namespace

std::vector<std::string> clearRemains(const fs::path& folder, const std::string& cgroup) {
    std::vector<std::string> left;
    if (!waitUntil([&] { return processesOf(folder).empty(); }, Deadline(kPatience))) {
        for (const Process& one : processesOf(folder)) {
            left.push_back("process " + std::to_string(one.pid) + " (" + one.name + ")");
            ::kill(one.pid, SIGKILL);
        }
        waitUntil([&] { return processesOf(folder).empty(); }, Deadline(kPatience));
    }
    auto mounted = mounts([&](const std::string& place, const std::string&) { return place.starts_with(folder.string() + "/"); });
    std::sort(mounted.rbegin(), mounted.rend());
    for (const auto& place : mounted) {
        left.push_back("mount " + place.string());
        ::umount2(place.c_str(), MNT_DETACH);
    }
    for (auto& one : clearCgroups(cgroup)) left.push_back(std::move(one));
    return left;
}

std::vector<std::string> clearCgroups(const std::string& cgroup) {
    std::vector<std::string> left;
    for (const auto& hierarchy : mounts([](const std::string&, const std::string& type) { return type.starts_with("cgroup"); })) {
        const fs::path own = hierarchy / cgroup;
        const auto gone = [&] {
            removeTree(own);
            return !fs::exists(own);
        };
        if (!waitUntil(gone, Deadline(kPatience))) left.push_back("cgroup " + own.string());
    }
    return left;
}

}  // namespace recap::test
