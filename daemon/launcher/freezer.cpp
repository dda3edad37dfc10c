// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/freezer.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/cgroup_files.hpp"
#include "daemon/launcher/checks.hpp"

namespace recap::launcher {

namespace {

constexpr unsigned kMostDepth = 16;  // of cgroups below a target's
constexpr unsigned kMost = 4096;     // of cgroups and processes there
constexpr std::size_t kMostList = 1 << 20;

std::string readWhole(int dir, const char* file) {
    UniqueFd fd(::openat(dir, file, O_RDONLY | O_CLOEXEC));
    std::string text;
    char part[4096];
    for (ssize_t got = 0; fd && text.size() < kMostList && (got = ::read(fd.get(), part, sizeof(part))) > 0;)
        text.append(part, static_cast<std::size_t>(got));
    return text;
}

std::vector<std::string> entries(int dir, unsigned char type) {
    std::vector<std::string> names;
    std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(openDir(dir, ".")), ::closedir);
    while (dirent* entry = stream ? ::readdir(stream.get()) : nullptr)
        if (entry->d_type == type && entry->d_name[0] != '.') names.emplace_back(entry->d_name);
    return names;
}

}  // namespace

Result<Freezer> Freezer::open(const Procfs& procfs, std::uint64_t hostPids, const std::string& runDir) {
    Freezer freezer;
    auto text = procfs.readSelf("mountinfo", Procfs::kMaxMountinfo);
    auto own = procfs.readSelf("cgroup", 65536);
    if (!text) return forward(std::move(text));
    if (!own) return forward(std::move(own));
    freezer.unified_ = openHierarchy(parseMountinfo(*text), "");
    freezer.v1_ = openHierarchy(parseMountinfo(*text), "freezer");
    freezer.ownUnified_ = cgroupOn(*own, "");
    freezer.ownV1_ = cgroupOn(*own, "freezer");
    freezer.hostPids_ = hostPids;
    const std::string folder = runDir + "/frozen";
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return failErrno("create " + folder);
    freezer.records_.reset(openDir(AT_FDCWD, folder.c_str()));
    if (!freezer.records_) return failErrno("open " + folder);
    return freezer;
}

UniqueFd Freezer::open(const Place& place) const {
    UniqueFd dir = openCgroup(place.v1 ? v1_ : unified_, place.path);
    struct stat info {};
    if (dir && (::fstat(dir.get(), &info) != 0 || (place.inode != 0 && info.st_ino != place.inode))) dir.reset();
    return dir;
}

// Where the target's cgroup is its own: on the unified hierarchy, or else on v1's freezer.
Result<Freezer::Place> Freezer::placeOf(const Procfs& procfs, pid_t pid) const {
    auto text = procfs.read(pid, "cgroup", 65536);
    if (!text) return forward(std::move(text));
    for (const bool v1 : {false, true}) {
        Place place{v1, cgroupOn(*text, v1 ? "freezer" : ""), 0};
        const std::string& own = v1 ? ownV1_ : ownUnified_;
        if (place.path.size() < 2 || isAtOrBelow(own, place.path)) continue;
        const UniqueFd dir = open(place);
        struct stat info {};
        if (!dir || ::fstat(dir.get(), &info) != 0 || ::faccessat(dir.get(), v1 ? "freezer.state" : "cgroup.freeze", W_OK, 0) != 0)
            continue;
        place.inode = info.st_ino;
        return place;
    }
    return fail(Errc::Denied, "freeze: process " + std::to_string(pid) + " has no cgroup of its own that could be frozen");
}

// Not a process of the host's: a login session or a service manager may share the cgroup of what is no container.
Result<void> Freezer::checkForeigners(const Procfs& procfs, const Place& place, int dir, unsigned& left, unsigned depth) const {
    if (depth > kMostDepth) return fail(Errc::LimitExceeded, "freeze: more than " + std::to_string(kMostDepth) + " levels of cgroups");
    const auto tooMuch = [&] {
        return fail(Errc::LimitExceeded, "freeze: more than " + std::to_string(kMost) + " cgroups and processes in " + place.path);
    };
    if (left-- == 0) return tooMuch();
    const std::string list = readWhole(dir, "cgroup.procs");
    for (std::size_t at = 0, end = 0; (end = list.find('\n', at)) != std::string::npos; at = end + 1) {
        if (left-- == 0) return tooMuch();
        const auto pid = static_cast<pid_t>(toNumber(std::string_view(list).substr(at, end - at)));
        const auto inode = procfs.namespaceInode(pid, "pid");
        const bool ended = !inode && inode.error().code == Errc::NotFound;
        if (!ended && (!inode || *inode == hostPids_))
            return fail(Errc::Denied, "freeze: process " + std::to_string(pid) + " of the host is in the target's cgroup " + place.path);
    }
    for (const auto& name : entries(dir, DT_DIR))
        if (const UniqueFd below(openDir(dir, name.c_str())); below)
            if (auto checked = checkForeigners(procfs, place, below.get(), left, depth + 1); !checked) return checked;
    return {};
}

