// SPDX-License-Identifier: Apache-2.0
#include "daemon/triggers/event_journal.hpp"

#include <gmock/gmock.h>

#include "daemon/triggers/batches.hpp"
#include "tests/unit/daemon/triggers/fakes.hpp"

namespace recap::test {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;

struct EventJournalTest : World {
    std::unique_ptr<Batches> batches;
    std::unique_ptr<EventJournal> journal;
    std::vector<JournalFields> written;

    void SetUp() override {
        capsules.add("scan");
        have(2);
        batches = Batches::create({loop.get(), runs, targets, capsules}).value();
        journal = std::make_unique<EventJournal>(runs, *batches, [this](const JournalFields& fields) { written.push_back(fields); });
        batches->listen(*journal);
        runs.listeners = {batches.get(), journal.get()};
    }
    BatchId start(Trigger trigger, std::shared_ptr<const Occurrence> occurrence = {}) {
        BatchRequest request;
        request.run.capsule = "scan";
        request.run.trigger = trigger;
        request.run.caller.uid = 1000;
        request.run.occurrence = std::move(occurrence);
        const BatchId id = batches->start(std::move(request)).value();
        turn(loop);
        return id;
    }
    static std::shared_ptr<const Occurrence> oom() {
        return std::make_shared<const Occurrence>(Occurrence{"oom", 1, "17", {{"name", "web\nX=1"}}});
    }
    // As the engine tells of one.
    void skipped(RunRequest request, const std::string& why) {
        const RunId id = runs.skip(std::move(request), why).value();
        RunReport report;
        report.id = id;
        report.outcome = Outcome::Skipped;
        report.detail = why;
        journal->finished(report);
    }
};

TEST_F(EventJournalTest, HasWhatStartedACapsule) {
    const BatchId id = start(Trigger::Event, oom());
    ASSERT_THAT(written, SizeIs(1));
    EXPECT_THAT(
        written[0],
        AllOf(Contains(Pair("MESSAGE", "event oom starts capsule scan on 2 targets: batch " + id)), Contains(Pair("RECAP_BATCH", id)),
              Contains(Pair("MESSAGE_ID", std::string(kMessageTriggered))), Contains(Pair("RECAP_RECORD", "TRIGGERED")),
              Contains(Pair("RECAP_CAPSULE", "scan")), Contains(Pair("RECAP_TRIGGER", "event")), Contains(Pair("RECAP_EVENT", "oom")),
              Contains(Pair("RECAP_CAUSE", "17")), Contains(Pair("RECAP_UID", "1000")), Contains(Pair("PRIORITY", "6"))));
    for (const auto& [key, value] : written[0]) EXPECT_THAT(value, Not(HasSubstr("web"))) << key << ": facts are strangers' words";
}

TEST_F(EventJournalTest, HasATurnOfASchedule) {
    start(Trigger::Periodic);
    ASSERT_THAT(written, SizeIs(1));
    EXPECT_THAT(written[0],
                AllOf(Contains(Pair("MESSAGE", HasSubstr("its schedule starts capsule scan"))), Not(Contains(Pair("RECAP_EVENT", "")))));
}

TEST_F(EventJournalTest, HasWhatWasLeftOutAndWhy) {
    RunRequest request;
    request.capsule = "scan";
    request.target = "docker:c0";
    request.trigger = Trigger::Event;
    request.occurrence = oom();
    skipped(request, "3 more came within the cooldown of 60 s");
    ASSERT_THAT(written, SizeIs(1));
    EXPECT_THAT(
        written[0],
        AllOf(Contains(Pair("MESSAGE", "event oom does not start capsule scan on docker:c0: 3 more came within the cooldown of 60 s")),
              Contains(Pair("MESSAGE_ID", std::string(kMessageSkipped))), Contains(Pair("RECAP_RUN_ID", "run-0")),
              Contains(Pair("RECAP_TARGET", "docker:c0")), Contains(Pair("PRIORITY", "5"))));
}

TEST_F(EventJournalTest, HasWhatEndedBeforeTheLauncherHadIt) {
    const BatchId id = start(Trigger::Event, oom());
    written.clear();
    RunRecord& run = runs.runs.at(runs.order[0]);
    run.handedOver = false;
    run.report.detail = "the image is not admitted";
    runs.end(run.id, Outcome::Denied);
    ASSERT_THAT(written, SizeIs(1));
    EXPECT_THAT(written[0],
                AllOf(Contains(Pair("MESSAGE", "event oom does not start capsule scan on docker:c0: the image is not admitted")),
                      Contains(Pair("MESSAGE_ID", std::string(kMessageSkipped))), Contains(Pair("RECAP_OUTCOME", "denied")),
                      Contains(Pair("RECAP_BATCH", id)), Contains(Pair("RECAP_RUN_ID", run.id))));
    RunRecord& lost = runs.runs.at(runs.order[1]);
    lost.handedOver = false;
    runs.end(lost.id, Outcome::Lost);
    EXPECT_THAT(written, SizeIs(1)) << "it may have run";
}

TEST_F(EventJournalTest, HasNothingOfWhatSomebodyAskedFor) {
    start(Trigger::OnDemand);
    for (const auto& id : runs.order) runs.end(id);
    skipped({}, "the batch was stopped");
    EXPECT_THAT(written, IsEmpty());
    start(Trigger::Event, oom());
    for (std::size_t i = 2; i < runs.order.size(); ++i) runs.end(runs.order[i], Outcome::Failed, 1);
    EXPECT_THAT(written, SizeIs(1)) << "how a run ended is the launcher's to say";
}

}  // namespace
}  // namespace recap::test
