// SPDX-License-Identifier: Apache-2.0
// Who holds CAP_SYS_PTRACE in the host's user namespace can trace any process that it can name, a non-dumpable one too: a process
// that joins such a target's pid namespace would hand it the launcher's rights (threat T3). The bounding set counts, as a setuid
// program can turn it into permitted capabilities at any time. The launcher's own processes, on their way to be other capsules of the
// same target, do not count: they are known by who started them and what they execute, which no target can make up.
#include <dirent.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <charconv>
#include <memory>
#include <optional>
#include <set>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/kernel.hpp"

namespace recap::launcher {

namespace {

std::uint64_t namespaceAt(int procfs, const std::string& pid, const char* name) {
    struct stat info {};
    return ::fstatat(procfs, (pid + "/ns/" + name).c_str(), &info, 0) == 0 ? info.st_ino : 0;
}

std::string statusAt(int procfs, const std::string& pid) {
    UniqueFd file(::openat(procfs, (pid + "/status").c_str(), O_RDONLY | O_CLOEXEC));
    std::string text(8192, '\0');
    const ssize_t size = file ? ::read(file.get(), text.data(), text.size()) : 0;
    text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return text;
}

std::uint64_t mask(std::string_view status, std::string_view key) {
    const auto line = statusLine(status, key);
    std::uint64_t value = 0;
    std::from_chars(line.data(), line.data() + line.size(), value, 16);
    return value;
}

bool mayTrace(int procfs, const std::string& pid, std::uint64_t hostUsers) {
    const std::string status = statusAt(procfs, pid);
    if (statusLine(status, "State").starts_with("Z")) return false;  // it does nothing any more, and may be there for long
    const std::uint64_t held = mask(status, "CapBnd") | mask(status, "CapPrm");
    return (held >> CAP_SYS_PTRACE & 1) != 0 && namespaceAt(procfs, pid, "user") == hostUsers;
}

// The launcher's own processes in a pid namespace, as that one numbers them (`within`), or as the launcher's procfs does.
std::set<std::string> ownProcesses(const Prepared& prepared, std::uint64_t pidNamespace, bool within) {
    const Procfs& procfs = *prepared.procfs;
    std::set<std::string> own;
    const auto add = [&](pid_t number) {
        const std::string pid = std::to_string(number);
        if (namespaceAt(procfs.fd(), pid, "pid") != pidNamespace) return;
        const std::string status = statusAt(procfs.fd(), pid);
        const auto numbers = statusLine(status, "NSpid");
        own.insert(within ? std::string(numbers.substr(numbers.rfind('\t') + 1)) : pid);
    };
    // A payload that has not executed yet is its init's child.
    for (const pid_t init : procfs.children(prepared.supervisor)) {
        add(init);
        for (const pid_t payload : procfs.children(init)) add(payload);
    }
    return own;
}

bool executesTheSame(int procfs, const std::string& pid, const Procfs& ours) {
    struct stat its {
    }, own{};
    return ::fstatat(procfs, (pid + "/exe").c_str(), &its, 0) == 0 && ::fstatat(ours.fd(), "self/exe", &own, 0) == 0 &&
           its.st_ino == own.st_ino && its.st_dev == own.st_dev;
}

}  // namespace

// Those above it see every process in it as their own. Up to the launcher's, whose processes are the host's.
std::optional<std::set<std::uint64_t>> pidNamespacesAbove(const Prepared& prepared, int pidNamespace) {
    struct stat info {};
    if (::fstat(prepared.ownPids.get(), &info) != 0) return std::nullopt;
    const std::uint64_t own = info.st_ino;
    std::set<std::uint64_t> above;
    UniqueFd at(::fcntl(pidNamespace, F_DUPFD_CLOEXEC, 3));
    for (;;) {
        if (!at || ::fstat(at.get(), &info) != 0) return std::nullopt;
        if (info.st_ino == own) return above;
        above.insert(info.st_ino);
        at.reset(::ioctl(at.get(), NS_GET_PARENT));
    }
}

namespace {

// Those in these namespaces, by the launcher's procfs; or all that `within` shows.
int refuseAmong(const Prepared& prepared, const std::set<std::uint64_t>& namespaces, std::uint64_t joined, int within) {
    const int procfs = within >= 0 ? within : prepared.procfs->fd();
    std::unique_ptr<DIR, int (*)(DIR*)> processes(::fdopendir(::openat(procfs, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)), ::closedir);
    if (!processes) return -1;
    char self[16] = {};
    static_cast<void>(::readlinkat(procfs, "self", self, sizeof(self) - 1) + 1);
    while (dirent* entry = ::readdir(processes.get())) {
        const std::string pid = entry->d_name;
        if (pid.find_first_not_of("0123456789") != std::string::npos || pid == self) continue;
        if (within < 0 && !namespaces.contains(namespaceAt(procfs, pid, "pid"))) continue;
        if (!mayTrace(procfs, pid, prepared.hostUsers)) continue;
        if (ownProcesses(prepared, joined, within >= 0).contains(pid) && executesTheSame(procfs, pid, *prepared.procfs)) continue;
        if (!mayTrace(procfs, pid, prepared.hostUsers)) continue;  // one of the launcher's, which executed meanwhile
        errno = EPERM;
        return -1;
    }
    return 0;
}

}  // namespace

int refuseTracers(const Prepared& prepared, std::uint64_t joined, const std::set<std::uint64_t>& above, int within) {
    if (within >= 0 && refuseAmong(prepared, {}, joined, within) != 0) return -1;
    return within < 0 || above.size() > 1 ? refuseAmong(prepared, above, joined, -1) : 0;
}

}  // namespace recap::launcher
