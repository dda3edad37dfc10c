// SPDX-License-Identifier: Apache-2.0
// The launcher's own procfs: a detached mount that no target can cover or replace (threat T7). Everything that the launcher
// learns about a process is read here, by pid and file name, never through a path of the target.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/launcher/protocol.hpp"
#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::launcher {

// Index = number of the NamespaceBit.
inline constexpr std::array<const char*, kNamespaces> kNamespaceNames{"pid", "net", "ipc", "uts", "user", "cgroup", "time", "mnt"};

struct ProcessStat {
    char state = '?';
    pid_t parent = 0;
    std::uint64_t flags = 0;
    std::uint64_t startTime = 0;
    bool kernelThread() const { return (flags & 0x00200000) != 0; }  // PF_KTHREAD
    bool exiting() const { return (flags & 0x00000004) != 0; }       // PF_EXITING
};

// One line of mountinfo, what is needed of it.
struct MountLine {
    std::string path;  // unescaped
    std::string type;
    std::uint64_t id = 0;
};

// Parsers of procfs text; pure.
Result<ProcessStat> parseStat(std::string_view text);
// The unified hierarchy's path; where that is the root, v1's pids or name=systemd path, which then tells more.
std::string parseCgroup(std::string_view text);
std::vector<MountLine> parseMountinfo(std::string_view text);
std::vector<IdRange> parseIdMap(std::string_view text);  // uid_map, gid_map
// The number in the namespace of what is `outside` on the host; none where it is not mapped.
std::optional<std::uint32_t> insideOf(const std::vector<IdRange>& map, std::uint32_t outside);
// FUSE, autofs and network file systems, where a server answers or does not; and whatever is not known to be none of these.
bool isForeign(std::string_view filesystem);
// The line "Key:\t…" of a status file, without the key; empty when absent.
std::string_view statusLine(std::string_view status, std::string_view key);

class Procfs {
public:
    static Result<Procfs> mount();
    static constexpr std::size_t kMaxMountinfo = 8 << 20;

    int fd() const { return root_.get(); }
    // Reads a whole small file, e.g. read(1, "stat") or readSelf("mountinfo"). At most `cap` bytes.
    Result<std::string> read(pid_t pid, std::string_view file, std::size_t cap = 1 << 20) const;
    Result<std::string> readSelf(std::string_view file, std::size_t cap = 1 << 20) const;
    Result<ProcessStat> stat(pid_t pid) const;
    // The inode of a namespace of a process; needs ptrace read access to it.
    Result<std::uint64_t> namespaceInode(pid_t pid, const char* name) const;
    Result<std::uint64_t> ownNamespaceInode(const char* name) const;
    // Opens /proc/PID/<link> (ns/pid, root): O_PATH for root.
    Result<UniqueFd> open(pid_t pid, std::string_view file, int flags) const;
    // A read-only descriptor of the same file: what is handed out must not be written through.
    UniqueFd reopenReadOnly(int fd) const;
    int ownDescriptors() const;  // how many are open
    // Of its main thread; those that nobody has waited for yet too.
    std::vector<pid_t> children(pid_t pid) const;
    std::vector<pid_t> processes() const;
    // The pid behind a pidfd, as this procfs numbers it. Errc::TargetGone when it has ended.
    Result<pid_t> pidOf(int pidfd) const;

private:
    Result<std::string> readAt(const char* path, std::size_t cap) const;
    UniqueFd root_;
};

// The numbers of a mountinfo's mounts, sorted.
std::vector<std::uint64_t> parseMountIds(std::string_view text);

// Whether anything has been mounted in this process's mount namespace: nothing ever is. What was there at the start may go: a copy
// of an engine's mount does when the engine removes its folder (umount(2), MNT_DETACH). Costs a poll(2) while nothing changes.
class OwnMounts {
public:
    static Result<OwnMounts> watch(const Procfs& procfs);
    bool grew(const Procfs& procfs);

private:
    UniqueFd mountinfo_;  // is readable "exceptionally" once after each change: proc(5)
    std::vector<std::uint64_t> known_;
    bool grew_ = false;
};

}  // namespace recap::launcher
