// SPDX-License-Identifier: Apache-2.0
// A container that shares the host's network or processes, which only the ceiling's host-namespaces opens to capsules.
#include "tests/system/launcher/launcher_fixture.hpp"

namespace recap::test {
namespace {

using namespace launcher;
using ::testing::Contains;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* kKey = "host-namespaces in /etc/recap/ceiling.toml would have to allow it";

Ceiling allowing(std::uint32_t namespaces) {
    Ceiling ceiling;
    ceiling.hostNamespaces = namespaces;
    return ceiling;
}

// Names of interfaces, of a text like /proc/net/dev.
std::vector<std::string> interfacesOf(const std::string& text) {
    std::vector<std::string> names;
    for (const auto& line : lines(text))
        if (const auto colon = line.find(':'); colon != std::string::npos) names.push_back(trimmed(line.substr(0, colon)));
    return names;
}

class LauncherHost : public LauncherTest {
protected:
    static void SetUpTestSuite() {
        nginx_ = std::make_unique<MicroContainer>(ContainerOptions{.kind = "busybox", .ofTheHost = {"network"}});
        launcher_ = std::make_unique<OwnLauncher>(allowing(kNsNet | kNsPid));
    }
    Plan inNetwork(std::vector<std::string> words) {
        Plan asked = plan(std::move(words));
        asked.namespaces = kNsNet;
        asked.processes = Processes::None;
        return asked;
    }
    // What another launcher, with this ceiling and these options, says to it.
    static std::string refusalBy(const Ceiling& ceiling, const std::vector<std::string>& options, const MicroContainer& target,
                                 Plan asked) {
        OwnLauncher other(ceiling, LauncherPrograms{.options = options});
        LauncherClient client(other.socket());
        EXPECT_EQ(client.ask<Hello>(Verb::Hello, Hello{}).value().hostNamespaces, ceiling.hostNamespaces);
        asked.imageDigest = other.digest();
        asked.layers = {other.layer()};
        const auto started = startPlan(client, asked, target.pid());
        const auto records = other.journal();
        EXPECT_TRUE(started || std::ranges::any_of(records, [](auto& one) { return one.find("RECAP_RECORD=REFUSED") != one.npos; }));
        return started ? "was started" : started.error().message;
    }
};

TEST_F(LauncherHost, ItsNetworkIsTheHostsWhereTheCeilingSaysSo) {
    const Finished finished = run(inNetwork({"cat", "/proc/self/net/dev"}));
    EXPECT_EQ(finished.report.end, End::Exited) << finished.report.step << " " << finished.report.error;
    EXPECT_THAT(interfacesOf(finished.out), Eq(interfacesOf(readFile("/proc/self/net/dev"))));
    EXPECT_THAT(interfacesOf(finished.out), Contains("lo"));
    EXPECT_THAT(finished.report.left, IsEmpty());
    const auto records = launcher_->journal();
    EXPECT_THAT(records, Contains(::testing::AllOf(HasSubstr("RECAP_RECORD=START"), HasSubstr("RECAP_HOST_NAMESPACES=net\n"),
                                                   HasSubstr("in the host's net namespace"))));
}

TEST_F(LauncherHost, WithoutTheKeyItIsRefusedByItsName) {
    EXPECT_THAT(refusalBy(Ceiling{}, {}, *nginx_, inNetwork({"exit"})),
                ::testing::AllOf(HasSubstr("host's net namespace"), HasSubstr(kKey)));
    EXPECT_THAT(refusalBy(allowing(kNsPid), {}, *nginx_, inNetwork({"exit"})), HasSubstr(kKey));
    const MicroContainer among{{.kind = "busybox", .ofTheHost = {"pid"}}};
    Plan observing = planFor(*client_, *launcher_, among.pid(), {"exit"});
    observing.namespaces = 0;
    EXPECT_THAT(refusalBy(allowing(kNsNet), {}, among, observing), ::testing::AllOf(HasSubstr("host's pid namespace"), HasSubstr(kKey)));
}

TEST_F(LauncherHost, WhereTheKernelCannotScopeItIsRefused) {
    EXPECT_THAT(refusalBy(allowing(kNsNet | kNsPid), {"--without", "socket-scope"}, *nginx_, inNetwork({"exit"})),
                HasSubstr("Landlock's scope"));
}

TEST_F(LauncherHost, NoMoreCapabilitiesThanTheTarget) {
    Plan asked = inNetwork({"exit"});
    asked.capabilities = 1ull << 13;
    expectRefused(asked, Errc::Denied, "has not CAP_NET_RAW, and a capsule in the host's net namespace has no more than it");
}

TEST_F(LauncherHost, ItsProcessesAreListedAndNotJoined) {
    const MicroContainer among{{.kind = "busybox", .ofTheHost = {"pid"}}};
    Plan asked = planFor(*client_, *launcher_, among.pid(), {"cat", "/proc/" + std::to_string(::getpid()) + "/comm"});
    asked.namespaces = 0;
    const Finished finished = runPlan(*client_, asked, among.pid());
    EXPECT_EQ(finished.out, readFile("/proc/self/comm")) << finished.err << finished.report.step;
    EXPECT_THAT(finished.report.left, IsEmpty());
    asked.runId = freshRunId();
    asked.processes = Processes::Join;
    asked.namespaces = kNsPid;
    const auto started = startPlan(*client_, asked, among.pid());
    ASSERT_FALSE(started);
    EXPECT_THAT(started.error().message, HasSubstr("processes = \"join\" does not go with"));
}

// A ceiling that is read again is told to who is connected; what it no longer allows is refused from then on.
TEST_F(LauncherHost, AnotherCeilingHoldsFromThenOn) {
    OwnLauncher other(allowing(kNsNet));
    LauncherClient client(other.socket());
    ASSERT_TRUE(client.ask<Hello>(Verb::Hello, Hello{}));
    other.setCeiling(Ceiling{});
    const auto told = client.reply();
    ASSERT_TRUE(told);
    EXPECT_EQ(decodeHeader(told->bytes).value().sequence, 0u);
    EXPECT_EQ(decodeReply<Hello>(told->bytes).value().hostNamespaces, 0u);
    Plan asked = planFor(client, other, nginx_->pid(), {"exit"});
    asked.namespaces = kNsNet;
    asked.processes = Processes::None;
    const auto started = startPlan(client, asked, nginx_->pid());
    ASSERT_FALSE(started);
    EXPECT_THAT(started.error().message, HasSubstr(kKey));
}

}  // namespace
}  // namespace recap::test
