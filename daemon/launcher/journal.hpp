// SPDX-License-Identifier: Apache-2.0
// The launcher's own records, in journald's native protocol, written before anything happens; recapd cannot hide a run. Where no
// journal listens they go to stderr.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "sdk/base/unique_fd.hpp"

namespace recap::launcher {

// MESSAGE_IDs; systemd/recap.catalog explains them.
inline constexpr std::string_view kMessageStart = "5f1c0d6a0d0f4c3f9b8b6b1a7e2c4d01";
inline constexpr std::string_view kMessageEnd = "5f1c0d6a0d0f4c3f9b8b6b1a7e2c4d02";
inline constexpr std::string_view kMessageRefused = "5f1c0d6a0d0f4c3f9b8b6b1a7e2c4d03";
inline constexpr std::string_view kMessageAdmit = "5f1c0d6a0d0f4c3f9b8b6b1a7e2c4d04";
inline constexpr std::string_view kMessageImport = "5f1c0d6a0d0f4c3f9b8b6b1a7e2c4d05";
inline constexpr std::string_view kMessageSweep = "5f1c0d6a0d0f4c3f9b8b6b1a7e2c4d06";
inline constexpr std::string_view kMessageWatch = "5f1c0d6a0d0f4c3f9b8b6b1a7e2c4d07";

enum class Priority : int { Error = 3, Warning = 4, Notice = 5, Info = 6 };

class Journal {
public:
    using Field = std::pair<std::string_view, std::string_view>;

    explicit Journal(std::string socketPath);
    void write(Priority priority, std::string_view messageId, std::string_view message, std::initializer_list<Field> fields = {}) const;
    // A refusal, of which its asker can cause any number: beyond a hundred in ten seconds they are counted, and the number is
    // written, so that they push no other record out of the journal.
    void refused(std::string_view message, std::initializer_list<Field> fields, std::uint64_t now);

private:
    std::uint64_t windowEnd_ = 0;
    unsigned inWindow_ = 0;
    std::string path_;
    UniqueFd socket_;
};

// One field in the native protocol's form; a value with control characters in the length-prefixed one. Exposed for its test.
void appendField(std::string& record, std::string_view key, std::string_view value);

}  // namespace recap::launcher
