// SPDX-License-Identifier: Apache-2.0
#include "tests/support/oci_spec.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace recap::test {

using nlohmann::json;

namespace {

std::vector<std::string> defaultArgv(const std::string& kind) {
    if (kind == "nginx") return {"/usr/sbin/nginx", "-c", "/etc/nginx/nginx.conf"};
    if (kind == "busybox") return {"/bin/sh", "-c", "sleep 86401 & exec sleep 86402"};
    if (kind == "debian") return {"/bin/sh", "-c", "sleep 86401 & sleep 86403 & exec sleep 86402"};
    if (kind == "scratch") return {"/app", "tick"};
    throw std::runtime_error("no container kind '" + kind + "': nginx, busybox, debian or scratch");
}

json mount(const char* destination, const char* type, std::vector<std::string> options) {
    return {{"destination", destination}, {"type", type}, {"source", type}, {"options", std::move(options)}};
}

json mounts(const ContainerOptions& options) {
    json all = json::array();
    all.push_back(mount("/proc", "proc", {"nosuid", "noexec", "nodev"}));
    all.push_back(mount("/dev", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}));
    all.push_back(mount("/dev/pts", "devpts", {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}));
    all.push_back(mount("/dev/shm", "tmpfs", {"nosuid", "noexec", "nodev", "mode=1777", "size=4096k"}));
    all.push_back(mount("/dev/mqueue", "mqueue", {"nosuid", "noexec", "nodev"}));
    all.push_back(mount("/sys", "sysfs", {"nosuid", "noexec", "nodev", "ro"}));
    all.push_back(mount("/run", "tmpfs", {"nosuid", "nodev", "mode=1777", "size=4096k"}));
    all.push_back(mount("/tmp", "tmpfs", {"nosuid", "nodev", "mode=1777", "size=16384k"}));
    for (const Volume& volume : options.volumes)
        all.push_back({{"destination", volume.path},
                       {"type", "bind"},
                       {"source", volume.source.string()},
                       {"options", {"rbind", volume.writable ? "rw" : "ro", "nosuid", "nodev"}}});
    return all;
}

json process(const ContainerOptions& options) {
    const auto& caps = options.capabilities;
    return {{"terminal", false},
            {"user", {{"uid", options.uid}, {"gid", options.gid}, {"additionalGids", options.groups}}},
            {"args", options.argv.empty() ? defaultArgv(options.kind) : options.argv},
            {"env", {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}},
            {"cwd", "/"},
            {"noNewPrivileges", true},
            {"capabilities", {{"bounding", caps}, {"effective", caps}, {"permitted", caps}}}};
}

bool ofTheHost(const ContainerOptions& options, std::string_view type) {
    return std::ranges::find(options.ofTheHost, type) != options.ofTheHost.end();
}

}  // namespace

std::string ociSpec(const ContainerOptions& options, const std::string& cgroup) {
    json namespaces = json::array({{{"type", "mount"}}});
    for (const auto& [type, file] : {std::pair{"pid", "pid"}, {"network", "net"}, {"ipc", "ipc"}, {"uts", "uts"}}) {
        if (ofTheHost(options, type)) continue;
        json one{{"type", type}};
        if (options.podOf != 0) one["path"] = "/proc/" + std::to_string(options.podOf) + "/ns/" + file;
        namespaces.push_back(std::move(one));
    }
    if (options.cgroupNamespace) namespaces.push_back({{"type", "cgroup"}});
    if (options.userNamespace != 0) namespaces.push_back({{"type", "user"}});
    json spec = {
        {"ociVersion", "1.0.2"},
        {"process", process(options)},
        {"root", {{"path", "rootfs"}, {"readonly", options.readOnlyRoot}}},
        {"mounts", mounts(options)},
        {"annotations", options.labels},
        {"linux",
         {{"namespaces", namespaces},
          {"cgroupsPath", cgroup},
          {"maskedPaths", {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"}},
          {"readonlyPaths", {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}}}},
    };
    if (options.podOf == 0 && !ofTheHost(options, "uts")) spec["hostname"] = options.hostname;
    if (options.userNamespace != 0)
        for (const char* map : {"uidMappings", "gidMappings"})
            spec["linux"][map] = json::array({{{"containerID", 0}, {"hostID", options.userNamespace}, {"size", 65536}}});
    return spec.dump(2);
}

}  // namespace recap::test
