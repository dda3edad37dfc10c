// SPDX-License-Identifier: Apache-2.0
// One capsule on all containers that a selector matches, started and stopped as one.
#include <algorithm>
#include <csignal>

#include "tests/system/stack/polkit_rule.hpp"
#include "tests/system/stack/stack_fixture.hpp"

namespace recap::test {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAreArray;
using Words = std::vector<std::string>;

constexpr std::uint32_t kNobody = 65534;
constexpr std::size_t kTargets = 5;

class Batch : public StackTest {
protected:
    static void SetUpTestSuite() { StackTest::SetUpTestSuite(); }
    void SetUp() override {
        for (std::size_t i = 0; i < kTargets; ++i)
            containers_.push_back(std::make_unique<MicroContainer>(
                ContainerOptions{.kind = "busybox", .labels = {{"batch", "yes"}, {"n", std::to_string(i)}}, .runtimeRoot = kRuncRoot}));
        ASSERT_TRUE(waitUntil([&] { return listed() == kTargets; }, Deadline{kPatience})) << Stack::get().ctl({"targets"}).all();
        StackTest::SetUp();
    }
    void TearDown() override {
        EXPECT_THAT(left(), IsEmpty()) << Stack::get().logs();
        containers_.clear();
    }

    static std::size_t listed() { return Stack::get().ctlJson({"targets", "--label", "batch=yes"}).at("targets").size(); }
    static Words command(const Words& options, const Words& deed, const std::string& capsule = "t-payload") {
        Words words{"run", capsule, "--selector", "batch=yes"};
        words.insert(words.end(), options.begin(), options.end());
        words.emplace_back("--");
        words.insert(words.end(), deed.begin(), deed.end());
        return words;
    }
    static CommandResult onAll(const Words& options, const Words& deed) { return Stack::get().ctl(command(options, deed)); }
    static json onAllJson(const Words& options, const Words& deed, const std::string& capsule = "t-payload") {
        return Stack::get().ctlJson(command(options, deed, capsule));
    }
    Words allTargets() const {
        Words targets;
        for (const auto& container : containers_) targets.push_back(targetOf(*container));
        return targets;
    }
    // Where the payload is, by the kernel's word.
    Words resting() const {
        Words targets;
        const auto processes = allProcesses();
        for (const auto& container : containers_) {
            const auto network = namespaceOf(container->pid(), "net");
            for (const auto& process : processes)
                if (process.name == "payload" && namespaceOf(process.pid, "net") == network && network != 0)
                    targets.push_back(targetOf(*container));
        }
        return targets;
    }
    bool rest(std::size_t count) const {
        return waitUntil([&] { return resting().size() == count; }, Deadline{kPatience});
    }
    // What plain busctl is told, without what it says of types.
    static json call(const Words& words, std::optional<std::uint32_t> uid = {}) {
        Words argv{"busctl", "--json=short", "--address=" + variable("DBUS_SYSTEM_BUS_ADDRESS", "dev with"), "call", "org.recap1"};
        argv.insert(argv.end(), words.begin(), words.end());
        const CommandResult called = test::run(Command{.argv = argv, .uid = uid});
        EXPECT_TRUE(called.ok()) << called.all();
        return called.ok() ? json::parse(called.out).at("data").at(0) : json();
    }
    static json results(const std::string& batch) {
        json rows = call({"/org/recap1/batch/" + batch, "org.recap1.Batch", "GetResults", "a{sv}", "0"});
        for (auto& row : rows)
            for (auto& value : row) value = json(value.at("data"));
        return rows;
    }
    static Words outcomes(const json& rows) {
        Words words;
        for (const auto& row : rows) words.push_back(row.at("outcome"));
        return words;
    }
    static bool ends(const std::string& batch) {
        return waitUntil(
            [&] {
                const json rows = results(batch);
                return std::all_of(rows.begin(), rows.end(), [](const json& row) { return row.at("state") == "finished"; });
            },
            Deadline{kPatience});
    }
    MicroContainer& containerOf(const std::string& target) {
        for (auto& container : containers_)
            if (targetOf(*container) == target) return *container;
        throw std::runtime_error("no container is " + target);
    }

