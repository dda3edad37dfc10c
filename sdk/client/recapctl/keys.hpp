// SPDX-License-Identifier: Apache-2.0
// The keys that leave a run behind: held back while they may be those, and passed on once they are not.
#pragma once

#include <string>
#include <string_view>

#include "sdk/base/result.hpp"

namespace recapctl {

inline constexpr const char* kUsualKeys = "ctrl-p,ctrl-q";

class DetachKeys {
public:
    // "ctrl-p,ctrl-q": each a character, or ctrl- and a letter or one of @ [ \ ] ^ _; "" for none at all.
    static recap::Result<DetachKeys> parse(std::string_view text);

    // What of these bytes is for the run. Nothing after the keys is.
    std::string pass(std::string_view typed);
    bool pressed() const { return pressed_; }

private:
    std::string keys_;
    std::size_t held_ = 0;  // so many of the keys have been typed
    bool pressed_ = false;
};

}  // namespace recapctl
