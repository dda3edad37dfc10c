// SPDX-License-Identifier: Apache-2.0
#include "plugins/process/scanner.hpp"

#include <fnmatch.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <map>

#include "plugins/process/shapes.hpp"

namespace recap::process {
namespace {

using plugin::Code;
using plugin::Error;
using plugin::Target;

// Where engines say which image a container is of.
constexpr std::array kImageLabels{"io.kubernetes.cri.image-name", "io.container.manager.image", "org.opencontainers.image.ref.name",
                                  "io.kubernetes.cri-o.ImageName"};

Target targetOf(const Process& process, std::string name, std::string runtime) {
    Target target;
    target.id = std::to_string(process.pid);
    target.name = std::move(name);
    target.runtime = std::move(runtime);
    target.pid = process.pid;
    target.startTime = process.startTime;
    target.cgroup = process.cgroup;
    return target;
}

const Process* byPid(const std::vector<Process>& all, pid_t pid) {
    const auto found =
        std::lower_bound(all.begin(), all.end(), pid, [](const Process& process, pid_t wanted) { return process.pid < wanted; });
    return found != all.end() && found->pid == pid ? &*found : nullptr;
}

bool isIn(const std::string& cgroup, const std::string& other) {
    return other != "/" && cgroup.starts_with(other) && (cgroup.size() == other.size() || cgroup[other.size()] == '/');
}

// A process this young may be a runtime's, on its way into a container: whoever starts it tells first, or nobody does.
bool isYoung(const Process& process) {
    constexpr std::uint64_t youthMs = 1000;
    timespec now{};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    const auto ticks = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
    const std::uint64_t nowMs = static_cast<std::uint64_t>(now.tv_sec) * 1000 + static_cast<std::uint64_t>(now.tv_nsec) / 1'000'000;
    return process.startTime * 1000 / ticks + youthMs > nowMs;
}

// Whether `process` lives in a container that is already known.
bool belongsToFound(const Process& process, const std::vector<Target>& found) {
    return std::any_of(found.begin(), found.end(),
                       [&](const Target& target) { return process.pid == target.pid || isIn(process.cgroup, target.cgroup); });
}

bool startsBefore(const Process& a, const Process& b) {
    if (a.isNamespaceInit() != b.isNamespaceInit()) return a.isNamespaceInit();
    return a.startTime != b.startTime ? a.startTime < b.startTime : a.pid < b.pid;
}

}  // namespace

bool Scanner::isOwn(const Process& process) const {
    if (process.pid == ::getpid()) return true;
    return std::any_of(process.cgroups.begin(), process.cgroups.end(), [&](const std::string& cgroup) {
        return isCapsuleCgroup(cgroup) || std::any_of(settings_.ignore.begin(), settings_.ignore.end(), [&](const std::string& pattern) {
                   return ::fnmatch(pattern.c_str(), cgroup.c_str(), 0) == 0;
               });
    });
}

Scanner::Processes Scanner::readAll() const {
    Processes all;
    auto pids = allPids();
    std::sort(pids.begin(), pids.end());
    for (const pid_t pid : pids) {
        auto process = readProcess(pid);
        if (process && !process->kernelThread && !process->zombie && !isOwn(*process)) all.push_back(std::move(*process));
    }
    return all;
}

std::vector<Target> Scanner::scan() const {
    Processes all = readAll();
    std::vector<Target> found;
    addOci(all, found);
    addByCgroup(all, found);
    addByNamespace(all, found);
    return found;
}

void Scanner::addOci(Processes& all, std::vector<Target>& found) const {
    std::set<pid_t> waiting;
    for (auto& container : readOciState(settings_.roots)) {
        const Process* process = byPid(all, container.pid);
        if (process == nullptr || (container.startTime != 0 && container.startTime != process->startTime)) continue;
        // A user may write any pid into a state of its own.
        if (container.owner != 0 && !isInUserNamespaceOf(container.pid, container.owner)) continue;
        const bool known = std::any_of(found.begin(), found.end(), [&](const Target& target) { return target.pid == container.pid; });
        if (!container.started) waiting.insert(container.pid);
        if (known || !container.started) continue;
        Target target = targetOf(*process, container.id, container.runtime);
        target.labels = std::move(container.labels);
        for (const char* label : kImageLabels) {
            const auto image = target.labels.find(label);
            if (image != target.labels.end() && target.image.empty()) target.image = image->second;
        }
        found.push_back(std::move(target));
    }
    std::erase_if(all, [&](const Process& process) { return waiting.contains(process.pid); });
}

void Scanner::addByCgroup(const Processes& all, std::vector<Target>& found) const {
    struct Group {
        Shape shape;
        const Process* first = nullptr;
    };
    std::map<std::string, Group> groups;
    for (const auto& process : all) {
        auto shape = shapeOf(process.cgroup);
        if (!shape) continue;
        auto& group = groups[shape->cgroup];
        if (group.first == nullptr || startsBefore(process, *group.first)) group.first = &process;
        group.shape = std::move(*shape);
    }
    std::vector<Target> more;
    for (const auto& [cgroup, group] : groups) {
        const bool known = std::any_of(found.begin(), found.end(), [&](const Target& target) {
            return target.pid == group.first->pid || isIn(target.cgroup, cgroup) || target.cgroup == cgroup;
        });
        if (!known && !isYoung(*group.first) && !host_.sharesAll(*group.first))
            more.push_back(targetOf(*group.first, group.shape.id, group.shape.engine));
    }
    for (auto& target : more) found.push_back(std::move(target));
}

void Scanner::addByNamespace(const Processes& all, std::vector<Target>& found) const {
    std::vector<Target> more;
    std::map<std::uint64_t, const Process*> networks;
    std::set<std::uint64_t> known;  // who only joined a container's network is no container
    for (const auto& target : found) {
        if (const Process* first = byPid(all, target.pid)) known.insert(first->network);
    }
    for (const auto& process : all) {
        if (belongsToFound(process, found) || isYoung(process)) continue;
        if (process.isNamespaceInit()) more.push_back(targetOf(process, process.name, "process"));
        // Inside a pid namespace the first process stands for all.
        if (process.nested.size() > 1 || host_.sharesNetwork(process) || known.contains(process.network)) continue;
        auto& first = networks[process.network];
        if (first == nullptr || startsBefore(process, *first)) first = &process;
    }
    for (const auto& [network, process] : networks) more.push_back(targetOf(*process, process->name, "process"));
    for (auto& target : more) found.push_back(std::move(target));
}

Target Scanner::process(pid_t pid) const {
    const std::string who = "process " + std::to_string(pid);
    const auto process = readProcess(pid);
    if (!process || process->zombie) throw Error(Code::NotFound, who + " does not exist");
    if (process->kernelThread) throw Error(Code::Denied, who + " (" + process->name + ") is a kernel thread");
    if (isOwn(*process)) throw Error(Code::Denied, who + " (" + process->name + ") is one of RECap's own or in an ignored cgroup");
    if (host_.sharesAll(*process))
        throw Error(Code::Denied, who + " (" + process->name + ") shows no namespace of its own; it is the host's");
    return targetOf(*process, process->name, "process");
}

}  // namespace recap::process