    std::vector<std::unique_ptr<MicroContainer>> containers_;
};

TEST_F(Batch, RunsOnEveryTargetThatMatches) {
    const CommandResult all = onAll({}, {"exit"});
    EXPECT_EQ(all.status, 0) << all.all();
    EXPECT_THAT(lines(all.out), SizeIs(1 + kTargets)) << all.all();
    EXPECT_THAT(all.err, HasSubstr("5 targets: 5 succeeded"));
    const json report = onAllJson({}, {"exit"});
    EXPECT_EQ(report.at("exit_status"), 0) << report.dump(2);
    EXPECT_EQ(report.at("counts"), (json{{"succeeded", 5}}));
    Words targets, again;
    for (const auto& result : report.at("results")) {
        targets.push_back(result.at("target"));
        expectClean(result);
        const json run = Stack::get().ctlJson({"show", result.at("run")});
        EXPECT_EQ(run.at("batch"), report.at("id"));
        EXPECT_EQ(run.at("target"), result.at("target"));
    }
    EXPECT_THAT(targets, UnorderedElementsAreArray(allTargets()));
    const json part = onAllJson({"--mode", "percent:60"}, {"exit"});
    for (const auto& result : part.at("results")) again.push_back(result.at("target"));
    targets.resize(3);
    EXPECT_EQ(again, targets) << "always the same ones, in the same order";
}

TEST_F(Batch, SelectsByLabelsNameAndBackend) {
    const auto count = [&](Words options) {
        Words words{"run", "t-payload"};
        words.insert(words.end(), options.begin(), options.end());
        words.insert(words.end(), {"--", "exit"});
        const json report = Stack::get().ctlJson(words);
        return report.contains("results") ? report.at("results").size() : 0;
    };
    EXPECT_EQ(count({"--selector", "batch=yes,n in (0,3)"}), 2u);
    EXPECT_EQ(count({"--selector", "batch,n!=4", "--backend", "process"}), 4u);
    EXPECT_EQ(count({"--selector", "batch", "--backend", "docker"}), 0u);
    EXPECT_EQ(count({"--name", containers_[2]->name()}), 1u);
    const CommandResult none = onAll({"--backend", "docker"}, {"exit"});
    EXPECT_EQ(none.status, 125) << none.all();
    EXPECT_THAT(none.err, HasSubstr("no target matches"));
    EXPECT_EQ(none.out, "");
}

TEST_F(Batch, ItsExitStatusSaysAllSomeOrNone) {
    const json none = onAllJson({}, {"exit", "3"});
    EXPECT_EQ(none.at("exit_status"), 2);
    for (const auto& result : none.at("results")) EXPECT_EQ(result.at("exit_code"), 3);
    EXPECT_EQ(onAll({}, {"exit", "3"}).status, 2);
    writeFile(containers_[1]->rootfs() / "mark", "here");
    std::filesystem::permissions(containers_[1]->rootfs() / "mark", std::filesystem::perms(0644));
    const CommandResult some = Stack::get().ctl(command({}, {"cat", "/target/mark"}, "t-view"));
    EXPECT_EQ(some.status, 1) << some.all();
    EXPECT_THAT(some.err, HasSubstr("5 targets: 1 succeeded, 4 failed"));
}

// A17 and more: no more at a time than said, one that vanishes stops nobody else, and all of it ends as one.
TEST_F(Batch, KeepsItsLimitNamesWhoVanishedAndStopsAsOne) {
    const std::string batch = onAllJson({"--detach", "--parallel", "2"}, {"rest"}).at("id");
    ASSERT_TRUE(rest(2)) << results(batch).dump(2);
    json rows = results(batch);
    ASSERT_THAT(rows, SizeIs(kTargets));
    EXPECT_THAT(resting(), UnorderedElementsAreArray(Words{rows[0].at("target"), rows[1].at("target")})) << "in their order";
    containerOf(rows[2].at("target")).kill();
    ASSERT_TRUE(waitUntil([&] { return listed() == kTargets - 1; }, Deadline{kPatience}));
    ASSERT_TRUE(Stack::get().ctl({"stop", rows[0].at("run")}).ok());
    ASSERT_TRUE(waitUntil([&] { return results(batch)[3].at("state") == "running"; }, Deadline{kPatience})) << results(batch).dump(2);
    ASSERT_TRUE(rest(2));
    EXPECT_THAT(resting(), UnorderedElementsAreArray(Words{rows[1].at("target"), rows[3].at("target")}));
    const CommandResult stopped = Stack::get().ctl({"stop", batch});
    EXPECT_TRUE(stopped.ok()) << stopped.all();
    ASSERT_TRUE(ends(batch)) << results(batch).dump(2);
    rows = results(batch);
    EXPECT_THAT(outcomes(rows), ElementsAre("killed", "killed", "target-gone", "killed", "skipped")) << rows.dump(2);
    for (const std::size_t ran : {0u, 1u, 3u}) expectClean(rows[ran]);
    EXPECT_THAT(std::string(rows[2].at("detail")), HasSubstr(std::string(rows[2].at("target"))));
    EXPECT_THAT(resting(), IsEmpty());
}

TEST_F(Batch, InterruptingItsCallerStopsAllOfIt) {
    Words argv = command({}, {"rest"});
    argv.insert(argv.begin(), "recapctl");
    Child child(Command{.argv = argv});
    ASSERT_TRUE(rest(kTargets));
    child.signal(SIGINT);
    const CommandResult ended = child.wait(Deadline(kPatience));
    EXPECT_EQ(ended.status, 2) << ended.all();
    EXPECT_THAT(ended.err, HasSubstr("5 targets: 5 killed"));
    EXPECT_THAT(lines(ended.out), SizeIs(1 + kTargets));
    EXPECT_THAT(resting(), IsEmpty());
}

TEST_F(Batch, EndsWithItsCaller) {
    Words argv = command({"--parallel", "1"}, {"rest"});
    argv.insert(argv.begin(), "recapctl");
    Child child(Command{.argv = argv});
    ASSERT_TRUE(rest(1));
    child.signal(SIGKILL);
    child.wait(Deadline(kPatience));
    ASSERT_TRUE(rest(0));
    const auto over = [&] {
        const json runs = Stack::get().ctlJson({"runs", "--capsule", "t-payload"}).at("runs");
        return std::all_of(runs.begin(), runs.end(), [](const json& row) { return row.at("state") == "finished"; });
    };
    EXPECT_TRUE(waitUntil(over, Deadline{kPatience}));
    EXPECT_THAT(resting(), IsEmpty()) << "the next of its runs";
}

TEST_F(Batch, ItsCallerNoticesThatTheDaemonIsGone) {
    Words argv = command({"--parallel", "3"}, {"rest"});
    argv.insert(argv.begin(), "recapctl");
    Child child(Command{.argv = argv});
    ASSERT_TRUE(rest(3));
    killHard("recapd.service");
    const CommandResult ended = child.wait(Deadline(kPatience));
    EXPECT_EQ(ended.status, 125) << ended.all();
    EXPECT_THAT(ended.err, HasSubstr("recapd went away while the batch was under way"));
    EXPECT_TRUE(rest(0)) << "the next recapd stops what was to end with its caller, and starts no more";
}

// Two of five run: each target has one row afterwards, those that the daemon did not come to as well.
TEST_F(Batch, WhatAKilledDaemonDidNotComeToIsInTheLedger) {
    const std::string batch = onAllJson({"--detach", "--parallel", "2"}, {"rest"}).at("id");
    ASSERT_TRUE(rest(2)) << results(batch).dump(2);
    const Words running = resting();
    killHard("recapd.service");
    json rows;
    const auto areThere = [&] {
        rows = Stack::get().ctlJson({"runs", "--batch", batch}).value("runs", json::array());
        return std::count_if(rows.begin(), rows.end(), [](const json& row) { return row.value("outcome", "") == "lost"; }) ==
               static_cast<std::ptrdiff_t>(kTargets - 2);
    };
    ASSERT_TRUE(waitUntil(areThere, Deadline{kPatience})) << rows.dump(2);
    EXPECT_EQ(resting(), running) << "what ran goes on, and the next daemon starts none of the rest";
    Words targets, goOn;
    for (const auto& row : rows) {
        targets.push_back(row.at("target"));
        if (row.at("state") != "finished") goOn.push_back(row.at("id"));
    }
    EXPECT_THAT(targets, UnorderedElementsAreArray(allTargets())) << "none twice";
    ASSERT_THAT(goOn, SizeIs(2));
    for (const auto& run : goOn) EXPECT_TRUE(Stack::get().ctl({"stop", run}).ok());
    for (const auto& run : goOn) EXPECT_EQ(Stack::get().waitForEnd(run).at("outcome"), "killed");
    EXPECT_THAT(resting(), IsEmpty());
}

TEST_F(Batch, ARuleThatDeniesOneTargetHoldsInABatch) {
    const std::string denied = targetOf(*containers_[3]);
    const PolkitRule rule{"\"org.recap1.run\"", "action.lookup(\"target\") == \"" + denied + "\" ? polkit.Result.NO : polkit.Result.YES"};
    const auto asNobody = [](const Words& words) { return Stack::get().ctl(words, kNobody); };
    ASSERT_TRUE(waitUntil([&] { return asNobody({"run", "t-payload", target(), "--", "exit", "5"}).status == 5; }, Deadline{kPatience}));
    ASSERT_EQ(asNobody({"run", "t-payload", denied, "--", "exit"}).status, 125) << "as Run";
    const json report = Stack::get().ctlJson(command({}, {"exit"}), kNobody);
    ASSERT_TRUE(report.contains("results")) << report.dump(2);
    EXPECT_EQ(report.at("counts"), (json{{"denied", 1}, {"succeeded", 4}})) << report.dump(2);
    EXPECT_EQ(report.at("exit_status"), 1);
    for (const auto& result : report.at("results")) {
        if (result.at("target") != denied) continue;
        EXPECT_EQ(result.at("outcome"), "denied");
        EXPECT_EQ(Stack::get().ctlJson({"show", result.at("run")}).at("outcome"), "denied") << "it has its row";
        EXPECT_THAT(std::string(result.at("detail")), HasSubstr("org.recap1.run"));
    }
    const CommandResult alone = asNobody({"run", "t-payload", "--selector", "batch,n=3", "--", "exit"});
    EXPECT_EQ(alone.status, 125) << alone.all();
    EXPECT_THAT(alone.err, HasSubstr("org.recap1.run"));
    // Somebody else's batch goes on at that target, and so is not theirs to stop.
    const std::string batch = onAllJson({"--detach"}, {"rest"}).at("id");
    ASSERT_TRUE(rest(kTargets));
    EXPECT_EQ(asNobody({"stop", batch}).status, 125);
    EXPECT_THAT(resting(), SizeIs(kTargets));
    EXPECT_TRUE(Stack::get().ctl({"stop", batch}).ok());
    EXPECT_TRUE(ends(batch));
}

TEST_F(Batch, AUserWithoutARuleHasNone) {
    const CommandResult denied = Stack::get().ctl(command({}, {"exit"}), kNobody);
    EXPECT_EQ(denied.status, 125) << denied.all();
    EXPECT_THAT(denied.err, HasSubstr("nor on any of the 4 others"));
}

// Whoever calls may leave at once: what polkit had to say is known by then.
TEST_F(Batch, PlainBusctlStartsOneAndLeaves) {
    const PolkitRule rule{"\"org.recap1.run\""};
    const auto allowed = [&] { return Stack::get().ctl({"run", "t-payload", target(), "--", "exit", "5"}, kNobody).status == 5; };
    ASSERT_TRUE(waitUntil(allowed, Deadline{kPatience}));
    const std::string path = call({"/org/recap1", "org.recap1.Manager", "RunSelected", "sa{sv}asa{sv}", "t-payload", "1", "labels", "s",
                                   "batch=yes", "1", "exit", "1", "parallel", "u", "1"},
                                  kNobody);
    const std::string batch = path.substr(path.rfind('/') + 1);
    ASSERT_TRUE(ends(batch)) << results(batch).dump(2);
    EXPECT_EQ(outcomes(results(batch)), Words(kTargets, "succeeded")) << results(batch).dump(2);
}

}  // namespace
}  // namespace recap::test
