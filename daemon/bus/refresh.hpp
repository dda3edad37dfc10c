// SPDX-License-Identifier: Apache-2.0
// Anybody may ask for lists that the launcher, which is root's, has a word in. It is asked once at a time: whoever comes
// meanwhile shares the next question, so that no answer is older than what it answers.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "daemon/bus/door.hpp"

namespace recap::bus {

class Refresh {
public:
    using Then = std::function<void()>;
    explicit Refresh(std::function<void(Then)> ask) : ask_(std::move(ask)) {}
    Refresh(const Refresh&) = delete;
    Refresh& operator=(const Refresh&) = delete;

    void operator()(Then then) {
        waiting_.push_back(std::move(then));
        if (!underWay_) next();
    }

private:
    void next() {
        underWay_ = true;
        ask_([this, asked = std::exchange(waiting_, {})] {
            underWay_ = false;
            if (!waiting_.empty()) next();
            for (const auto& then : asked) guarded("refresh", then);
        });
    }

    std::function<void(Then)> ask_;
    std::vector<Then> waiting_;
    bool underWay_ = false;
};

}  // namespace recap::bus
