// SPDX-License-Identifier: Apache-2.0
// Periodic capsules: which are armed, kept by systemd's timers or by the loop's own, and what a turn of one does. Lives on the loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/core/image.hpp"
#include "daemon/core/schedules.hpp"
#include "daemon/core/target_table.hpp"
#include "daemon/triggers/calendars.hpp"
#include "daemon/triggers/loop_timers.hpp"

namespace recap {

// The schedule file: what recap-schedule makes timers of, a capsule a line.
struct ScheduleLine {
    std::string capsule;
    PeriodicSchedule periodic;  // of `every`, randomizedDelay is this host's share of it: systemd would add it to each interval
    Missed missed = Missed::RunOnce;
};
std::string lineText(const ScheduleLine& line);  // with its line break

struct ScheduleParts {  // all outlive it
    sd_event* loop;
    CapsuleStore& capsules;
    const ImageIndex& images;
    const TargetTable& targets;
    BatchTable& batches;
    RunTable& runs;
    // Where a systemd manager keeps the timers: replaces the schedule file. Empty: the loop keeps them.
    std::function<Result<void>(const std::string& text)> save;
    std::string machineId;
    std::string analyze = "/usr/bin/systemd-analyze";
    std::string before = {};  // the schedule file, as the recapd of before left it
    // What is enabled may be other capsules now. An error: something of it can't be waited for.
    std::function<Result<void>()> armed = [] { return Result<void>(); };
    // Why this event of an enabled capsule's is not heard of, anywhere or on some target; empty: it is.
    std::function<std::string(const std::string& capsule, std::size_t event)> unheard = [](const auto&, auto) { return std::string(); };
};

class Schedules final : public ScheduleTable {
public:
    static Result<std::unique_ptr<Schedules>> create(const ScheduleParts& parts);
    Schedules(const Schedules&) = delete;
    Schedules& operator=(const Schedules&) = delete;

    // Capsules have been read, and what is enabled is known: from now on it is armed.
    void begin();

    void check(const CapsuleInfo& capsule, Reply<void> reply) override;
    void enable(const std::string& capsule, std::uint32_t uid, const std::string& shown, Reply<void> reply) override;
    Result<void> disable(const std::string& capsule) override;
    Result<BatchId> run(const std::string& capsule) override;
    void list(Reply<std::vector<ScheduleRow>> reply) override;
    void refresh() override;

private:
    explicit Schedules(const ScheduleParts& parts) : parts_(parts), calendars_(parts.loop, parts.analyze) {}

    Result<void> checkChain(const CapsuleInfo& capsule) const;
    Result<BatchId> turn(const CapsuleInfo& capsule);
    void skip(const CapsuleInfo& capsule, const std::string& why, std::shared_ptr<const Occurrence> missed = nullptr);
    void tellMissed(const CapsuleInfo& capsule, std::uint64_t until);
    Result<const CapsuleInfo*> schedulable(const std::string& name, const std::string& shown) const;
    Result<void> keptHere(const CapsuleInfo& capsule) const;
    Result<void> enableNow(const std::string& name, std::uint32_t uid, const std::string& shown);
    void takeBack(const std::string& name, const std::optional<Enabling>& before);
    Result<void> arm();
    std::chrono::microseconds shareOf(const CapsuleInfo& capsule) const;
    Result<void> armTimers(const std::vector<const CapsuleInfo*>& armed);
    void keepUnreadable(std::map<std::string, std::string>& lines) const;
    std::vector<ScheduleRow> rows() const;
    void addTimes(std::vector<ScheduleRow>& rows, const Calendars::Answers& answers) const;

    ScheduleParts parts_;
    Calendars calendars_;
    std::unique_ptr<LoopTimers> timers_;
    std::optional<std::string> saved_;
    std::map<std::string, std::string> lines_;  // by capsule, of the schedule file: what a manifest said while it could be read
    bool begun_ = false;
};

}  // namespace recap
