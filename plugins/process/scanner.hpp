// SPDX-License-Identifier: Apache-2.0
// One look at the machine: every container that can be seen, each once.
#pragma once

#include <recap/plugin.hpp>

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/process/oci_state.hpp"
#include "plugins/process/procfs.hpp"

namespace recap::process {

struct ScanSettings {
    std::vector<std::string> roots;   // of runc's and crun's state; may hold '*'
    std::vector<std::string> ignore;  // cgroups (fnmatch(3)) whose processes are never targets
};

class Scanner {
public:
    explicit Scanner(ScanSettings settings) : settings_(std::move(settings)) {}

    // By what runtimes keep, else by cgroup, else by pid and network namespaces of their own. A container's id is its first
    // process's pid.
    std::vector<plugin::Target> scan() const;

    // One process as a target, whether or not scan() has it. Throws plugin::Error.
    plugin::Target process(pid_t pid) const;

private:
    using Processes = std::vector<Process>;

    Processes readAll() const;
    bool isOwn(const Process& process) const;
    // Takes out of `all` what a runtime has yet to start.
    void addOci(Processes& all, std::vector<plugin::Target>& found) const;
    void addByCgroup(const Processes& all, std::vector<plugin::Target>& found) const;
    void addByNamespace(const Processes& all, std::vector<plugin::Target>& found) const;

    ScanSettings settings_;
    HostNamespaces host_;
};

}  // namespace recap::process
