// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <random>

namespace recap::containerd {

// How long to wait before the next attempt: twice as long each time, up to a bound, and never as long as everybody else.
class Backoff {
public:
    Backoff(std::chrono::milliseconds first, std::chrono::milliseconds longest) : first_(first), longest_(longest), next_(first) {}

    std::chrono::milliseconds next() {
        std::uniform_int_distribution<std::chrono::milliseconds::rep> half(0, next_.count() / 2);
        const auto wait = next_ - std::chrono::milliseconds(half(random_));
        next_ = std::min(next_ * 2, longest_);
        return wait;
    }
    void reset() { next_ = first_; }

private:
    std::chrono::milliseconds first_;
    std::chrono::milliseconds longest_;
    std::chrono::milliseconds next_;
    std::minstd_rand random_{std::random_device{}()};
};

}  // namespace recap::containerd
