// SPDX-License-Identifier: Apache-2.0
// A service's signal starts a capsule on a real container; nobody else's does, and whoever follows is told.
#include <sdbus-c++/sdbus-c++.h>
#include <signal.h>

#include <algorithm>
#include <sstream>

#include "tests/system/stack/stack_fixture.hpp"

namespace recap::test {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::uint32_t kNobody = 65534;
constexpr const char* kName = "org.example.Backup";
constexpr const char* kInterface = "org.example.Backup1";
constexpr const char* kPath = "/org/example/Backup";

// The service: root, who alone may own its name by a policy of the stack's bus.
class Backup {
public:
    Backup() : policy_(Stack::get().folder("RECAP_PIDS").parent_path() / "dbus" / "org.example.Backup.conf") {
        writeFile(policy_, std::string("<busconfig><policy user=\"root\"><allow own=\"") + kName + "\"/></policy></busconfig>\n");
        std::filesystem::permissions(policy_, std::filesystem::perms(0644));
        mustRun({"busctl", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "ReloadConfig"});
        bus_ = sdbus::createSystemBusConnection();
        bus_->requestName(kName);
        object_ = sdbus::createObject(*bus_, kPath);
    }
    ~Backup() { std::filesystem::remove(policy_); }
    Backup(const Backup&) = delete;
    Backup& operator=(const Backup&) = delete;
    void finished(const std::string& what) {
        auto signal = object_->createSignal(kInterface, "Finished");
        signal << what << std::int32_t{7};
        object_->emitSignal(signal);
    }

private:
    std::filesystem::path policy_;
    std::unique_ptr<sdbus::IConnection> bus_;
    std::unique_ptr<sdbus::IObject> object_;
};

class DbusEvents : public StackTest {
protected:
    static void SetUpTestSuite() {
        StackTest::SetUpTestSuite();
        const std::string mine = "signals-" + std::to_string(::getpid());  // other containers of this machine are nobody's target here
        own_ = std::make_unique<MicroContainer>(ContainerOptions{.labels = {{"signals", mine}}, .runtimeRoot = kRuncRoot});
        Stack::get().run("t-payload", targetOf(*own_), {"exit"});
        backup_ = std::make_unique<Backup>();
        Stack::get().install(manifestOf("t-signal", "test/payload:1", "[\"/payload\", \"copy\"]",
                                        "[target]\nselector = { signals = \"" + mine + "\" }\n[schedule]\noverlap = \"allow\"\n" +
                                            "[[schedule.event]]\non = \"dbus-signal\"\nmatch = \"sender='" + kName + "',interface='" +
                                            kInterface + "',member='Finished'\"\n"));
    }
    static void TearDownTestSuite() {
        backup_.reset();
        own_.reset();
        StackTest::TearDownTestSuite();
    }
    void SetUp() override {
        StackTest::SetUp();
        ASSERT_TRUE(Stack::get().ctl({"capsule", "enable", "t-signal"}).ok());
    }
    void TearDown() override { Stack::get().ctl({"capsule", "disable", "t-signal"}); }

    // The first argument of what each run of the capsule has read, of those that have ended.
    static std::vector<std::string> heard() {
        std::vector<std::string> all;
        for (const auto& run : Stack::get().ctlJson({"runs", "--capsule", "t-signal"}).at("runs").get<std::vector<json>>())
            if (const auto read = json::parse(Stack::get().ctl({"logs", run.at("id")}).out, nullptr, false); read.is_object())
                all.push_back(read.at("facts").at("arg0"));
        return all;
    }
    // recapd listens a moment after it has enabled the capsule, and after it has been started.
    static bool startsBy(const std::string& what) {
        return waitUntil(
            [&] {
                backup_->finished(what);
                const auto all = heard();
                return std::ranges::find(all, what) != all.end();
            },
            Deadline{kPatience});
    }
    static CommandResult emitAsNobody(std::vector<std::string> options) {
        std::vector<std::string> argv{"busctl", "emit"};
        argv.insert(argv.end(), options.begin(), options.end());
        for (const char* word : {kPath, kInterface, "Finished", "si", "forged", "7"}) argv.emplace_back(word);
        return run(Command{.argv = std::move(argv), .uid = kNobody});
    }

