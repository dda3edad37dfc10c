// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/cgroup.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <set>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/cgroup_files.hpp"
#include "daemon/launcher/weaken.hpp"

namespace recap::launcher {

namespace {

constexpr unsigned kCpuPeriodUsec = 100000;
constexpr const char* kControllers[] = {"memory", "cpu", "pids"};

bool waitUntilEmpty(int dir, int timeoutMs) {
    UniqueFd events(::openat(dir, "cgroup.events", O_RDONLY | O_CLOEXEC));
    while (keyed(readFile(dir, "cgroup.events"), "populated") != 0) {
        pollfd poll{events.get(), POLLPRI, 0};
        if (::poll(&poll, 1, timeoutMs) <= 0) return false;
    }
    return true;
}

// Frozen, none of them starts another meanwhile, and no number becomes another process's; SIGKILL ends a frozen one too.
void killEach(int dir) {
    writeFile(dir, "cgroup.freeze", "1");
    UniqueFd list(::openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC));
    std::string text;
    char part[4096];
    for (ssize_t size = 0; list && (size = ::read(list.get(), part, sizeof(part))) > 0;) text.append(part, static_cast<std::size_t>(size));
    for (std::size_t at = 0, end = 0; (end = text.find('\n', at)) != std::string::npos; at = end + 1)
        if (const auto pid = static_cast<pid_t>(toNumber(std::string_view(text).substr(at, end - at))); pid > 1) ::kill(pid, SIGKILL);
    writeFile(dir, "cgroup.freeze", "0");
}

void killAll(int dir, bool withoutKill) {
    if (!withoutKill && writeFile(dir, "cgroup.kill", "1")) return;
    killEach(dir);
    if (const UniqueFd payload(openDir(dir, kPayloadCgroup)); payload) killEach(payload.get());
}

// Creates every component of a relative path below `dir` and opens the last.
Result<UniqueFd> makePath(int dir, std::string_view relative, const std::string& shown) {
    UniqueFd at(::openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    while (!relative.empty()) {
        const auto slash = relative.find('/');
        const std::string part(relative.substr(0, slash));
        relative.remove_prefix(slash == std::string_view::npos ? relative.size() : slash + 1);
        if (part.empty()) continue;
        if (::mkdirat(at.get(), part.c_str(), 0755) != 0 && errno != EEXIST) return failErrno("create cgroup " + shown);
        UniqueFd next(openDir(at.get(), part.c_str()));
        if (!next) return failErrno("open cgroup " + shown);
        at = std::move(next);
    }
    return at;
}

std::set<std::string> subfolders(int dir) {
    std::set<std::string> names;
    std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(openDir(dir, ".")), ::closedir);
    while (dirent* entry = stream ? ::readdir(stream.get()) : nullptr)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.') names.emplace(entry->d_name);
    return names;
}

// The value for one controller's file.
std::string cpuQuota(const Limits& limits) { return std::to_string(std::uint64_t{limits.cpuMilli} * kCpuPeriodUsec / 1000); }

bool limitUnified(int dir, std::string_view controller, const Limits& limits) {
    if (controller == "memory") {
        writeFile(dir, "memory.swap.max", "0");  // absent without swap accounting
        writeFile(dir, "memory.oom.group", "1");
        return writeFile(dir, "memory.max", std::to_string(limits.memory));
    }
    if (controller == "pids") return writeFile(dir, "pids.max", std::to_string(limits.pids));
    return writeFile(dir, "cpu.max", cpuQuota(limits) + " " + std::to_string(kCpuPeriodUsec));
}

bool limitV1(int dir, std::string_view controller, const Limits& limits) {
    if (controller == "memory") {
        const std::string bytes = std::to_string(limits.memory);
        if (!writeFile(dir, "memory.limit_in_bytes", bytes)) return false;
        if (!writeFile(dir, "memory.memsw.limit_in_bytes", bytes)) writeFile(dir, "memory.swappiness", "0");  // no swap accounting
        return true;
    }
    if (controller == "pids") return writeFile(dir, "pids.max", std::to_string(limits.pids));
    return writeFile(dir, "cpu.cfs_period_us", std::to_string(kCpuPeriodUsec)) && writeFile(dir, "cpu.cfs_quota_us", cpuQuota(limits));
}

}  // namespace

