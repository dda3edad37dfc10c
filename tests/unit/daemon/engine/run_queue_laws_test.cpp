// SPDX-License-Identifier: Apache-2.0
// What holds of the queue whatever comes and ends in whatever order: a long history, drawn at random and always the same, beside a
// model that looks at every run each time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "queueing.hpp"

namespace recap::test {
namespace {

constexpr RunLimits kLimits{.runs = 8, .runsPerTarget = 4, .queue = 1000};

class Model {
public:
    explicit Model(unsigned seed) : random_(seed) {}

    void step() {
        const unsigned what = draw(10);
        if (what < 5) return come();
        if (what < 9 && !going_.empty()) return end(std::next(going_.begin(), draw(going_.size()))->first);
        if (what == 9 && !waiting_.empty()) return end(std::next(waiting_.begin(), draw(waiting_.size()))->first);
        come();
    }
    void drain() {
        while (!going_.empty()) {
            end(std::next(going_.begin(), draw(going_.size()))->first);
            if (::testing::Test::HasFailure()) return;
        }
        EXPECT_TRUE(waiting_.empty()) << "each has its turn";
    }
    std::size_t haveGoneOn() const { return gone_; }

private:
    struct Run {
        Given given;
        std::uint64_t place;  // in the order in which they came
    };
    using Runs = std::map<RunId, Run>;

    unsigned draw(std::size_t most) { return std::uniform_int_distribution<unsigned>(0, static_cast<unsigned>(most) - 1)(random_); }

    void come() {
        const Trigger triggers[] = {Trigger::OnDemand, Trigger::Event, Trigger::Event, Trigger::Periodic};
        const Trigger trigger = triggers[draw(4)];
        Given given{std::to_string(++came_), std::string(1, static_cast<char>('a' + draw(4))), "docker:" + std::to_string(draw(5)), trigger,
                    trigger == Trigger::OnDemand ? draw(3) * 500 : 0};
        if (!bench_.queue.admit(trigger)) return;
        const bool hadRoom = hasRoom(given);
        const bool goes = bench_.come(given);
        EXPECT_EQ(goes, hadRoom) << given.id;
        (goes ? going_ : waiting_).emplace(given.id, Run{given, came_});
        gone_ += goes;
        check();
    }
    void end(RunId id) {  // of a run that it forgets
        going_.erase(id);
        waiting_.erase(id);
        bench_.queue.leave(id);
        while (const auto next = bench_.queue.next()) letOn(*next);
        check();
    }
    void letOn(const RunId& id) {
        ASSERT_TRUE(waiting_.contains(id)) << id;
        const Run run = waiting_.at(id);
        ASSERT_TRUE(hasRoom(run.given)) << id;
        for (const auto& [other, one] : waiting_) {
            const bool stronger = one.given.trigger < run.given.trigger;
            EXPECT_FALSE(stronger && hasRoom(one.given)) << other << " goes before " << id;
            const bool sameLine = one.given.trigger == run.given.trigger && one.given.capsule == run.given.capsule &&
                                  one.given.target == run.given.target && one.given.uid == run.given.uid;
            EXPECT_FALSE(sameLine && one.place < run.place) << other << " came before " << id;
        }
        going_.insert(waiting_.extract(id));
        ++gone_;
    }
    static bool asked(const Given& given) { return given.trigger == Trigger::OnDemand; }
    template <class Is>
    std::size_t count(const Is& is) const {
        return static_cast<std::size_t>(std::ranges::count_if(going_, [&](const auto& one) { return is(one.second.given); }));
    }
    bool hasRoom(const Given& given) const {
        const auto there = [&](const Given& one) { return one.target == given.target; };
        if (going_.size() >= kLimits.runs || count(there) >= kLimits.runsPerTarget) return false;
        if (asked(given)) return given.uid == 0 || count([&](const Given& one) { return asked(one) && one.uid == given.uid; }) < 2;
        return count([](const Given& one) { return !asked(one); }) < 6 &&
               count([&](const Given& one) { return !asked(one) && there(one); }) < 3;
    }
    void check() const {
        for (const auto& [id, run] : waiting_) {
            ASSERT_FALSE(hasRoom(run.given)) << id << " waits in vain";
            ASSERT_NE(bench_.queue.waitsFor(id), "") << id;
        }
        for (const auto& [id, run] : going_) ASSERT_EQ(bench_.queue.waitsFor(id), "") << id;
        ASSERT_FALSE(bench_.queue.due());
    }

    std::mt19937 random_;
    Bench bench_{kLimits};
    Runs going_, waiting_;
    std::uint64_t came_ = 0;
    std::size_t gone_ = 0;
};

TEST(RunQueueLaws, NobodyWaitsInVainAndNobodyOvertakesWhoGoesBefore) {
    for (unsigned seed = 1; seed <= 5; ++seed) {
        Model model(seed);
        for (int i = 0; i < 1000 && !::testing::Test::HasFailure(); ++i) model.step();
        model.drain();
        ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed;
        EXPECT_GT(model.haveGoneOn(), 300u);
    }
}

// A thousand events of one capsule wait on as many targets: another capsule's event, a turn and somebody's run come last.
TEST(RunQueueLaws, AStormIsPassedByWhoAsksAndSharedByCapsules) {
    Bench bench({.runs = 4, .runsPerTarget = 4, .queue = 2000});
    for (int i = 0; i < 1000; ++i) bench.come({"s" + std::to_string(i), "storm", "docker:" + std::to_string(i), Trigger::Event});
    ASSERT_TRUE(bench.come({"asked-1", "a", "docker:x"})) << "a quarter is kept for it";
    EXPECT_FALSE(bench.come({"turn", "b", "docker:x", Trigger::Periodic}));
    EXPECT_FALSE(bench.come({"event", "b", "docker:x", Trigger::Event}));
    EXPECT_FALSE(bench.come({"asked-2", "a", "docker:x"}));
    EXPECT_THAT(bench.end("s0"), testing::ElementsAre("asked-2"));
    EXPECT_THAT(bench.end("asked-1"), testing::ElementsAre("s3"));
    EXPECT_THAT(bench.end("s1"), testing::ElementsAre("event")) << "the other capsule's turn, after one of the storm's";
    EXPECT_THAT(bench.end("s2"), testing::ElementsAre("s4"));
    for (int i = 3; i < 1000; ++i) bench.queue.leave("s" + std::to_string(i));
    bench.queue.leave("event");
    EXPECT_THAT(bench.letOn(), testing::ElementsAre("turn")) << "when no event waits any more";
}

}  // namespace
}  // namespace recap::test
