// SPDX-License-Identifier: Apache-2.0
// Names of system calls and what groups of them mean, for this machine's architecture.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sdk/base/result.hpp"
#include "sdk/manifest/manifest.hpp"

namespace recap::plan {

class SyscallTable {
public:
    SyscallTable();

    // Groups, single calls and what a program needs to start at all (launchSet), without what is denied. Where `asked` has
    // no groups, `base` takes their place. A group or name that nobody knows is an error; one of another architecture is
    // left out.
    Result<std::set<std::string>> expand(const manifest::Syscalls& asked, const std::set<std::string>& base) const;

    // Started programs, static or dynamic, need these before their own first line: in every set unless denied by name.
    const std::set<std::string>& launchSet() const { return launch_; }
    std::vector<std::string> groups() const;

private:
    Result<void> add(const std::vector<std::string>& names, std::set<std::string>& into) const;

    std::map<std::string, std::set<std::string>, std::less<>> groups_;
    std::set<std::string> launch_;
};

// Its number here; nothing: unknown, or of another architecture.
std::optional<int> syscallNumber(const std::string& name);

}  // namespace recap::plan
