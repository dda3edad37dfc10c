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
    std::vector<std::string> ignore;  // cgroups, with what is below them, whose processes are never targets; patterns of whole paths
    std::string launcher;             // recap-launcher's cgroup: what is in or below it is RECap's own
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
    // Who gave a target its name, the one to be believed first.
    enum class NamedBy { Root, System, User, Itself };  // root's runtime state; a cgroup of the system's; a user's of either; a comm
    struct Found : plugin::Target {
        NamedBy namedBy = NamedBy::Root;
    };
    static bool belongsToFound(const Process& process, const std::vector<Found>& found);

    Processes readAll() const;
    bool isOwn(const Process& process) const;
    // Takes out of `all` what a runtime has yet to start.
    void addOci(Processes& all, std::vector<Found>& found) const;
    void addByCgroup(const Processes& all, std::vector<Found>& found) const;
    void addByNamespace(const Processes& all, std::vector<Found>& found) const;
    // Of one name the best giver's targets keep it; the others are known by their pids.
    static std::vector<plugin::Target> settleNames(std::vector<Found> found);

    ScanSettings settings_;
    HostNamespaces host_;
};

}  // namespace recap::process
