// SPDX-License-Identifier: Apache-2.0
// Several rights that one asker needs, asked for a few at a time: polkit is everybody's, and so is the room to wait for it.
#pragma once

#include <cstddef>
#include <functional>

#include "daemon/bus/authority.hpp"

namespace recap::bus {

struct Questions {
    Asker asker;
    std::size_t count = 0;
    std::function<Right(std::size_t)> right;                                 // put together when it is its turn
    std::function<bool(std::size_t, const sdbus::Error* refusal)> answered;  // null: allowed; false: that is enough, and all is said
    std::function<void()> done;                                              // once all are answered, at once or on a later turn
    std::function<void(const sdbus::Error&)> failed;                         // instead: polkit could not be asked
};

// Exactly one of done and failed is called; neither after `answered` says that it is enough, or where the asker leaves the bus before.
void askAll(Authority& authority, Questions questions);

}  // namespace recap::bus
