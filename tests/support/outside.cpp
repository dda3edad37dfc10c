// SPDX-License-Identifier: Apache-2.0
#include "tests/support/outside.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <set>
#include <sstream>
#include <stdexcept>

#include "tests/support/files.hpp"
#include "tests/support/wait.hpp"

namespace recap::test {

namespace fs = std::filesystem;

namespace {

// Workers that the launcher keeps ready on a host with cgroup v1, in cgroups of their own ("parked-N"): they come and go between
// runs, and are no run's. That there are no more of them than this is what must not change.
constexpr std::size_t kMostParked = 4;
constexpr const char* kParkedName = "recap-parked";

constexpr std::array kNamespaceKinds{"pid", "net", "ipc", "uts", "mnt", "user", "cgroup"};

std::string describe(const Process& process) { return "process " + std::to_string(process.pid) + " '" + process.name + "'"; }

std::string pidText(pid_t pid) { return std::to_string(pid); }

std::string attributes(const fs::path& path, bool withContents) {
    struct stat what {};
    if (::lstat(path.c_str(), &what) != 0) return "unreadable";
    std::ostringstream text;
    text << std::oct << what.st_mode << std::dec << " " << what.st_uid << ":" << what.st_gid;
    if (S_ISREG(what.st_mode)) text << " " << what.st_size << " bytes";
    if (S_ISLNK(what.st_mode)) text << " -> " << fs::read_symlink(path).string();
    if (withContents && S_ISREG(what.st_mode)) text << " #" << std::hex << std::hash<std::string>{}(readFile(path));
    return text.str();
}

void walk(Picture& picture, const fs::path& top, bool withContents) {
    std::error_code error;
    fs::recursive_directory_iterator entry(top, fs::directory_options::skip_permission_denied, error), end;
    for (; !error && entry != end; entry.increment(error))
        picture.items["file " + entry->path().string()] = attributes(entry->path(), withContents);
}

// Mount ids and peer groups are numbers that any other mount on the machine moves; what is mounted where is the rest.
std::string mountOf(const std::string& line) {
    std::istringstream fields{line};
    std::string skipped, device, root, place, word, rest;
    fields >> skipped >> skipped >> device >> root >> place;
    while (fields >> word)
        if (word.rfind("shared:", 0) != 0 && word.rfind("master:", 0) != 0) rest += " " + word;
    return place + " (" + device + " " + root + rest + ")";
}

void mountsOf(Picture& picture, const std::string& who, const std::string& mountinfo) {
    std::map<std::string, int> counts;
    for (const std::string& line : lines(mountinfo)) ++counts["mount of " + who + " at " + mountOf(line)];
    for (const auto& [key, count] : counts) picture.items[key] = std::to_string(count) + "×";
}

std::string parkedText(std::size_t count) { return count <= kMostParked ? "no more than are kept ready" : std::to_string(count); }

bool isParkedOf(const Process& process, pid_t daemon) { return process.parent == daemon && process.name == kParkedName; }

// A child that has not got as far as a name of its own: on a busy machine that may take longer than two looks.
bool isBecomingParked(const Process& process, pid_t daemon) {
    const auto self = processOf(daemon);
    return self && process.state != 'Z' && process.name == self->name;
}

}  // namespace

Picture Outside::lookOnce() const {
    Picture picture;
    lookAtProcesses(picture);
    lookAtMounts(picture);
    lookAtCgroups(picture);
    lookAtFiles(picture);
    lookAtDescriptors(picture);
    return picture;
}

// Twice the same, so that nothing is caught in the middle of becoming something else.
Picture Outside::look() const {
    Picture last = lookOnce();
    const auto same = [&] { return std::exchange(last, lookOnce()).items == last.items; };
    waitUntil(same, Deadline{std::chrono::seconds(1)});
    return last;
}

void Outside::lookAtProcesses(Picture& picture) const {
    const auto all = allProcesses();
    for (const pid_t target : scope_.targets) {
        const auto self = processOf(target);
        picture.items["target " + pidText(target)] =
            self && self->state != 'Z' ? "started at tick " + std::to_string(self->startTime) : "gone";
        for (const char* kind : kNamespaceKinds) {
            const auto theirs = namespaceOf(target, kind);
            if (theirs == 0 || theirs == namespaceOf(1, kind) || theirs == namespaceOf(::getpid(), kind)) continue;
            for (const Process& process : all)
                if (namespaceOf(process.pid, kind) == theirs)
                    picture.items[describe(process) + " in the " + kind + " namespace of " + pidText(target)] =
                        std::to_string(process.startTime);
        }
        for (const Process& process : all)
            if (process.parent == target && process.state == 'Z')
                picture.items["zombie: " + describe(process)] = "under " + pidText(target);
    }
    for (const pid_t daemon : scope_.daemons) {
        std::size_t parked = 0;
        for (const Process& process : all) {
            if (process.parent != daemon) continue;
            if (isBecomingParked(process, daemon)) picture.settled = false;
            if (isParkedOf(process, daemon) && process.state != 'Z')
                ++parked;
            else
                picture.items["process " + pidText(process.pid) + ", a child of " + pidText(daemon)] =
                    process.state == 'Z' ? "zombie" : "alive";
        }
        picture.items["parked workers of " + pidText(daemon)] = parkedText(parked);
    }
}

void Outside::lookAtMounts(Picture& picture) const {
    mountsOf(picture, "this mount namespace", readFile("/proc/self/mountinfo"));
    std::vector<pid_t> others = scope_.targets;
    others.insert(others.end(), scope_.daemons.begin(), scope_.daemons.end());
    for (const pid_t pid : others) {
        if (namespaceOf(pid, "mnt") == namespaceOf(::getpid(), "mnt") || !processOf(pid)) continue;
        try {
            mountsOf(picture, pidText(pid), readFile("/proc/" + pidText(pid) + "/mountinfo"));
        } catch (const std::runtime_error&) {
            picture.items["mounts of " + pidText(pid)] = "unreadable";
        }
    }
}

void Outside::lookAtCgroups(Picture& picture) const {
    for (const fs::path& top : scope_.cgroupRoots) {
        std::error_code error;
        std::size_t parked = 0;
        fs::recursive_directory_iterator entry(top, error), end;
        for (; !error && entry != end; entry.increment(error)) {
            std::error_code gone;
            if (!entry->is_directory(gone)) continue;
            if (entry->path().filename().string().starts_with("parked-"))
                ++parked;
            else
                picture.items["cgroup " + entry->path().string()] = "there";
        }
        picture.items["cgroups of parked workers below " + top.string()] = parkedText(parked);
    }
}

void Outside::lookAtFiles(Picture& picture) const {
    for (const fs::path& top : scope_.folders) walk(picture, top, false);
    for (const fs::path& top : scope_.contents) walk(picture, top, true);
}

void Outside::lookAtDescriptors(Picture& picture) const {
    for (const pid_t daemon : scope_.daemons) {
        std::size_t count = 0;
        std::error_code error;
        fs::directory_iterator entry("/proc/" + pidText(daemon) + "/fd", error), end;
        for (; !error && entry != end; entry.increment(error)) ++count;
        const auto all = allProcesses();  // of each parked worker a socket
        const auto parked = std::ranges::count_if(all, [&](const Process& process) { return isParkedOf(process, daemon); });
        picture.items["open descriptors of " + pidText(daemon)] = std::to_string(static_cast<std::ptrdiff_t>(count) - parked);
    }
}

std::vector<std::string> differences(const Picture& before, const Picture& after) {
    std::vector<std::string> found;
    for (const auto& [key, value] : after.items) {
        const auto old = before.items.find(key);
        if (old == before.items.end())
            found.push_back("appeared: " + key + " (" + value + ")");
        else if (old->second != value)
            found.push_back("changed: " + key + ": " + old->second + " -> " + value);
    }
    for (const auto& [key, value] : before.items)
        if (!after.items.contains(key)) found.push_back("gone: " + key + " (" + value + ")");
    return found;
}

Picture lookWhenQuiet(const Outside& outside) {
    Picture last = outside.look();
    const auto same = [&] {
        Picture now = outside.look();
        const bool quiet = now.settled && differences(last, now).empty();
        last = std::move(now);
        return quiet;
    };
    waitUntil(same, Deadline{std::chrono::seconds(5)});
    return last;
}

std::vector<std::string> leftAfter(const Outside& outside, const Picture& before, const std::function<bool(const std::string&)>& expected) {
    std::vector<std::string> left;
    const auto nothing = [&] {
        left = differences(before, outside.look());
        std::erase_if(left, expected);
        return left.empty();
    };
    waitUntil(nothing, Deadline{std::chrono::seconds(5)});
    return left;
}

bool isSpawnWorker(const Process& process) { return process.name == "recap-spawn" || process.name == kParkedName; }

std::vector<pid_t> companionsOf(pid_t target) {
    std::set<pid_t> found;
    for (const Process& process : allProcesses())
        for (const char* kind : {"pid", "net", "ipc", "uts"})
            if (namespaceOf(process.pid, kind) == namespaceOf(target, kind)) found.insert(process.pid);
    return {found.begin(), found.end()};
}

}  // namespace recap::test