UniqueFd Cgroup::open() const { return UniqueFd(tree_ != nullptr ? openDir(tree_->capsules_.get(), id_.c_str()) : -1); }

std::vector<UniqueFd> Cgroup::v1Procs() const {
    std::vector<UniqueFd> fds;
    for (const auto& root : tree_->v1_) {
        UniqueFd procs(::openat(root.dir.get(), (id_ + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
        if (procs || errno != ENOENT)
            fds.push_back(std::move(procs));  // one that can't be opened fails the child; none was made without limit()
    }
    return fds;
}

bool Cgroup::populated() const { return keyed(readFile(open().get(), "cgroup.events"), "populated") != 0; }

bool Cgroup::killsWhole() const { return !tree_->withoutKill_ && ::faccessat(open().get(), "cgroup.kill", W_OK, 0) == 0; }

void Cgroup::kill() const {
    if (const UniqueFd dir = open()) killAll(dir.get(), tree_->withoutKill_);
}

void Cgroup::spareInit() const { writeFile(open().get(), "memory.oom.group", "0"); }

void Cgroup::killPayload() const {
    if (const UniqueFd payload(openDir(open().get(), kPayloadCgroup)); payload) killAll(payload.get(), tree_->withoutKill_);
}

CgroupUsage Cgroup::usage() const {
    CgroupUsage usage;
    const UniqueFd unified = open();
    const int dir = unified.get();
    const std::string cpu = readFile(dir, "cpu.stat");
    usage.cpuUsec = keyed(cpu, "usage_usec");
    usage.cpuSystemUsec = keyed(cpu, "system_usec");
    usage.memoryPeak = toNumber(readFile(dir, "memory.peak"));
    usage.pidsPeak = toNumber(readFile(dir, "pids.peak"));
    usage.outOfMemory = keyed(readFile(dir, "memory.events"), "oom_kill") != 0;
    if (const UniqueFd pids = openV1("pids")) usage.pidsPeak = toNumber(readFile(pids.get(), "pids.peak"));
    if (const UniqueFd memory = openV1("memory")) {
        usage.memoryPeak = toNumber(readFile(memory.get(), "memory.max_usage_in_bytes"));
        usage.outOfMemory = keyed(readFile(memory.get(), "memory.oom_control"), "oom_kill") != 0;
    }
    return usage;
}

bool Cgroup::counts(const char* controller) const {
    const std::string_view name = controller;
    if (const UniqueFd dir = openV1(name))
        return ::faccessat(dir.get(), name == "memory" ? "memory.max_usage_in_bytes" : "pids.peak", R_OK, 0) == 0;
    return ::faccessat(open().get(), name == "memory" ? "memory.peak" : "pids.peak", R_OK, 0) == 0;
}

UniqueFd Cgroup::openV1(std::string_view controller) const {
    const CgroupTree::V1Root* root = tree_ != nullptr ? tree_->v1(controller) : nullptr;
    return UniqueFd(root != nullptr ? openDir(root->dir.get(), id_.c_str()) : -1);
}

bool CgroupTree::unified(std::string_view controller) const { return std::ranges::find(controllers_, controller) != controllers_.end(); }

const CgroupTree::V1Root* CgroupTree::v1(std::string_view controller) const {
    for (const auto& one : v1_)
        if (one.controller == controller) return &one;
    return nullptr;
}

Result<CgroupTree> CgroupTree::open(const Procfs& procfs, std::string_view root, bool useV1) {
    auto text = procfs.readSelf("mountinfo", Procfs::kMaxMountinfo);
    if (!text) return forward(std::move(text));
    const auto mounts = parseMountinfo(*text);
    const auto unified = std::ranges::find_if(mounts, [](const MountLine& mount) { return mount.type == "cgroup2"; });
    if (unified == mounts.end()) return fail(Errc::NotSupported, "no cgroup v2 hierarchy is mounted");
    auto own = procfs.readSelf("cgroup", 65536);
    if (!own) return forward(std::move(own));
    const auto line = own->find("0::");
    const std::string ownPath = line == std::string::npos ? "/" : own->substr(line + 3, own->find('\n', line) - line - 3);

    CgroupTree tree;
    tree.path_ = root.empty() ? unified->path + (ownPath == "/" ? "/recap" : ownPath) : std::string(root);
    if (!tree.path_.starts_with(unified->path + "/"))
        return fail(Errc::InvalidArgument, "cgroup root " + tree.path_ + " is not below the cgroup v2 mount " + unified->path);
    const std::string relative = tree.relative_ = tree.path_.substr(unified->path.size() + 1);
    UniqueFd mount(openDir(AT_FDCWD, unified->path.c_str()));
    auto dir = makePath(mount.get(), relative, tree.path_);
    if (!dir) return forward(std::move(dir));
    tree.root_ = std::move(*dir);
    if (ownPath == "/" + relative) {  // a process in the root would forbid controllers below it
        auto supervisor = makePath(tree.root_.get(), "supervisor", tree.path_ + "/supervisor");
        if (!supervisor) return forward(std::move(supervisor));
        if (!writeFile(supervisor->get(), "cgroup.procs", "0")) return failErrno("move into " + tree.path_ + "/supervisor");
    }
    if (auto enabled = tree.enableControllers(); !enabled) return forward(std::move(enabled));
    if (useV1)
        if (auto opened = tree.openV1(mounts, relative); !opened) return forward(std::move(opened));
    return tree;
}

Result<void> CgroupTree::enableControllers() {
    for (const char* controller : kControllers) writeFile(root_.get(), "cgroup.subtree_control", std::string("+") + controller);
    auto dir = makePath(root_.get(), "c", path_ + "/c");
    if (!dir) return forward(std::move(dir));
    capsules_ = std::move(*dir);
    for (const char* controller : kControllers)
        if (writeFile(capsules_.get(), "cgroup.subtree_control", std::string("+") + controller)) controllers_.emplace_back(controller);
    return {};
}

Result<void> CgroupTree::openV1(const std::vector<MountLine>& mounts, const std::string& relative) {
    for (const char* controller : kControllers) {
        if (unified(controller)) continue;
        for (const auto& mount : mounts) {
            if (mount.type != "cgroup") continue;
            const std::string names = "," + mount.path.substr(mount.path.rfind('/') + 1) + ",";  // "cpu,cpuacct"
            if (names.find("," + std::string(controller) + ",") == std::string::npos) continue;
            UniqueFd base(openDir(AT_FDCWD, mount.path.c_str()));
            auto dir = makePath(base.get(), relative, mount.path + "/" + relative);
            if (!dir) return forward(std::move(dir));
            v1_.push_back({controller, std::move(*dir)});
            break;
        }
    }
    return {};
}

Result<void> CgroupTree::checkLimits(LimitsMode mode) const {
    if (mode == LimitsMode::BestEffort) return {};
    for (const char* controller : kControllers)
        if (!unified(controller) && v1(controller) == nullptr)
            return fail(Errc::NotSupported,
                        std::string("the ") + controller + " limit can't be enforced: no " + controller +
                            " controller here; limits = \"best-effort\" in /etc/recap/ceiling.toml would run without it");
    return {};
}

// Version 1 lets a cgroup be renamed, within its folder, with whom it may hold.
Result<void> CgroupTree::limit(Cgroup& cgroup, const Limits& limits, const std::optional<std::string>& parked) const {
    const UniqueFd dir = cgroup.open();
    for (const char* controller : kControllers) {
        if (weakened(Threat::Exhaustion)) continue;
        if (unified(controller)) {
            if (!limitUnified(dir.get(), controller, limits)) return failErrno(std::string("set the ") + controller + " limit");
            continue;
        }
        if (const V1Root* root = v1(controller); root != nullptr) {
            const int base = root->dir.get();
            const char* id = cgroup.id_.c_str();
            if ((parked ? ::renameat(base, parked->c_str(), base, id) : ::mkdirat(base, id, 0755)) != 0)
                return failErrno(std::string("create a cgroup for ") + controller);
            if (!limitV1(cgroup.openV1(controller).get(), controller, limits))
                return failErrno(std::string("set the ") + controller + " limit");
            continue;
        }
        cgroup.unenforced_.emplace_back(controller);
    }
    return {};
}

Result<Cgroup> CgroupTree::create(const std::string& id, const Limits& limits, const std::optional<std::string>& parked) const {
    Cgroup cgroup;
    cgroup.tree_ = this;
    cgroup.id_ = id;
    if (::mkdirat(capsules_.get(), id.c_str(), 0755) != 0) return failErrno("create cgroup " + path_ + "/c/" + id);
    auto limited = limit(cgroup, limits, parked);
    if (!limited) {
        static_cast<void>(remove(cgroup));
        return forward(std::move(limited));
    }
    return cgroup;
}

Result<std::vector<UniqueFd>> CgroupTree::makeParking(const std::string& name) const {
    std::vector<UniqueFd> procs;
    for (const auto& root : v1_) {
        UniqueFd one;
        if (::mkdirat(root.dir.get(), name.c_str(), 0755) == 0)
            one.reset(::openat(root.dir.get(), (name + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
        if (!one) {
            removeLate(name);
            return fail(Errc::Io, "create a cgroup for a parked worker in " + root.controller);
        }
        procs.push_back(std::move(one));
    }
    return procs;
}

Result<void> CgroupTree::remove(const Cgroup& cgroup) const {
    ::unlinkat(capsules_.get(), (cgroup.id_ + "/" + kPayloadCgroup).c_str(), AT_REMOVEDIR);  // mostly there is none
    const auto gone = [&](int dir) { return ::unlinkat(dir, cgroup.id_.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT; };
    if (!gone(capsules_.get())) return fail(Errc::Busy, "cgroup " + path_ + "/c/" + cgroup.id_ + ": " + ::strerrordesc_np(errno));
    for (const auto& root : v1_)
        if (!gone(root.dir.get()))
            return fail(Errc::Busy, "cgroup " + root.controller + ":" + cgroup.id_ + ": " + ::strerrordesc_np(errno));
    return {};
}

bool CgroupTree::exists(const std::string& id) const {
    struct stat info {};
    if (::fstatat(capsules_.get(), id.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) return true;
    return std::ranges::any_of(v1_,
                               [&](const V1Root& root) { return ::fstatat(root.dir.get(), id.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0; });
}

bool CgroupTree::removeLate(const std::string& id) const {
    UniqueFd dir(openDir(capsules_.get(), id.c_str()));
    if (dir) {
        killAll(dir.get(), withoutKill_);
        ::unlinkat(dir.get(), kPayloadCgroup, AT_REMOVEDIR);
    }
    ::unlinkat(capsules_.get(), id.c_str(), AT_REMOVEDIR);
    for (const auto& root : v1_) ::unlinkat(root.dir.get(), id.c_str(), AT_REMOVEDIR);
    return !exists(id);
}

CgroupTree::Swept CgroupTree::sweep() const {
    constexpr std::uint64_t kPatienceUsec = 2000000;
    std::set<std::string> ids;
    ids.merge(subfolders(capsules_.get()));
    for (const auto& root : v1_) ids.merge(subfolders(root.dir.get()));
    for (const auto& id : ids) {
        const UniqueFd dir(openDir(capsules_.get(), id.c_str())), payload(openDir(dir.get(), kPayloadCgroup));
        if (dir) killAll((payload ? payload : dir).get(), withoutKill_);  // an init that joined the target's processes reaps, and ends
    }
    Swept swept;
    const std::uint64_t until = monotonicUsec() + kPatienceUsec;
    for (const auto& id : ids) {
        if (UniqueFd dir(openDir(capsules_.get(), id.c_str())); dir) {
            const std::uint64_t now = monotonicUsec();
            waitUntilEmpty(dir.get(), now < until ? static_cast<int>((until - now) / 1000) + 1 : 0);
        }
        if (removeLate(id))
            ++swept.removed;
        else
            swept.left.push_back(id);
    }
    return swept;
}

}  // namespace recap::launcher
