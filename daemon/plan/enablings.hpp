// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/core/capsules.hpp"

namespace recap::plan {

// state/enabled/NAME, a file a capsule whose schedule is armed: who armed it, and for what. When its timer ran it last is the file's
// own time, which costs no writing that has to be waited for. On the loop.
class Enablings {
public:
    explicit Enablings(std::filesystem::path folder) : folder_(std::move(folder)) {}

    std::string load();  // what went wrong, one file a line
    std::optional<Enabling> find(std::string_view name) const;
    Result<Enabling> add(const std::string& name, std::uint32_t uid, const std::string& asks);
    Result<Enabling> put(const std::string& name, const Enabling& enabling);  // where that fails, what was holds, later too
    Result<void> remove(const std::string& name);                             // one that is not there is removed already
    std::uint64_t ran(const std::string& name);                               // just now: when that is

private:
    Result<void> write(const std::string& name, const Enabling& enabling) const;

    std::filesystem::path folder_;
    std::map<std::string, Enabling, std::less<>> all_;
};

}  // namespace recap::plan
