// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/procfs.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <climits>
#include <memory>

#include "daemon/launcher/kernel.hpp"
#include "daemon/launcher/weaken.hpp"

namespace recap::launcher {

namespace {

template <class T>
bool number(std::string_view text, T& value) {
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size();
}

// Cuts the next field, separated by `separator`, off the front of `rest`.
std::string_view cut(std::string_view& rest, char separator) {
    const auto end = rest.find(separator);
    const auto field = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    return field;
}

// mountinfo writes space, tab, newline and backslash as \ooo.
std::string unescape(std::string_view text) {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && text.size() - i > 3) {
            unsigned code = 0;
            auto [end, error] = std::from_chars(text.data() + i + 1, text.data() + i + 4, code, 8);
            if (error == std::errc{} && end == text.data() + i + 4) {
                plain.push_back(static_cast<char>(code));
                i += 3;
                continue;
            }
        }
        plain.push_back(text[i]);
    }
    return plain;
}

}  // namespace

Result<ProcessStat> parseStat(std::string_view text) {
    const auto close = text.rfind(')');  // the name may hold anything, ") R" too
    if (close == std::string_view::npos || close + 2 >= text.size()) return fail(Errc::Io, "unreadable stat line");
    auto rest = text.substr(close + 2);
    ProcessStat stat;
    for (int field = 3; field <= 22; ++field) {
        const auto value = cut(rest, ' ');
        bool good = true;
        if (field == 3) stat.state = value.empty() ? '?' : value[0];
        if (field == 4) good = number(value, stat.parent);
        if (field == 9) good = number(value, stat.flags);
        if (field == 22) good = number(value, stat.startTime);
        if (!good) return fail(Errc::Io, "unreadable stat line");
    }
    return stat;
}

std::string parseCgroup(std::string_view text) {
    std::string_view unified;
    std::string_view fallback;
    while (!text.empty()) {
        auto line = cut(text, '\n');
        cut(line, ':');
        const auto controllers = cut(line, ':');
        if (controllers.empty()) unified = line;
        if (controllers == "pids" || (controllers == "name=systemd" && fallback.empty())) fallback = line;
    }
    return std::string(unified.size() > 1 || fallback.empty() ? unified : fallback);
}

std::vector<MountLine> parseMountinfo(std::string_view text) {
    std::vector<MountLine> mounts;
    while (!text.empty()) {
        auto line = cut(text, '\n');
        const auto dash = line.find(" - ");
        if (dash == std::string_view::npos) continue;
        auto head = line.substr(0, dash);
        auto tail = line.substr(dash + 3);
        std::uint64_t id = 0;
        number(cut(head, ' '), id);
        for (int i = 0; i < 3; ++i) cut(head, ' ');
        mounts.push_back({unescape(cut(head, ' ')), std::string(cut(tail, ' ')), id});
    }
    return mounts;
}

std::vector<IdRange> parseIdMap(std::string_view text) {
    std::vector<IdRange> map;
    while (!text.empty()) {
        auto line = cut(text, '\n');
        const auto next = [&line](std::uint32_t& value) {
            line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
            return number(cut(line, ' '), value);
        };
        IdRange range;
        if (next(range.inside) && next(range.outside) && next(range.count)) map.push_back(range);
    }
    return map;
}

std::optional<std::uint32_t> insideOf(const std::vector<IdRange>& map, std::uint32_t outside) {
    for (const auto& range : map)
        if (outside >= range.outside && outside - range.outside < range.count) return range.inside + (outside - range.outside);
    return std::nullopt;
}

bool isForeign(std::string_view filesystem) {
    // A type that nobody has thought of is left out of a view, rather than waited for.
    constexpr std::string_view local[] = {
        "aufs",     "bcachefs", "binder",   "binfmt_misc", "bpf",       "btrfs",      "cgroup",   "cgroup2", "configfs",
        "debugfs",  "devpts",   "devtmpfs", "ecryptfs",    "efivarfs",  "erofs",      "exfat",    "ext2",    "ext3",
        "ext4",     "f2fs",     "fusectl",  "hugetlbfs",   "iso9660",   "jffs2",      "jfs",      "minix",   "mqueue",
        "msdos",    "nilfs2",   "nsfs",     "ntfs",        "ntfs3",     "overlay",    "proc",     "pstore",  "ramfs",
        "reiserfs", "resctrl",  "rootfs",   "securityfs",  "selinuxfs", "smackfs",    "squashfs", "sysfs",   "sysv",
        "tmpfs",    "tracefs",  "ubifs",    "udf",         "ufs",       "vfat",       "xfs",      "zfs",     "shiftfs",
        "cpuset",   "cramfs",   "romfs",    "hfs",         "hfsplus",   "rpc_pipefs", "zonefs"};
    return std::ranges::find(local, filesystem) == std::end(local);
}

std::string_view statusLine(std::string_view status, std::string_view key) {
    while (!status.empty()) {
        auto line = cut(status, '\n');
        if (line.size() <= key.size() || !line.starts_with(key) || line[key.size()] != ':') continue;
        line.remove_prefix(key.size() + 1);
        while (!line.empty() && (line.front() == '\t' || line.front() == ' ')) line.remove_prefix(1);
        return line;
    }
    return {};
}

