// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/keys.hpp"

namespace recapctl {

namespace {

constexpr std::string_view kControl = "ctrl-";

// The byte that a terminal sends for the key; 0: there is no such key.
char byteOf(std::string_view key) {
    if (key.size() == 1 && key[0] > 0x20 && key[0] < 0x7f) return key[0];
    if (!key.starts_with(kControl) || key.size() != kControl.size() + 1) return 0;
    const char letter = key.back();
    if (letter >= 'a' && letter <= 'z') return static_cast<char>(letter - 'a' + 1);
    return letter >= '[' && letter <= '_' ? static_cast<char>(letter - '@') : '\0';
}

}  // namespace

recap::Result<DetachKeys> DetachKeys::parse(std::string_view text) {
    DetachKeys keys;
    while (!text.empty()) {
        const auto comma = text.find(',');
        const std::string_view key = text.substr(0, comma);
        const char byte = byteOf(key);
        if (byte == 0 || comma == text.size() - 1)
            return recap::fail(
                recap::Errc::InvalidArgument,
                "'" + std::string(key) + "' is no key: a character, or ctrl- and one of a-z [ \\ ] ^ _, with commas between");
        keys.keys_ += byte;
        text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
    }
    return keys;
}

std::string DetachKeys::pass(std::string_view typed) {
    std::string out;
    if (pressed_) return out;
    for (const char byte : typed) {
        if (!keys_.empty() && byte == keys_[held_]) {
            pressed_ = ++held_ == keys_.size();
            if (pressed_) return out;
            continue;
        }
        out += keys_.substr(0, held_);
        held_ = !keys_.empty() && byte == keys_[0] ? 1 : 0;
        if (held_ == 0) out += byte;
    }
    return out;
}

}  // namespace recapctl
