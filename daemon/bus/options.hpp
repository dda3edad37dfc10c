// SPDX-License-Identifier: Apache-2.0
// Reads an a{sv}: what is left at the end is what nobody asked for, and is refused by name.
#pragma once

#include <sdbus-c++/sdbus-c++.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sdk/base/result.hpp"

namespace recap::bus {

using Values = std::map<std::string, sdbus::Variant>;

class Options {
public:
    explicit Options(Values values, std::string noun = "option") : values_(std::move(values)), noun_(std::move(noun)) {}

    std::string text(const std::string& key) { return take<std::string>(key, "a string").value_or(""); }
    bool flag(const std::string& key) { return take<bool>(key, "a boolean").value_or(false); }
    std::optional<bool> choice(const std::string& key) { return take<bool>(key, "a boolean"); }
    std::optional<std::uint64_t> number(const std::string& key);  // any integer type, not negative
    std::map<std::string, std::string> map(const std::string& key) {
        return take<std::map<std::string, std::string>>(key, "a map of strings").value_or(std::map<std::string, std::string>());
    }
    std::vector<std::string> list(const std::string& key) {
        return take<std::vector<std::string>>(key, "a list of strings").value_or(std::vector<std::string>());
    }
    std::optional<sdbus::UnixFd> descriptor(const std::string& key) { return take<sdbus::UnixFd>(key, "a file descriptor"); }

    // The first thing that is wrong, unknown keys included.
    Result<void> finish() const;

private:
    template <class Value>
    std::optional<Value> take(const std::string& key, const char* expected) {
        known_.push_back(key);
        auto node = values_.extract(key);
        if (node.empty()) return {};
        if (node.mapped().containsValueOfType<Value>()) return node.mapped().get<Value>();
        note(key, expected, node.mapped().peekValueType());
        return {};
    }
    void note(const std::string& key, const char* expected, const std::string& got);

    Values values_;
    std::string noun_;
    std::vector<std::string> known_;
    std::string wrong_;
};

// Of a method that takes none but "interactive".
Result<bool> interactiveOnly(Values values);

}  // namespace recap::bus