bool Freezer::set(const Place& place, int dir, bool frozen) {
    return place.v1 ? writeFile(dir, "freezer.state", frozen ? "FROZEN" : "THAWED") : writeFile(dir, "cgroup.freeze", frozen ? "1" : "0");
}

Result<void> Freezer::record(const std::string& runId, const Place& place) const {
    const std::string line = std::string(place.v1 ? "v1 " : "v2 ") + std::to_string(place.inode) + " " + place.path;
    UniqueFd file(::openat(records_.get(), runId.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file || ::write(file.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size()))
        return failErrno("record what is frozen");
    return {};
}

Result<UniqueFd> Freezer::freeze(const Procfs& procfs, const std::string& runId, int target) {
    auto pid = procfs.pidOf(target);
    if (!pid) return forward(std::move(pid));
    auto place = placeOf(procfs, *pid);
    if (!place) return forward(std::move(place));
    const UniqueFd dir = open(*place);
    if (!dir) return failErrno("freeze: open cgroup " + place->path);
    unsigned left = kMost;
    if (auto checked = checkForeigners(procfs, *place, dir.get(), left); !checked) return forward(std::move(checked));
    const bool frozen = place->v1 ? readFile(dir.get(), "freezer.state") != "THAWED\n" : readFile(dir.get(), "cgroup.freeze") == "1\n";
    const auto [held, first] = held_.try_emplace(*place, Held{0, frozen});
    if (!held->second.before)
        if (auto recorded = record(runId, *place); !recorded) {
            if (first) held_.erase(held);
            return forward(std::move(recorded));
        }
    ++held->second.runs;
    runs_[runId] = *place;
    UniqueFd state(::openat(dir.get(), place->v1 ? "freezer.state" : "cgroup.events", O_RDONLY | O_CLOEXEC));
    if (state && set(*place, dir.get(), true)) return state;
    auto failure = failErrno("freeze cgroup " + place->path);
    thaw(runId);
    return failure;
}

bool Freezer::thaw(const std::string& runId) {
    const auto run = runs_.find(runId);
    if (run == runs_.end()) return true;
    const Place place = run->second;
    runs_.erase(run);
    const auto held = held_.find(place);
    const bool last = held == held_.end() || --held->second.runs == 0;
    const bool ours = held == held_.end() || !held->second.before;
    if (last && held != held_.end()) held_.erase(held);
    bool thawed = true;
    if (last && ours)
        if (const UniqueFd dir = open(place); dir) thawed = set(place, dir.get(), false);  // gone with its target is as good
    if (thawed) ::unlinkat(records_.get(), runId.c_str(), 0);
    return thawed;
}

unsigned Freezer::sweep() {
    unsigned thawed = 0;
    for (const auto& name : entries(records_.get(), DT_REG)) {
        const std::string line = readFile(records_.get(), name.c_str());
        Place place{line.starts_with("v1 "), {}, 0};
        const auto blank = line.find(' ', 3);
        if (blank != std::string::npos) {
            place.inode = toNumber(std::string_view(line).substr(3, blank - 3));
            place.path = line.substr(blank + 1);
            if (const UniqueFd dir = open(place); dir && place.inode != 0 && set(place, dir.get(), false)) ++thawed;
        }
        ::unlinkat(records_.get(), name.c_str(), 0);
    }
    return thawed;
}

int awaitFrozen(int state) {
    constexpr std::uint64_t kPatienceUsec = 1000000;
    const std::uint64_t until = monotonicUsec() + kPatienceUsec;
    char text[256];
    for (;;) {
        const ssize_t got = ::pread(state, text, sizeof(text), 0);
        if (got <= 0) return -1;
        const std::string_view now(text, static_cast<std::size_t>(got));
        if (now == "FROZEN\n" || keyed(now, "frozen") == 1) return 0;
        errno = ETIMEDOUT;  // something of the target's waits in the kernel
        const std::uint64_t at = monotonicUsec();
        if (at >= until) return -1;
        pollfd change{state, POLLPRI, 0};
        // v1 tells nobody: it is asked again
        const bool v1 = now.starts_with("FREEZING") || now.starts_with("THAWED");
        if (v1) change.fd = -1;
        ::poll(&change, 1, v1 ? 1 : static_cast<int>((until - at) / 1000) + 1);
    }
}

}  // namespace recap::launcher
