// SPDX-License-Identifier: Apache-2.0
// The catalogue's capsules that say how a container is: stats, clock-check, oom-report.
#include <sstream>

#include "tests/support/wait.hpp"
#include "tests/system/stack/catalogue_fixture.hpp"
#include "tests/system/stack/prometheus.hpp"

namespace recap::test {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class CatalogueLooks : public CatalogueTest {
protected:
    static void SetUpTestSuite() {
        StackTest::SetUpTestSuite();
        for (const char* name : {"stats", "clock-check", "oom-report"}) installShipped(name);
    }
    static std::string say(const json& report, const char* outcome = "succeeded") {
        EXPECT_EQ(report.at("outcome"), outcome) << report.dump(2);
        expectClean(report);
        return report.at("stdout");
    }
};

double requestsOf(const std::string& status) {  // the third number of " accepts handled requests "
    std::istringstream numbers(lines(status).at(2));
    double accepts = 0, handled = 0, requests = 0;
    numbers >> accepts >> handled >> requests;
    return requests;
}

TEST_F(CatalogueLooks, A14_StatsAreWhatPrometheusReadsAndWhatNginxAndTheKernelSay) {
    const double requests = requestsOf(nginx_->get("/status").body);
    const Prometheus stats(say(Stack::get().run("stats", target(), {"--nginx", "http://127.0.0.1:8080/status"})));
    EXPECT_EQ(stats.value("recap_target_processes", "command=\"nginx\""), 2) << "a master and a worker";
    EXPECT_EQ(stats.value("recap_target_threads"), 2);
    EXPECT_GE(stats.value("recap_target_cpu_seconds_total"), 0);
    EXPECT_EQ(stats.type("recap_target_cpu_seconds_total"), "counter");
    double resident = 0;
    auto processes = childrenOf(nginx_->pid());
    processes.push_back(nginx_->pid());
    for (const pid_t pid : processes) resident += 1024 * std::stod(statusOf(pid).at("VmRSS"));
    EXPECT_NEAR(stats.value("recap_target_memory_bytes", "source=\"processes\""), resident, resident / 2);
    EXPECT_EQ(stats.value("recap_target_connections", "state=\"listen\""), 1);
    EXPECT_EQ(stats.value("nginx_up"), 1);
    EXPECT_EQ(stats.value("nginx_http_requests_total"), requests + 1);
    EXPECT_EQ(stats.value("nginx_connections_active"), 1);
    EXPECT_THAT(left(), IsEmpty());
}

TEST_F(CatalogueLooks, StatsSayWhereNginxDoesNotAnswerAndAskNobodyUnasked) {
    const Prometheus deaf(say(Stack::get().run("stats", target(), {"--nginx", "http://127.0.0.1:81/status"})));
    EXPECT_EQ(deaf.value("nginx_up"), 0);
    EXPECT_FALSE(deaf.has("nginx_http_requests_total"));
    EXPECT_FALSE(Prometheus(say(Stack::get().run("stats", target()))).has("nginx_up"));
    EXPECT_THAT(left(), IsEmpty());
}

TEST_F(CatalogueLooks, StatsStayWellFormedWhateverAProcessCallsItself) {
    const auto odd =
        container({.kind = "busybox", .argv = {"/bin/sh", "-c", R"(printf 'a"b\\c{} 1' >/proc/self/comm; sleep 86402 & wait)"}});
    ASSERT_TRUE(waitUntil([&] { return processOf(odd->pid())->name == "a\"b\\c{} 1"; }, Deadline{kPatience}))
        << processOf(odd->pid())->name;
    const Prometheus stats(say(Stack::get().run("stats", targetOf(*odd))));
    EXPECT_EQ(stats.value("recap_target_processes"), 2);
}

// Answers as an NTP server whose clock is so many seconds ahead of this machine's.
constexpr const char* kTimeServer = R"(
import socket, struct, sys, time
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 123))
print("ready", flush=True)
while True:
    question, who = server.recvfrom(512)
    now = time.time() + float(sys.argv[1]) + 2208988800
    stamp = struct.pack("!II", int(now) & 0xffffffff, int(now % 1 * 2**32))
    stratum = int(sys.argv[2])
    answer = bytes([0x24, stratum, 4, 0xec]) + bytes(8) + (b"RATE" if stratum == 0 else bytes(4)) + stamp + question[40:48] + stamp + stamp
    server.sendto(answer, who)
)";

TEST_F(CatalogueLooks, A6_ClockCheckTellsHowFarTheServerIsAhead) {
    const auto checked = [&](const char* ahead, const char* stratum, std::vector<std::string> words, int status) {
        Child server(Command{.argv = {"python3", "-c", kTimeServer, ahead, stratum}, .network = nginx_->pid()});
        EXPECT_TRUE(server.waitForOutput("ready", Deadline{kPatience}));
        const Picture before = outside_->look();
        json report = Stack::get().run("clock-check", target(), words);
        EXPECT_EQ(report.at("exit_code"), status) << report.dump(2);
        expectClean(report);
        EXPECT_THAT(left(*outside_, before), IsEmpty());
        return report;
    };
    const auto offset = [](const json& report) { return std::stod(values(report.at("stdout").get<std::string>()).at("offset")); };
    EXPECT_NEAR(offset(checked("0", "2", {"127.0.0.1"}, 0)), 0, 1);
    EXPECT_NEAR(offset(checked("100", "2", {"127.0.0.1"}, 1)), 100, 1);
    EXPECT_NEAR(offset(checked("-100", "2", {"--tolerance", "200", "127.0.0.1:123"}, 0)), -100, 1);
    EXPECT_THAT(checked("0", "0", {"127.0.0.1"}, 2).at("stderr").get<std::string>(), HasSubstr("the server refuses: RATE"));
}

TEST_F(CatalogueLooks, ClockCheckSaysWhereNobodyAnswersOrNobodyIsNamed) {
    EXPECT_THAT(Stack::get().ctl({"run", "clock-check", target(), "--", "127.0.0.1"}).err, HasSubstr("127.0.0.1: Connection refused"));
    EXPECT_THAT(Stack::get().ctl({"run", "clock-check", target()}).err, HasSubstr("no server: NTP_SERVER in the manifest"));
}

// The clock has no namespace: even a host whose policies would let a capsule set it is kept from it by its ceiling.
TEST_F(CatalogueLooks, A6b_SettingTheClockIsRefusedByTheCeilingsKey) {
    const auto profile = Stack::get().folder("RECAP_CONFIG_DIR") / "policies/clock.toml";
    std::filesystem::create_directories(profile.parent_path());
    writeFile(profile, replaced(replaced(readFile(sourceDir() / "policies/trusted.toml"), "name = \"trusted\"", "name = \"clock\""),
                                "\"CAP_CHOWN\"", "\"CAP_CHOWN\", \"CAP_SYS_TIME\""));
    ASSERT_TRUE(Stack::get().reload().ok());
    Stack::get().install(replaced(replaced(shippedText("clock-check"), "\"clock-check\"", "\"clock-set\""), "namespaces = [\"net\"]",
                                  "capabilities = [\"CAP_SYS_TIME\"]\npolicy = \"clock\"\nnamespaces = [\"net\"]"));
    const CommandResult refused = Stack::get().ctl({"run", "clock-set", target(), "--", "127.0.0.1"});
    EXPECT_EQ(refused.status, 125) << refused.all();
    EXPECT_THAT(refused.err, AllOf(HasSubstr("CAP_SYS_TIME"), HasSubstr("capabilities in /etc/recap/ceiling.toml"))) << refused.all();
    EXPECT_THAT(left(), IsEmpty());
    Stack::get().install(replaced(replaced(shippedText("clock-check"), "\"clock-check\"", "\"clock-narrowed\""), "namespaces = [\"net\"]",
                                  "capabilities = [\"CAP_SYS_TIME\"]\npolicy = \"trusted\"\nnamespaces = [\"net\"]"));
    const CommandResult plan = Stack::get().ctl({"plan", "clock-narrowed", target()});
    EXPECT_THAT(plan.out, HasSubstr("CAP_SYS_TIME")) << "no shipped policy gives it, which the plan tells: " << plan.all();
    std::filesystem::remove(profile);
    Stack::get().ctl({"capsule", "remove", "clock-set"});
    EXPECT_TRUE(Stack::get().reload().ok());
}

TEST_F(CatalogueLooks, OomReportByHandSaysThatThereWasNoEventAndHowTheMemoryLooks) {
    const std::string said = say(Stack::get().run("oom-report", target()));
    EXPECT_THAT(said, AllOf(HasSubstr("target: " + target()), HasSubstr("\nstarted: on-demand\nevent: none\n"), Not(HasSubstr("json:"))));
    EXPECT_THAT(said, HasSubstr("its cgroup is not mounted in the target"));
    const std::string greatest = said.substr(said.find("greatest processes"));
    EXPECT_EQ(lines(greatest).size(), 3u) << said;
    for (const auto& line : {lines(greatest).at(1), lines(greatest).at(2)}) EXPECT_THAT(line, HasSubstr(" nginx"));
    EXPECT_THAT(left(), IsEmpty());
}

}  // namespace
}  // namespace recap::test