Result<Procfs> Procfs::mount() {
    UniqueFd context(::fsopen("proc", FSOPEN_CLOEXEC));
    if (!context) return failErrno("fsopen proc");
    Procfs procfs;
    procfs.root_.reset(kernel::createMount(context.get(), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
    if (!procfs.root_) return failErrno("mount a procfs");
    return procfs;
}

Result<std::string> Procfs::readAt(const char* path, std::size_t cap) const {
    UniqueFd file(::openat(root_.get(), path, O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (!file) return failErrno(std::string("open /proc/") + path);
    std::string text;
    for (std::size_t step = 2048; text.size() < cap; step = std::min<std::size_t>(step * 2, 65536)) {
        const std::size_t have = text.size();
        text.resize(std::min(cap, have + step));
        const ssize_t got = ::read(file.get(), text.data() + have, text.size() - have);
        if (got < 0) return failErrno(std::string("read /proc/") + path);
        text.resize(have + static_cast<std::size_t>(got));
        if (got == 0) return text;
    }
    return fail(Errc::LimitExceeded, std::string("/proc/") + path + " is longer than " + std::to_string(cap) + " bytes");
}

Result<std::string> Procfs::read(pid_t pid, std::string_view file, std::size_t cap) const {
    const std::string from = weakened(Threat::FakeProc) && pid != 1 ? "/root/proc/1/" : "/";
    return readAt((std::to_string(pid) + from + std::string(file)).c_str(), cap);
}

Result<std::string> Procfs::readSelf(std::string_view file, std::size_t cap) const {
    return readAt(("self/" + std::string(file)).c_str(), cap);
}

Result<ProcessStat> Procfs::stat(pid_t pid) const {
    auto text = read(pid, "stat", 8192);
    if (!text) return forward(std::move(text));
    return parseStat(*text);
}

UniqueFd Procfs::reopenReadOnly(int fd) const {
    return UniqueFd(::openat(root_.get(), ("self/fd/" + std::to_string(fd)).c_str(), O_RDONLY | O_CLOEXEC));
}

int Procfs::ownDescriptors() const {
    DIR* list = ::fdopendir(::openat(root_.get(), "self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (list == nullptr) return INT_MAX;
    int count = -3;  // ".", ".." and the list itself
    while (::readdir(list) != nullptr) ++count;
    ::closedir(list);
    return count;
}

std::vector<pid_t> Procfs::children(pid_t pid) const {
    const std::string number = std::to_string(pid);
    const auto text = readAt((number + "/task/" + number + "/children").c_str(), 1 << 20);
    std::vector<pid_t> children;
    if (!text) return children;
    for (std::string_view rest = *text; !rest.empty();) {
        pid_t child = 0;
        if (launcher::number(cut(rest, ' '), child)) children.push_back(child);
    }
    return children;
}

std::vector<pid_t> Procfs::processes() const {
    std::vector<pid_t> found;
    std::unique_ptr<DIR, int (*)(DIR*)> entries(::fdopendir(::openat(root_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)), ::closedir);
    while (dirent* entry = entries ? ::readdir(entries.get()) : nullptr)
        if (pid_t pid = 0; launcher::number(std::string_view(entry->d_name), pid)) found.push_back(pid);
    return found;
}

namespace {
Result<std::uint64_t> inodeAt(int dir, const std::string& path) {
    struct stat info {};
    if (::fstatat(dir, path.c_str(), &info, 0) != 0) return failErrno("/proc/" + path);
    return static_cast<std::uint64_t>(info.st_ino);
}
}  // namespace

Result<std::uint64_t> Procfs::namespaceInode(pid_t pid, const char* name) const {
    return inodeAt(root_.get(), std::to_string(pid) + "/ns/" + name);
}
Result<std::uint64_t> Procfs::ownNamespaceInode(const char* name) const { return inodeAt(root_.get(), std::string("self/ns/") + name); }

Result<UniqueFd> Procfs::open(pid_t pid, std::string_view file, int flags) const {
    const std::string path = std::to_string(pid) + "/" + std::string(file);
    UniqueFd opened(::openat(root_.get(), path.c_str(), flags | O_CLOEXEC));
    if (!opened) return failErrno("open /proc/" + path);
    return opened;
}

Result<pid_t> Procfs::pidOf(int pidfd) const {
    auto text = readSelf("fdinfo/" + std::to_string(pidfd), 4096);
    if (!text) return fail(Errc::InvalidArgument, "not a pidfd");
    const auto line = statusLine(*text, "Pid");
    pid_t pid = 0;
    if (line.empty() || !number(line, pid)) return fail(Errc::InvalidArgument, "not a pidfd");
    if (pid <= 0) return fail(Errc::TargetGone, "the target has ended");
    return pid;
}

std::vector<std::uint64_t> parseMountIds(std::string_view text) {
    std::vector<std::uint64_t> ids;
    while (!text.empty()) {
        std::uint64_t id = 0;
        if (number(text.substr(0, text.find(' ')), id)) ids.push_back(id);
        text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
    }
    std::sort(ids.begin(), ids.end());
    return ids;
}

Result<OwnMounts> OwnMounts::watch(const Procfs& procfs) {
    OwnMounts mounts;
    mounts.mountinfo_.reset(::openat(procfs.fd(), "self/mountinfo", O_RDONLY | O_CLOEXEC));
    if (!mounts.mountinfo_) return failErrno("open /proc/self/mountinfo");
    auto text = procfs.readSelf("mountinfo", Procfs::kMaxMountinfo);
    if (!text) return forward(std::move(text));
    mounts.known_ = parseMountIds(*text);
    return mounts;
}

bool OwnMounts::grew(const Procfs& procfs) {
    pollfd change{mountinfo_.get(), POLLPRI, 0};
    if (::poll(&change, 1, 0) == 0) return grew_;
    auto text = procfs.readSelf("mountinfo", Procfs::kMaxMountinfo);
    grew_ = true;
    if (!text) return grew_;
    auto now = parseMountIds(*text);
    grew_ = !std::includes(known_.begin(), known_.end(), now.begin(), now.end());
    // A number of one that went may be given to the next one.
    if (!grew_) known_ = std::move(now);
    return grew_;
}

}  // namespace recap::launcher
