// SPDX-License-Identifier: Apache-2.0
// Events whose runs are only noted, at a time that a test turns.
#pragma once

#include <gmock/gmock.h>

#include "daemon/triggers/events.hpp"
#include "tests/unit/daemon/triggers/fakes.hpp"

namespace recap::test {

struct EventsTest : World {
    struct Shot {
        std::string capsule;
        Occurrence occurrence;
        std::vector<TargetId> on;
    };
    std::vector<Shot> shots;
    std::uint64_t now = 1'000'000'000;
    std::uint64_t since = 1;  // enabled long ago
    ThrottleLimits limits;
    std::optional<std::string> kept;  // by the recapd of before, and by this one
    std::function<void()> onFire = [] {};
    std::string refusal;  // of what is fired
    std::unique_ptr<Events> events;

    CapsuleInfo& armed(const std::string& name, EventSchedule event, const std::string& labels = "") {
        CapsuleInfo& capsule = capsules.add(name);
        capsule.enabled = true;
        capsule.schedule.events.push_back(std::move(event));
        capsule.selection.labels = parseLabels(labels).value();
        return capsule;
    }
    void open() {
        EventParts parts{
            loop.get(),
            targets,
            capsules,
            runs,
            [this](const CapsuleInfo& capsule, const Occurrence& occurrence, const std::vector<TargetId>& on) -> Result<BatchId> {
                shots.push_back({capsule.name, occurrence, on});
                onFire();
                if (!refusal.empty()) return fail(Errc::LimitExceeded, refusal);
                return "batch";
            },
            [this](const CapsuleInfo& capsule) { return capsule.enabled ? since : 0; }};
        parts.limits = limits;
        parts.now = [this] { return now; };
        parts.recall = [this]() -> Result<std::string> {
            if (!kept) return fail(Errc::NotFound, "none");
            return *kept;
        };
        parts.keep = [this](const std::string& text) -> Result<void> {
            kept = text;
            return {};
        };
        parts.boot = "boot";
        events = Events::create(parts).value();
        targets.listen(*events);
        runs.listeners = {events.get()};
    }
    Occurrence startOf(const std::string& name) const {
        const Target& target = *targets.resolve(name).value();
        return {"target-start", 1, "boot " + std::to_string(target.pid) + " " + std::to_string(target.startTime), {}};
    }
    // Until what started then has started a clock tick ago, which is as exactly as that is known.
    static void untilTicksPass(std::uint64_t startTime) {
        const auto hertz = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
        while (microseconds(CLOCK_BOOTTIME) / (1'000'000 / hertz) <= startTime) {
        }
    }
    RunId ran(const std::string& capsule, const std::string& target, Outcome outcome = Outcome::Succeeded) {
        RunRequest request;
        request.capsule = capsule;
        request.target = target;
        const RunId id = runs.submit(std::move(request)).value();
        runs.runs.at(id).started = microseconds(CLOCK_REALTIME);
        runs.end(id, outcome, outcome == Outcome::Failed ? 3 : 0);
        return id;
    }
};

}  // namespace recap::test
