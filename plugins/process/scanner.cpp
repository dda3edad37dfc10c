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
    // Digits are a pid, and what a process calls itself is no id either.
    const bool isDigits = name.find_first_not_of("0123456789") == std::string::npos;
    if (!isDigits && (runtime != "process" || isPlainName(name))) target.name = std::move(name);
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

// A process this young may be a runtime's, on its way into a container: whoever starts it tells first, or nobody does.
bool isYoung(const Process& process) {
    constexpr std::uint64_t youthMs = 1000;
    timespec now{};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    const auto ticks = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
    const std::uint64_t nowMs = static_cast<std::uint64_t>(now.tv_sec) * 1000 + static_cast<std::uint64_t>(now.tv_nsec) / 1'000'000;
    return process.startTime * 1000 / ticks + youthMs > nowMs;
}

// What an engine keeps its own backend tells first, with all that it knows; here it is told where that backend does not.
bool isEngines(const Process& process) {
    const auto shape = shapeOf(process.cgroup);
    return shape && (shape->engine == "docker" || shape->engine == "podman" || shape->engine == "containerd");
}

bool startsBefore(const Process& a, const Process& b) {
    if (a.isNamespaceInit() != b.isNamespaceInit()) return a.isNamespaceInit();
    return a.startTime != b.startTime ? a.startTime < b.startTime : a.pid < b.pid;
}

}  // namespace

// Whether `process` lives in a container that is already known.
bool Scanner::belongsToFound(const Process& process, const std::vector<Found>& found) {
    return std::any_of(found.begin(), found.end(),
                       [&](const Target& target) { return process.pid == target.pid || isIn(process.cgroup, target.cgroup); });
}

bool Scanner::isOwn(const Process& process) const {
    if (process.pid == ::getpid()) return true;
    // From the root of the hierarchy on: what is called alike below a user's own cgroup hides nothing.
    constexpr int whole = FNM_PATHNAME | FNM_NOESCAPE | FNM_LEADING_DIR;
    return std::any_of(process.cgroups.begin(), process.cgroups.end(), [&](const std::string& cgroup) {
        return isIn(cgroup, settings_.launcher) ||
               std::any_of(settings_.ignore.begin(), settings_.ignore.end(),
                           [&](const std::string& pattern) { return ::fnmatch(pattern.c_str(), cgroup.c_str(), whole) == 0; });
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
    std::vector<Found> found;
    addOci(all, found);
    addByCgroup(all, found);
    addByNamespace(all, found);
    return settleNames(std::move(found));
}

std::vector<Target> Scanner::settleNames(std::vector<Found> found) {
    std::map<std::string, NamedBy> best;
    for (const auto& target : found) {
        const auto [known, isNew] = best.try_emplace(target.name, target.namedBy);
        if (!isNew) known->second = std::min(known->second, target.namedBy);
    }
    std::vector<Target> settled;
    for (auto& target : found) {
        const bool yields = best[target.name] < target.namedBy;
        settled.push_back(std::move(target));
        if (yields) settled.back().name.clear();
    }
    return settled;
}

void Scanner::addOci(Processes& all, std::vector<Found>& found) const {
    std::set<pid_t> waiting;
    for (auto& container : readOciState(settings_.roots)) {
        const Process* process = byPid(all, container.pid);
        if (process == nullptr || (container.startTime != 0 && container.startTime != process->startTime)) continue;
        // A user may write any pid into a state of its own.
        if (container.owner != 0 && !isInUserNamespaceOf(container.pid, container.owner)) continue;
        const bool known = std::any_of(found.begin(), found.end(), [&](const Target& target) { return target.pid == container.pid; });
        if (!container.started) waiting.insert(container.pid);
        if (known || !container.started || (isEngines(*process) && isYoung(*process))) continue;
        Found target{targetOf(*process, container.id, container.runtime), container.owner == 0 ? NamedBy::Root : NamedBy::User};
        target.labels = std::move(container.labels);
        for (const char* label : kImageLabels) {
            const auto image = target.labels.find(label);
            if (image != target.labels.end() && target.image.empty()) target.image = image->second;
        }
        found.push_back(std::move(target));
    }
    std::erase_if(all, [&](const Process& process) { return waiting.contains(process.pid); });
}

void Scanner::addByCgroup(const Processes& all, std::vector<Found>& found) const {
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
    std::vector<Found> more;
    for (const auto& [cgroup, group] : groups) {
        const bool known = std::any_of(found.begin(), found.end(), [&](const Target& target) {
            return target.pid == group.first->pid || isIn(target.cgroup, cgroup) || target.cgroup == cgroup;
        });
        if (!known && !isYoung(*group.first) && !host_.sharesAll(*group.first))
            more.push_back(
                {targetOf(*group.first, group.shape.id, group.shape.engine), isDelegated(cgroup) ? NamedBy::User : NamedBy::System});
    }
    for (auto& target : more) found.push_back(std::move(target));
}

void Scanner::addByNamespace(const Processes& all, std::vector<Found>& found) const {
    std::vector<Found> more;
    std::map<std::uint64_t, const Process*> networks;
    std::set<std::uint64_t> known;  // who only joined a container's network is no container
    for (const auto& target : found) {
        if (const Process* first = byPid(all, target.pid)) known.insert(first->network);
    }
    for (const auto& process : all) {
        if (belongsToFound(process, found) || isYoung(process)) continue;
        if (process.isNamespaceInit()) more.push_back({targetOf(process, process.name, "process"), NamedBy::Itself});
        // Inside a pid namespace the first process stands for all.
        if (process.nested.size() > 1 || host_.sharesNetwork(process) || known.contains(process.network)) continue;
        auto& first = networks[process.network];
        if (first == nullptr || startsBefore(process, *first)) first = &process;
    }
    for (const auto& [network, process] : networks) more.push_back({targetOf(*process, process->name, "process"), NamedBy::Itself});
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
