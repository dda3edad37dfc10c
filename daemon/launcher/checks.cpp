// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/checks.hpp"

#include <fcntl.h>
#include <sys/capability.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <optional>

#include "daemon/launcher/refusal.hpp"
#include "daemon/launcher/seccomp.hpp"
#include "daemon/launcher/weaken.hpp"

namespace recap::launcher {

namespace {

tl::unexpected<Error> malformed(std::string_view what) {
    std::string text = "plan: ";
    return fail(Errc::InvalidArgument, std::move(text.append(what)));
}

bool clean(const std::vector<std::string>& list) {
    return std::ranges::none_of(list, [](const std::string& text) { return text.find('\0') != std::string::npos; });
}

Result<void> checkSupported(const Plan& plan) {
    if (plan.artifactsStorage == Storage::Disk) return fail(Errc::NotSupported, "storage = \"disk\" is not supported by this version");
    return {};
}

// Where the launcher itself mounts: what is below one of these is not the capsule's to name.
bool isTaken(std::string_view path) {
    for (std::string_view taken : {"/target", "/proc", "/dev", "/.recap"})
        if (path == taken || (path.starts_with(taken) && path[taken.size()] == '/')) return true;
    return false;
}

Result<void> checkStrings(const Plan& plan) {
    // these stand in the journal's records, which must fit a datagram
    if (plan.capsule.size() > 128 || plan.target.size() > 512) return malformed("capsule or target named by more than 128 or 512 bytes");
    if (plan.boundTo.size() > 255) return malformed("a bus name of " + std::to_string(plan.boundTo.size()) + " bytes");
    if (plan.cgroup.size() > 4096) return malformed("a cgroup path of " + std::to_string(plan.cgroup.size()) + " bytes");
    if (plan.argv.empty()) return malformed("no arguments");
    if (!clean(plan.argv) || !clean(plan.env)) return malformed("a NUL in an argument or the environment");
    for (const auto& entry : plan.env)
        if (entry.find('=') == std::string::npos || entry.front() == '=') return malformed("environment entry without a name");
    if (!isPlainPath(plan.executable) || plan.executable == "/")
        return malformed("executable '" + plan.executable + "' is not a plain absolute path");
    if (!isPlainPath(plan.workdir)) return malformed("workdir '" + plan.workdir + "' is not a plain absolute path");
    if (!plan.artifacts.empty() && (!isPlainPath(plan.artifacts) || plan.artifacts == "/"))
        return malformed("artifacts '" + plan.artifacts + "' is not a plain absolute path");
    if (isTaken(plan.artifacts)) return malformed("artifacts '" + plan.artifacts + "' is within what the launcher mounts itself");
    return {};
}

Result<void> checkWrites(const Plan& plan) {
    if ((plan.view == View::Write) == plan.writes.empty()) return malformed("view = \"write\" and the paths to write go together");
    if (plan.writes.size() > kMaxWrites) return malformed(std::to_string(plan.writes.size()) + " paths to write");
    for (const auto& path : plan.writes)
        if (!isPlainPath(path) || path == "/") return malformed("path to write '" + path + "' is not a plain absolute path below /");
    return {};
}

Result<void> checkNumbers(const Plan& plan) {
    if ((plan.processes == Processes::Join) != ((plan.namespaces & kNsPid) != 0))
        return malformed("processes = \"join\" and the pid namespace go together");
    if ((plan.namespaces & kNsMnt) != 0) return malformed("a mount namespace is never joined");
    if (plan.timeoutUsec == 0) return malformed("no deadline");
    if (plan.limits.memory == 0 || plan.limits.cpuMilli == 0 || plan.limits.pids == 0 || plan.limits.scratch == 0)
        return malformed("a limit is missing");
    if (!plan.artifacts.empty() && plan.artifactsMax == 0) return malformed("artifacts without a size");
    if (plan.groups.size() > 128) return malformed("more than 128 groups");
    // setresuid(2) and its like take this number as "leave it as it is": as the launcher's own, 0
    constexpr std::uint32_t kUnchanged = UINT32_MAX;
    if (plan.uid == kUnchanged || plan.gid == kUnchanged || std::ranges::find(plan.groups, kUnchanged) != plan.groups.end())
        return malformed("4294967295 is no uid or gid");
    return {};
}

Result<void> checkStreams(const Plan& plan) {
    const auto terminals = std::ranges::count(plan.stdio, Stdio::Terminal);
    if (terminals != 0 && terminals != 3) return malformed("a terminal for some of stdin, stdout and stderr; it is for all three");
    if (plan.stdio[0] == Stdio::Log) return malformed("stdin can't be a log");
    if (plan.stdio[1] == Stdio::Pipe || plan.stdio[2] == Stdio::Pipe) return malformed("a pipe to write to is stdin's only");
    const bool logs = std::ranges::count(plan.stdio, Stdio::Log) + terminals != 0;
    if (logs && plan.logMax == 0) return malformed("a log without a size");
    if (plan.attached >> 3 != 0 || (terminals != 0 && plan.attached >> 2 != 0)) return malformed("attached to a stream that there is not");
    for (std::size_t i = 0; i < 3; ++i)
        if ((plan.attached >> i & 1) != 0 && (plan.stdio[i] == Stdio::Null || plan.stdio[i] == Stdio::Given))
            return malformed("attached to a stream that the launcher does not hold");
    if ((terminals == 0 && (plan.rows != 0 || plan.columns != 0)) || plan.rows > UINT16_MAX || plan.columns > UINT16_MAX)
        return malformed("a terminal of " + std::to_string(plan.rows) + " rows and " + std::to_string(plan.columns) + " columns");
    return {};
}

std::string over(std::uint64_t asked, std::uint64_t most) { return std::to_string(asked) + " is more than " + std::to_string(most); }

Result<void> checkMaxima(const Plan& plan, const Ceiling& ceiling) {
    const struct {
        std::string_view key;
        std::uint64_t asked;
        std::uint64_t most;
    } maxima[] = {{"max.memory", plan.limits.memory, ceiling.maxMemory},
                  {"max.cpu", plan.limits.cpuMilli, ceiling.maxCpuMilli},
                  {"max.pids", plan.limits.pids, ceiling.maxPids},
                  {"max.scratch", plan.limits.scratch, ceiling.maxScratch},
                  {"max.timeout", plan.timeoutUsec, ceiling.maxTimeoutUsec},
                  {"max.grace", plan.graceUsec, ceiling.maxGraceUsec},
                  {"max.artifacts", plan.artifactsMax, ceiling.maxArtifacts},
                  {"max.log", plan.logMax, ceiling.maxLog},
                  {"max.open-files", plan.noFile, ceiling.noFile}};
    for (const auto& one : maxima)
        if (one.asked > one.most) return denied(one.key, over(one.asked, one.most));
    return {};
}

bool isBelowAny(std::string_view path, const std::vector<std::string>& folders) {
    return std::ranges::any_of(folders, [&](const std::string& folder) { return isAtOrBelow(path, folder); });
}

// The host's number of 0 in the target's own user namespace, where the plan joins that.
std::optional<std::uint32_t> zeroOf(const std::vector<IdRange>& map) {
    for (const auto& range : map)
        if (range.inside == 0 && range.count != 0) return range.outside;
    return std::nullopt;
}

Result<void> checkInsideIdentity(const Plan& plan, const TargetFacts& facts) {
    if ((plan.namespaces & kNsUser) == 0) return {};
    if (plan.uid == zeroOf(facts.uidMap) && facts.uid != plan.uid)
        return denied("root-user", "uid 0 of the target's user namespace where the target runs as another");
    if (plan.gid == zeroOf(facts.gidMap) && facts.gid != plan.gid)
        return denied("root-user", "gid 0 of the target's user namespace where the target runs as another");
    return {};
}

// uid 0 and what can make it, where the target's own process has another identity.
Result<void> checkIdentity(const Plan& plan, const Ceiling& ceiling, const TargetFacts& facts) {
    if (ceiling.rootUser) return {};
    if (auto inside = checkInsideIdentity(plan, facts); !inside) return inside;
    const bool zeroGroup =
        std::ranges::find(plan.groups, 0u) != plan.groups.end() && std::ranges::find(facts.groups, 0u) == facts.groups.end();
    if (plan.uid == 0 && facts.uid != 0) return denied("root-user", "uid 0 where the target runs as uid " + std::to_string(facts.uid));
    if ((plan.gid == 0 || zeroGroup) && facts.gid != 0)
        return denied("root-user", "gid 0 where the target runs as gid " + std::to_string(facts.gid));
    constexpr std::uint64_t kSetIds = (1ull << 6) | (1ull << 7);
    if ((plan.capabilities & kSetIds) != 0 && facts.uid != 0)
        return denied("root-user", "CAP_SETUID or CAP_SETGID where the target runs as uid " + std::to_string(facts.uid));
    return {};
}

constexpr std::array kProcesses{"none", "observe", "join"};
constexpr std::array kViews{"none", "read-only", "merged", "write"};

}  // namespace

bool isRunId(std::string_view text) {
    constexpr std::string_view alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    if (weakened(Threat::Injection)) return true;
    return text.size() == kRunIdLength && text.find_first_not_of(alphabet) == std::string_view::npos;
}

bool isDigest(std::string_view text) { return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos; }

bool isAtOrBelow(std::string_view path, std::string_view folder) {
    return folder == "/" || path == folder || (path.starts_with(folder) && path[folder.size()] == '/');
}

bool isPlainPath(std::string_view path) {
    if (path == "/") return true;
    if (path.empty() || path.front() != '/' || path.size() > 4096 || path.back() == '/') return false;
    for (const char byte : path)
        if (static_cast<unsigned char>(byte) < 0x20 || byte == 0x7f) return false;
    for (auto rest = path.substr(1);;) {
        const auto slash = rest.find('/');
        const auto part = rest.substr(0, slash);
        if (part.empty() || part == "." || part == "..") return false;
        if (slash == std::string_view::npos) return true;
        rest.remove_prefix(slash + 1);
    }
}

Result<void> checkShape(const Plan& plan) {
    if (weakened(Threat::WildPlans)) return {};
    if (!isRunId(plan.runId)) return malformed("run id '" + plan.runId.substr(0, 40) + "' is not a ULID");
    if (!isDigest(plan.imageDigest)) return malformed("image digest is not 64 hex digits");
    if (plan.layers.empty() || plan.layers.size() > kMaxLayers) return malformed(std::to_string(plan.layers.size()) + " layers");
    for (const auto& layer : plan.layers)
        if (!isDigest(layer)) return malformed("layer '" + layer.substr(0, 80) + "' is not 64 hex digits");
    for (auto check : {checkSupported, checkStrings, checkWrites, checkNumbers, checkStreams})
        if (auto checked = check(plan); !checked) return checked;
    auto filter = readFilter(plan.filter);
    if (!filter) return forward(std::move(filter));
    return {};
}

Result<void> checkCeiling(const Plan& plan, const Ceiling& ceiling, const TargetFacts& facts) {
    if (weakened(Threat::WildPlans)) return {};
    if (const auto beyond = plan.namespaces & ~ceiling.namespaces; beyond != 0) return denied("namespaces", namespaceNames(beyond));
    if ((ceiling.processes >> static_cast<unsigned>(plan.processes) & 1) == 0)
        return denied("processes", kProcesses[static_cast<std::size_t>(plan.processes)]);
    if ((ceiling.views >> static_cast<unsigned>(plan.view) & 1) == 0) return denied("views", kViews[static_cast<std::size_t>(plan.view)]);
    for (const auto& path : plan.writes)
        if (!isBelowAny(path, ceiling.writes)) return denied("writes", path);
    if (plan.freeze && !ceiling.freeze) return denied("freeze", "the target would be frozen");
    if (const auto beyond = plan.capabilities & ~ceiling.capabilities; beyond != 0) return denied("capabilities", capabilityNames(beyond));
    if (auto checked = checkIdentity(plan, ceiling, facts); !checked) return checked;
    return checkMaxima(plan, ceiling);
}

namespace {

tl::unexpected<Error> unmapped(std::string what, std::uint32_t id, const Plan& plan) {
    what += std::to_string(id) + " is not mapped in the user namespace of target " + plan.target;
    return fail(Errc::InvalidArgument, std::move(what));
}

// Threat T3. The worker looks at every process of the target's; this one is known already, and says it before anything is done.
Result<void> checkJoined(const Plan& plan, const TargetFacts& facts) {
    const bool mapped = (facts.hostNamespaces & kNsUser) == 0;
    const bool traces = (facts.capBounding >> CAP_SYS_PTRACE & 1) != 0 && !mapped;
    if (plan.processes == Processes::Join && traces && !weakened(Threat::TracingTarget))
        return fail(Errc::Denied, "target " + plan.target +
                                      " may have CAP_SYS_PTRACE in the host's user namespace and could take over what " +
                                      "joins its pid namespace; processes = \"observe\" shows its processes all the same");
    if ((plan.namespaces & kNsUser) == 0) return {};
    if (!insideOf(facts.uidMap, plan.uid)) return unmapped("uid ", plan.uid, plan);
    return insideOf(facts.gidMap, plan.gid) ? Result<void>{} : unmapped("gid ", plan.gid, plan);
}

// What the target's files may decide of what the capsule does is worth no more than the target's own capabilities: those that count
// where the capsule has its own.
Result<void> checkMerged(const Plan& plan, const TargetFacts& facts) {
    if (plan.view != View::Merged) return {};
    const bool elsewhere = (facts.hostNamespaces & kNsUser) == 0 && (plan.namespaces & kNsUser) == 0;
    const std::uint64_t beyond = plan.capabilities & ~(elsewhere ? 0 : facts.capEffective);
    if (beyond == 0) return {};
    return fail(Errc::Denied, "view = \"merged\": target " + plan.target + " has not " + capabilityNames(beyond) +
                                  (elsewhere ? " outside its own user namespace" : "") +
                                  ", and a capsule among its files has no more than it; view = \"read-only\" has no such rule");
}

// Anybody may make namespaces of a user's own, with a mount namespace whose root is any folder of the host's: what it shows is worth
// what its maker could see. So who looks without entering that user namespace has no right there that its users have not.
Result<void> checkForeignUsers(const Plan& plan, const TargetFacts& facts) {
    if (!reachesFiles(plan) || (facts.hostNamespaces & kNsUser) != 0) return {};
    const std::string where = "files of target " + plan.target + ", which has a user namespace of its own: ";
    const bool joined = (plan.namespaces & kNsUser) != 0;
    if (plan.capabilities != 0 && !joined)
        return fail(Errc::Denied,
                    where + capabilityNames(plan.capabilities) + " would count outside of it; namespaces = [\"user\"] joins it");
    constexpr std::uint32_t kNobody = 65534;
    const auto strange = [](const std::vector<IdRange>& map, std::uint32_t id) { return id != kNobody && !insideOf(map, id); };
    if (strange(facts.uidMap, plan.uid)) return fail(Errc::Denied, where + "uid " + std::to_string(plan.uid) + " is none of its users");
    if (strange(facts.gidMap, plan.gid)) return fail(Errc::Denied, where + "gid " + std::to_string(plan.gid) + " is none of its groups");
    // Those that the target has itself, it has: setgroups(2) may be denied to its namespace.
    for (const std::uint32_t group : plan.groups)
        if (strange(facts.gidMap, group) && std::ranges::find(facts.groups, group) == facts.groups.end())
            return fail(Errc::Denied, where + "gid " + std::to_string(group) + " is none of its groups");
    return {};
}

}  // namespace

tl::unexpected<Error> targetChanged(const std::string& what) {
    return fail(Errc::TargetGone, "the target is no longer what was planned for: " + what);
}

Result<void> checkExpected(const TargetFacts& facts, std::uint64_t startTime, const std::string& cgroup) {
    if (facts.startTime != startTime) return targetChanged("its start time differs");
    if (facts.cgroup != cgroup) return targetChanged("its cgroup is '" + facts.cgroup + "', expected '" + cgroup + "'");
    return {};
}

Result<void> checkTarget(const Plan& plan, const TargetFacts& facts, const HostIds& host, const Ceiling& ceiling, std::uint64_t features) {
    if (auto expected = checkExpected(facts, plan.startTime, plan.cgroup); !expected) return expected;
    if (auto own = checkHost(plan, facts, host, ceiling, features); !own) return own;
    const std::uint32_t used = usedNamespaces(plan);
    for (std::size_t i = 0; i < kNamespaces; ++i)
        if ((used >> i & 1) != 0 && facts.namespaces[i] != plan.expected[i])
            return targetChanged("its " + std::string(kNamespaceNames[i]) + " namespace differs");
    if (auto joined = checkJoined(plan, facts); !joined) return joined;
    if (auto merged = checkMerged(plan, facts); !merged) return merged;
    if (reachesFiles(plan) && FolderId{facts.rootDevice, facts.rootInode} == host.root)
        return fail(Errc::Denied, "would show the host's files: the root of target " + plan.target + " is the host's root");
    return checkForeignUsers(plan, facts);
}

// A pipe can do no more than carry bytes. A socket is a door into the network namespace that it was made in (its ioctls change the
// interfaces there): no payload gets one that could use it so. Files have been taken out before (closing.hpp).
Result<void> checkStdio(int fd, int number, const Plan& plan) {
    const std::string what = "stdio descriptor " + std::to_string(number);
    const int flags = ::fcntl(fd, F_GETFL);
    struct statx info {};
    if (flags < 0 || ::statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &info) != 0) return failErrno(what);  // asks no server
    const bool null = S_ISCHR(info.stx_mode) && info.stx_rdev_major == 1 && info.stx_rdev_minor == 3;
    const bool socket = S_ISSOCK(info.stx_mode);
    if ((flags & O_PATH) != 0 || !(S_ISFIFO(info.stx_mode) || socket || null))
        return fail(Errc::InvalidArgument, what + " is not a pipe, socket or /dev/null");
    const int access = flags & O_ACCMODE;
    if ((number == 0 && access == O_WRONLY) || (number != 0 && access == O_RDONLY))
        return fail(Errc::InvalidArgument, what + " is open in the wrong direction");
    if (socket && plan.capabilities != 0)
        return fail(Errc::InvalidArgument, what + " is a socket: a capsule with capabilities is given pipes only");
    return {};
}

// Of a stream that is attached from the start: the supervisor itself reads or writes it, so nothing that could answer late or never,
// as the file of a FUSE server might, or a pipe whose other end is read into a mapping of one.
Result<void> checkAttached(int fd, int number, const Plan&) {
    int domain = 0, type = 0;
    socklen_t size = sizeof(int);
    if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX &&
        ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM)
        return {};
    return fail(Errc::InvalidArgument,
                "stdio descriptor " + std::to_string(number) + " is not a unix stream socket; whoever is attached gives these");
}

}  // namespace recap::launcher
