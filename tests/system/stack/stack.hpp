// SPDX-License-Identifier: Apache-2.0
// The private stack that a test program was started in (`dev with`, tests/support/with-stack), and what tests do with it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "sdk/image/writer.hpp"
#include "tests/support/command.hpp"
#include "tests/support/files.hpp"
#include "tests/support/micro_container.hpp"
#include "tests/support/outside.hpp"
#include "tests/support/proc.hpp"
#include "tests/support/rootfs.hpp"

namespace recap::test {

// Where containers of these tests keep their runtime's state: the place that the process backend looks at by default.
inline const std::filesystem::path kRuncRoot = "/run/runc";

class Stack {
public:
    static Stack& get();  // one a program; throws std::runtime_error outside of a stack

    std::filesystem::path folder(const char* variable) const;  // RECAP_STATE_DIR and the like
    pid_t pid(const std::string& unit) const;                  // as it is now; 0: not running
    std::string logs() const;                                  // of the daemons, for messages

    CommandResult ctl(std::vector<std::string> arguments, std::optional<std::uint32_t> uid = {}) const;
    nlohmann::json ctlJson(std::vector<std::string> arguments, std::optional<std::uint32_t> uid = {}) const;  // with --json
    CommandResult reload() const;                                                                             // Manager.Reload
    // recapctl run --json CAPSULE TARGET -- WORDS
    nlohmann::json run(const std::string& capsule, const std::string& target, const std::vector<std::string>& words = {}) const;
    std::string startDetached(const std::string& capsule, const std::string& target, const std::vector<std::string>& words) const;
    nlohmann::json waitForEnd(const std::string& run) const;  // details, once its state is finished
    bool waitForLog(const std::string& run, const std::string& text) const;

    // Once a reference; imported as root and so admitted, unless not to be.
    void importImage(const std::string& reference, image::FileList files, bool admit = true, const std::string& architecture = {});
    void install(const std::string& toml) const;

    // What a run may not change: target, launcher's children and cgroups, store; and what a refusal may not: logs, artifacts.
    Outside outside(std::vector<pid_t> targets, std::vector<std::filesystem::path> contents = {}) const;

private:
    Stack() = default;
    std::vector<std::string> imported_;
};

// Everything below a folder, as a layer.
image::FileList filesOf(const std::filesystem::path& root);
image::FileList payloadFiles();  // the static test payload at /payload

// A manifest: [capsule] of this name, image and command, then `rest` (tables) as it is.
std::string manifestOf(const std::string& name, const std::string& image, const std::string& command, const std::string& rest);

std::string targetOf(const MicroContainer& container);  // process:PID

}  // namespace recap::test
