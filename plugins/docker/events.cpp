// SPDX-License-Identifier: Apache-2.0
#include "plugins/docker/events.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "plugins/docker/http.hpp"

namespace recap::docker {
namespace {

// podman's own words for "die" and "destroy" are the last two.
constexpr const char* kFilters =
    R"({"type":["container"],"event":["start","die","oom","health_status","destroy","pause","unpause","rename","update","died","remove"]})";

}  // namespace

void EventReader::feed(std::string_view bytes, const std::function<void(const Event&)>& onEvent) {
    while (!bytes.empty()) {
        const auto end = bytes.find('\n');
        const auto part = bytes.substr(0, end);
        bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + 1);
        if (!skipping_ && rest_.size() + part.size() > kMaxLine) {
            skipping_ = missed_ = true;
            rest_.clear();
        }
        if (!skipping_) rest_.append(part);
        if (end == std::string_view::npos) return;
        if (!skipping_) line(rest_, onEvent);
        rest_.clear();
        skipping_ = false;
    }
}

void EventReader::line(std::string_view text, const std::function<void(const Event&)>& onEvent) {
    const auto event = readEvent(text);
    if (!event || std::find(recent_.begin(), recent_.end(), *event) != recent_.end()) return;
    recent_.push_back(*event);
    if (recent_.size() > kRemembered) recent_.pop_front();
    lastTime_ = std::max(lastTime_, event->time);
    onEvent(*event);
}

void EventReader::restart() {
    rest_.clear();
    skipping_ = false;
}

bool EventReader::hasMissed() { return std::exchange(missed_, false); }

std::string eventsQuery(std::uint64_t since) {
    std::array<char, 64> time{};
    std::snprintf(time.data(), time.size(), "%llu.%09llu", static_cast<unsigned long long>(since / 1'000'000'000),
                  static_cast<unsigned long long>(since % 1'000'000'000));
    return "since=" + std::string(time.data()) + "&filters=" + escaped(kFilters);
}

}  // namespace recap::docker
