// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/vm_sandbox.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>

#include "daemon/launcher/weaken.hpp"

namespace recap::launcher {

namespace {

constexpr std::array<std::string_view, 14> kMonitors{"runsc",
                                                     "runsc-sandbox",
                                                     "runsc-gofer",
                                                     "containerd-shim-runsc-v1",
                                                     "containerd-shim-kata-v2",
                                                     "kata-runtime",
                                                     "qemu-kvm",
                                                     "kvm",
                                                     "firecracker",
                                                     "cloud-hypervisor",
                                                     "crosvm",
                                                     "stratovirt",
                                                     "virtiofsd",
                                                     "krun"};

// The file name of what a process executes; empty where that cannot be told (it has ended, or is a kernel thread).
std::string programOf(const Procfs& procfs, pid_t pid) {
    char target[4096];
    const ssize_t size = ::readlinkat(procfs.fd(), (std::to_string(pid) + "/exe").c_str(), target, sizeof(target));
    if (size <= 0) return {};
    std::string_view path(target, static_cast<std::size_t>(size));
    constexpr std::string_view kDeleted = " (deleted)";
    if (path.ends_with(kDeleted)) path.remove_suffix(kDeleted.size());
    return std::string(path.substr(path.rfind('/') + 1));
}

}  // namespace

bool isVmMonitor(std::string_view program) {
    return program.starts_with("qemu-system-") || std::ranges::find(kMonitors, program) != kMonitors.end();
}

Result<void> refuseVmSandbox(const Procfs& procfs, pid_t pid, pid_t parent) {
    if (weakened(Threat::VmSandbox)) return {};
    for (const pid_t one : {pid, parent}) {
        const std::string program = one > 0 ? programOf(procfs, one) : std::string();
        if (!isVmMonitor(program)) continue;
        return fail(Errc::Denied, "process " + std::to_string(pid) + " is the host's side of a sandbox with a kernel of its own (" +
                                      program + "): what a capsule would join is not the container; use that runtime's own exec");
    }
    return {};
}

}  // namespace recap::launcher
