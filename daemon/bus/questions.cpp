// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/questions.hpp"

#include <memory>
#include <utility>

#include "daemon/bus/door.hpp"

namespace recap::bus {
namespace {

// Below what Authority lets one user ask at a time, so that a second batch and a Run find room. A human is asked one thing at a time, and
// may say that it holds for the next ones too.
constexpr std::size_t kAtATime = 2;
constexpr std::size_t kOfAHuman = 1;

// A no, and not that there is no answer.
bool isRefusal(const sdbus::Error& error) {
    return error.getName() == "org.recap1.Error.AccessDenied" ||
           error.getName() == "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired";
}

// Held by the callbacks of what is being asked: gone with them where the asker leaves.
class Asking : public std::enable_shared_from_this<Asking> {
public:
    Asking(Authority& authority, Questions questions) : authority_(authority), questions_(std::move(questions)) {}

    void go() {
        if (std::exchange(going_, true)) return;
        refusing([this](const sdbus::Error& error) { give(error); },
                 [this] {
                     const std::size_t most = questions_.asker.interactive ? kOfAHuman : kAtATime;
                     while (!over_ && next_ < questions_.count && underWay_ < most) ask(next_++);
                 });
        going_ = false;
        if (over_ || answered_ < questions_.count) return;
        over_ = true;
        questions_.done();
    }

private:
    void ask(std::size_t which) {
        ++underWay_;
        authority_.ask(
            questions_.asker, questions_.right(which),
            [self = shared_from_this(), which](std::uint32_t) { self->answered(which, nullptr); },
            [self = shared_from_this(), which](const sdbus::Error& error) { self->answered(which, &error); });
    }
    void answered(std::size_t which, const sdbus::Error* error) {
        if (over_) return;
        --underWay_;
        ++answered_;
        if (error != nullptr && !isRefusal(*error)) return give(*error);
        if (!questions_.answered(which, error)) over_ = true;
        go();
    }
    void give(const sdbus::Error& error) {
        if (std::exchange(over_, true)) return;
        questions_.failed(error);
    }

    Authority& authority_;
    Questions questions_;
    std::size_t next_ = 0, underWay_ = 0, answered_ = 0;
    bool going_ = false;
    bool over_ = false;
};

}  // namespace

void askAll(Authority& authority, Questions questions) { std::make_shared<Asking>(authority, std::move(questions))->go(); }

}  // namespace recap::bus
