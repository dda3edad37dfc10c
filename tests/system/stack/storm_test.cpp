// SPDX-License-Identifier: Apache-2.0
// Two hundred containers come up at once, and a capsule wants to be on each of them (storm.toml): it costs what is bounded, each start
// has its run, and whoever asks for one of his own has it before.
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "tests/support/wait.hpp"
#include "tests/system/stack/stack_fixture.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::size_t kTargets = 200;
constexpr std::size_t kGoing = 6, kQueued = 48;  // three quarters of limits.runs and limits.queue
constexpr std::uint64_t kMostKb = 32 * 1024;     // of recapd's memory, for two hundred targets and as many runs
const fs::path kEngine = "/run/recap-demo-storm";

class Storm : public StackTest {
protected:
    static void SetUpTestSuite() {
        fs::remove_all(kEngine);
        StackTest::SetUpTestSuite();
    }
    static void TearDownTestSuite() {
        StackTest::TearDownTestSuite();
        fs::remove_all(kEngine);
    }
    void TearDown() override {
        Stack::get().ctl({"capsule", "disable", "t-storm"});
        containers_.clear();
        EXPECT_THAT(left(), IsEmpty()) << Stack::get().logs();
    }

    void start() {
        for (std::size_t i = 0; i < kTargets; ++i)
            containers_.push_back(std::make_unique<MicroContainer>(ContainerOptions{.kind = "busybox"}));
    }
    std::string nameOf(std::size_t number) const { return mine_ + "-" + std::to_string(number); }
    // The engine has them from one moment to the next.
    void show() const {
        const fs::path aside = kEngine.string() + ".new";
        fs::create_directories(aside);
        for (std::size_t i = 0; i < kTargets; ++i)
            writeFile(aside / nameOf(i), std::to_string(containers_[i]->pid()) + " none storm=" + mine_ + "\n");
        fs::rename(aside, kEngine);
    }
    static std::vector<json> runs() {
        return Stack::get().ctlJson({"runs", "--capsule", "t-storm", "--limit", "1000"}).at("runs").get<std::vector<json>>();
    }
    static std::size_t in(const std::string& state, const std::vector<json>& runs) {
        return static_cast<std::size_t>(std::ranges::count_if(runs, [&](const json& run) { return run.at("state") == state; }));
    }
    // Those that the queue has, which says what each of them waits for; the others are expected, and nothing more.
    static std::size_t queued(const std::vector<json>& runs) {
        return static_cast<std::size_t>(std::ranges::count_if(
            runs, [](const json& run) { return run.at("state") == "pending" && run.value("detail", "").find("waits for ") == 0; }));
    }
    // So many run, and as many as there is room for wait for it; of these never more.
    static bool isFull(std::size_t running) {
        return waitUntil(
            [&] {
                const auto now = runs();
                EXPECT_LE(queued(now), kQueued);
                return in("running", now) == running && queued(now) == kQueued;
            },
            Deadline{kPatience});
    }
    static std::uint64_t kb(const char* field) { return std::stoull(statusOf(Stack::get().pid("recapd.service")).at(field)); }
    static void end(const std::string& run) {
        EXPECT_TRUE(Stack::get().ctl({"stop", "--now", run}).ok());
        expectClean(Stack::get().waitForEnd(run));
    }

    // None of the storm's ends, so who asks has only what is kept for people.
    void expectRoomForWhoAsks() const {
        const json asked = Stack::get().run("t-payload", target(), {"exit"});
        EXPECT_EQ(asked.at("outcome"), "succeeded") << asked.dump(2);
        const json amongThem = Stack::get().ctlJson({"run", "t-payload", "--name", nameOf(0), "--backend", "demo", "--", "exit"});
        EXPECT_EQ(amongThem.at("counts"), (json{{"succeeded", 1}})) << amongThem.dump(2);
        EXPECT_TRUE(isFull(kGoing)) << "the storm waits as before";
    }
    // Where that is taken too.
    void expectTheFirstRoomForWhoAsks() const {
        std::vector<std::string> resting;
        for (int i = 0; i < 2; ++i) resting.push_back(Stack::get().startDetached("t-payload", target(), {"rest"}));
        for (const auto& run : resting) ASSERT_TRUE(Stack::get().waitForLog(run, "resting"));
        resting.push_back(Stack::get().startDetached("t-payload", target(), {"rest"}));
        const auto waits = [&] {
            return Stack::get().ctlJson({"show", resting.back()}).value("detail", "").find("waits for room: 8 runs are under way") == 0;
        };
        ASSERT_TRUE(waitUntil(waits, Deadline{kPatience})) << Stack::get().ctl({"show", resting.back()}).out;
        const auto storm = runs();
        end(std::ranges::find_if(storm, [](const json& run) { return run.at("state") == "running"; })->at("id"));
        EXPECT_TRUE(Stack::get().waitForLog(resting.back(), "resting")) << "the first room is for who asks";
        EXPECT_TRUE(isFull(kGoing - 1)) << "and not for what has waited longer";
        for (const auto& run : resting) end(run);
    }

    const std::string mine_ = "storm-" + std::to_string(::getpid());
    std::vector<std::unique_ptr<MicroContainer>> containers_;
};

TEST_F(Storm, TwoHundredStartsAtOnceAreBoundedAndKeepNobodyWaitingWhoAsks) {
    Stack::get().install(manifestOf("t-storm", "test/payload:1", "[\"/payload\", \"rest\"]",
                                    "[target]\nselector = { storm = \"" + mine_ + "\" }\nbackends = [\"demo\"]\n" +
                                        "[limits]\ntimeout = \"10min\"\n[[schedule.event]]\non = \"target-start\"\n"));
    ASSERT_TRUE(Stack::get().ctl({"capsule", "enable", "t-storm"}).ok());
    start();
    const std::uint64_t before = kb("VmRSS");
    std::ofstream("/proc/" + std::to_string(Stack::get().pid("recapd.service")) + "/clear_refs") << 5;  // VmHWM begins anew
    show();
    ASSERT_TRUE(isFull(kGoing)) << Stack::get().logs();
    EXPECT_THAT(runs(), SizeIs(kTargets)) << "each start has its row before anything is done about it";

    expectRoomForWhoAsks();
    expectTheFirstRoomForWhoAsks();

    ASSERT_TRUE(Stack::get().ctl({"capsule", "disable", "t-storm"}).ok());
    containers_.clear();
    const auto over = [] {
        const auto now = runs();
        return in("finished", now) == now.size();
    };
    EXPECT_TRUE(waitUntil(over, Deadline{kPatience})) << Stack::get().logs();
    std::set<std::string> targets;
    for (const auto& run : runs()) targets.insert(run.at("target"));
    EXPECT_THAT(targets, SizeIs(kTargets)) << "each target its own";
    EXPECT_THAT(runs(), SizeIs(kTargets)) << "and no other";
    EXPECT_LT(kb("VmHWM"), before + kMostKb);
}

}  // namespace
}  // namespace recap::test