    static std::unique_ptr<MicroContainer> own_;
    static std::unique_ptr<Backup> backup_;
};

std::unique_ptr<MicroContainer> DbusEvents::own_;
std::unique_ptr<Backup> DbusEvents::backup_;

TEST_F(DbusEvents, StartACapsuleThatReadsWhatHappened) {
    ASSERT_TRUE(startsBy("web")) << Stack::get().logs();
    const json run = Stack::get().ctlJson({"runs", "--capsule", "t-signal", "--outcome", "succeeded"}).at("runs").at(0);
    EXPECT_EQ(run.at("target"), targetOf(*own_));
    EXPECT_EQ(run.at("trigger"), "event");
    EXPECT_EQ(run.at("event"), "dbus-signal");
    const json read = json::parse(Stack::get().ctl({"logs", run.at("id")}).out);
    EXPECT_EQ(read.at("on"), "dbus-signal");
    EXPECT_GT(read.at("time").get<std::uint64_t>(), 1'700'000'000'000'000u);
    const json facts = read.at("facts");
    EXPECT_EQ(facts.at("service"), kName);
    EXPECT_EQ(facts.at("path"), kPath);
    EXPECT_EQ(facts.at("interface"), kInterface);
    EXPECT_EQ(facts.at("member"), "Finished");
    EXPECT_EQ(facts.at("arg0"), "web");
    EXPECT_EQ(facts.at("arg1"), "7");
    EXPECT_TRUE(facts.at("sender").get<std::string>().starts_with(":")) << facts;
    const json details = Stack::get().ctlJson({"show", run.at("id")});
    EXPECT_THAT(details.at("env").get<std::vector<std::string>>(), AllOf(Contains("RECAP_EVENT_FD=0"), Contains("RECAP_EVENT_ARG0=web")));
    expectClean(details);
    EXPECT_TRUE(waitUntil(
        [&] {
            return readFile(Stack::get().folder("RECAP_JOURNAL")).find("event dbus-signal starts capsule t-signal") != std::string::npos;
        },
        Deadline{kPatience}))
        << readFile(Stack::get().folder("RECAP_JOURNAL"));
    EXPECT_THAT(readFile(Stack::get().folder("RECAP_JOURNAL")),
                AllOf(HasSubstr("RECAP_RECORD=TRIGGERED"), HasSubstr("RECAP_EVENT=dbus-signal")));
}

TEST_F(DbusEvents, OfSomebodyElseStartNothing) {
    ASSERT_TRUE(startsBy("before"));
    EXPECT_THAT(run(Command{.argv = {"busctl", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                     "RequestName", "su", kName, "2"},
                            .uid = kNobody})
                    .err,
                HasSubstr("denied"));
    const CommandResult toAll = emitAsNobody({});
    ASSERT_TRUE(toAll.ok()) << toAll.all();
    const auto names = mustRun({"busctl", "list", "--unique", "--no-legend"}).out;
    int sent = 0;
    std::istringstream lines(names);
    for (std::string line; std::getline(lines, line);)
        sent += emitAsNobody({"--destination=" + line.substr(0, line.find(' '))}).ok() ? 1 : 0;
    EXPECT_GE(sent, 2) << "recapd's two connections are among them\n" << names;
    ASSERT_TRUE(startsBy("after")) << "what came before it would have started by now";
    EXPECT_THAT(heard(), Not(Contains("forged")));
}

TEST_F(DbusEvents, AreFollowedWhileRecapdGoesAndComesBack) {
    ASSERT_TRUE(startsBy("past"));
    const CommandResult past = Stack::get().ctl({"events", "--capsule", "t-signal"});
    EXPECT_THAT(past.out, AllOf(HasSubstr("run-finished"), HasSubstr("(dbus-signal)"), HasSubstr(targetOf(*own_)))) << past.all();
    Child follower(Command{.argv = {"recapctl", "events", "--follow", "--json", "--since", "1s"}});
    const auto said = [&](const std::string& text) { return follower.waitForOutput(text, Deadline{kPatience}); };
    ASSERT_TRUE(waitUntil(
        [&] {
            backup_->finished("followed");
            return follower.readOut().find("\"what\":\"batch-finished\"") != std::string::npos;
        },
        Deadline{kPatience}));
    const std::string run = Stack::get().startDetached("t-payload", targetOf(*own_), {"rest"});
    ASSERT_TRUE(Stack::get().waitForLog(run, "resting"));
    ASSERT_TRUE(said("{\"schema\":1,\"what\":\"run-started\",\"time\":"));

    const pid_t recapd = Stack::get().pid("recapd.service");
    ASSERT_EQ(::kill(recapd, SIGKILL), 0);
    EXPECT_TRUE(said("\"what\":\"recapd-gone\""));
    EXPECT_TRUE(said("\"what\":\"recapd-back\""));
    ASSERT_TRUE(Stack::get().ctl({"stop", "--now", run}).ok());
    Stack::get().waitForEnd(run);
    const auto ended = [&] {
        std::istringstream lines(follower.readOut());
        for (std::string line; std::getline(lines, line);)
            if (const auto one = json::parse(line, nullptr, false);
                one.is_object() && one.at("what") == "run-finished" && one.at("id") == run)
                return one.at("outcome") == "killed";
        return false;
    };
    EXPECT_TRUE(waitUntil(ended, Deadline{kPatience})) << follower.out();
    ASSERT_TRUE(startsBy("again")) << "what is enabled is listened to by the next recapd too";
    follower.signal(SIGINT);
    EXPECT_EQ(follower.wait(Deadline{kPatience}).status, 0);
    std::istringstream lines(follower.out());
    for (std::string line; std::getline(lines, line);) EXPECT_TRUE(json::parse(line, nullptr, false).is_object()) << line;
}

}  // namespace
}  // namespace recap::test
