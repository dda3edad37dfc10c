// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sdk/client/recap/value.hpp"

namespace recapctl {

enum class Operand { None, Capsule, Target, Run, Image, File, Source };

// What could stand where the last of `words` does: fixed words, and a kind of thing to ask recapd for.
struct Completion {
    recap::client::Strings words;
    Operand operand = Operand::None;
};
Completion complete(const recap::client::Strings& words);
int printCompletions(const recap::client::Strings& words);  // `recapctl __complete WORD…`

}  // namespace recapctl
