// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "tests/support/files.hpp"
#include "tests/system/stack/stack.hpp"

namespace recap::test {

// A rules file that polkitd takes up while it runs, by which user nobody may do these actions; gone with the object.
class PolkitRule {
public:
    explicit PolkitRule(const std::string& actions) : PolkitRule(actions, "polkit.Result.YES") {}
    // `result` in polkit's own words, by "action" and "subject".
    PolkitRule(const std::string& actions, const std::string& result) : path_(Stack::get().folder("RECAP_POLKIT_RULES") / "10-test.rules") {
        writeFile(path_, "polkit.addRule(function(action, subject) { if ([" + actions +
                             "].indexOf(action.id) >= 0 && subject.user == \"nobody\") return " + result + "; });\n");
    }
    ~PolkitRule() { std::filesystem::remove(path_); }
    PolkitRule(const PolkitRule&) = delete;
    PolkitRule& operator=(const PolkitRule&) = delete;

private:
    std::filesystem::path path_;
};

}  // namespace recap::test
