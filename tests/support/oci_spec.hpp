// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace recap::test {

struct Volume {
    std::filesystem::path source;
    std::string path;
    bool writable = false;
};

// What a test may choose of a container; the rest is as an engine would do it.
struct ContainerOptions {
    std::string name = {};               // empty: one of its own
    std::string kind = "nginx";          // nginx | busybox | debian | scratch
    std::vector<std::string> argv = {};  // empty: the kind's own
    std::uint32_t uid = 101;
    std::uint32_t gid = 101;
    std::vector<std::uint32_t> groups = {};
    std::vector<std::string> capabilities = {};
    std::vector<Volume> volumes = {};
    std::map<std::string, std::string> labels = {};  // OCI annotations
    std::string hostname = "micro";
    bool readOnlyRoot = true;
    bool cgroupNamespace = false;
    std::uint32_t userNamespace = 0;          // the host's number of its uid and gid 0, 65536 of them; 0: the host's user namespace
    std::vector<std::string> ofTheHost = {};  // pid, network, ipc, uts: these namespaces are the host's
    pid_t podOf = 0;                          // a process whose pid, net, ipc and uts namespaces it shares, as containers of a pod do
    std::string runtime = "runc";             // runc | crun
    std::filesystem::path runtimeRoot = {};   // the runtime's state; empty: in the container's own folder
};

// The text of config.json; `cgroup` is a path from the cgroup root, the container's alone.
std::string ociSpec(const ContainerOptions& options, const std::string& cgroup);

}  // namespace recap::test
