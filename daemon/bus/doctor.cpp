// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/doctor.hpp"

#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "daemon/core/process.hpp"

namespace recap::bus {
namespace {

constexpr long kCgroup2Magic = 0x63677270;

std::string readFile(const char* path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

void examineKernel(Rows& rows) {
    const bool pins = pinProcess(::getpid()).has_value();
    add(rows, "pidfd", pins ? "ok" : "failed", pins ? "processes can be pinned" : "pidfd_open or /proc does not work for recapd",
        pins ? "" : "recapd needs Linux 5.14 and an unrestricted /proc");
    if (isCgroup2("/sys/fs/cgroup"))
        add(rows, "cgroups", "ok", "unified, controllers: " + readFile("/sys/fs/cgroup/cgroup.controllers"));
    else if (isCgroup2("/sys/fs/cgroup/unified"))
        add(rows, "cgroups", "warning", "hybrid: limits are enforced through version 1 controllers",
            "boot with systemd.unified_cgroup_hierarchy=1 for faster starts");
    else
        add(rows, "cgroups", "failed", "no unified hierarchy is mounted", "mount cgroup2, or boot with systemd.unified_cgroup_hierarchy=1");
    const bool filters = readFile("/proc/sys/kernel/seccomp/actions_avail").find("errno") != std::string::npos;
    add(rows, "seccomp", filters ? "ok" : "failed", filters ? "filters work" : "the kernel has no seccomp filters");
}

void examineBackends(const Rooms& rooms, Rows& rows) {
    for (const auto& backend : rooms.targets.backends()) {
        const bool ready = backend.state == BackendState::Ready;
        const char* status = ready ? "ok" : backend.state == BackendState::Waiting ? "warning" : "failed";
        const std::string detail =
            ready ? std::to_string(backend.targets) + " targets" : std::string(name(backend.state)) + ": " + backend.detail;
        add(rows, "backend " + backend.name, status, detail, ready ? "" : "systemctl status recap-plugin-host@" + backend.name);
    }
}

void examineFiles(const Rooms& rooms, Rows& rows) {
    for (const auto* capsule : rooms.capsules.list()) {
        if (!capsule->problem.empty()) {
            add(rows, "capsule " + capsule->name, "failed", capsule->problem, "recap-capsule check " + capsule->path);
        } else if (const Image* image = imageOf(rooms, *capsule); image == nullptr) {
            add(rows, "capsule " + capsule->name, "warning", "its image " + capsule->image + " is not imported", "recapctl image import");
        } else if (!image->admitted) {
            add(rows, "capsule " + capsule->name, "warning", "its image is not admitted", "recap-admit " + image->digest);
        }
    }
    for (const auto& policy : rooms.policies.list()) {
        if (!policy.problem.empty()) add(rows, "policy " + policy.name, "failed", policy.problem, "mend " + policy.path + " and reload");
    }
}

}  // namespace

bool isCgroup2(const char* path) {
    struct statfs status {};
    return ::statfs(path, &status) == 0 && status.f_type == kCgroup2Magic;
}

void add(Rows& rows, const std::string& check, const char* status, const std::string& detail, const std::string& advice) {
    rows.push_back(Row{{"check", check}, {"status", std::string(status)}, {"detail", busSentence(detail)}, {"advice", advice}}.values());
}

Rows examine(const Rooms& rooms) {
    Rows rows;
    const bool launcher = rooms.launcher.available();
    add(rows, "launcher", launcher ? "ok" : "failed", launcher ? "connected" : "recap-launcher is away",
        launcher ? "" : "systemctl status recap-launcher");
    examineKernel(rows);
    if (launcher) examineFeatures(rooms.launcher.features(), rows);
    examineHost(lookAtHost(rooms.launcher.openFiles()), rows);
    examineBackends(rooms, rows);
    examineFiles(rooms, rows);
    return rows;
}

}  // namespace recap::bus
