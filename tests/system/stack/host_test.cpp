// SPDX-License-Identifier: Apache-2.0
// A container in the host's network, on a host whose ceiling (host-ceiling.toml) lets capsules follow it there.
#include "tests/system/stack/stack_fixture.hpp"

namespace recap::test {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr std::uint32_t kNobody = 65534;

class Host : public StackTest {
protected:
    static void SetUpTestSuite() {
        StackTest::SetUpTestSuite();
        shares_ = std::make_unique<MicroContainer>(
            ContainerOptions{.kind = "busybox", .ofTheHost = {"network", "pid"}, .runtimeRoot = kRuncRoot});
        Stack::get().install(manifestOf("t-net", "test/payload:1", "[\"/payload\"]", "[sandbox]\nnamespaces = [\"net\"]\n"));
        Stack::get().install(manifestOf("t-processes", "test/payload:1", "[\"/payload\"]", "[sandbox]\nprocesses = \"observe\"\n"));
        const auto known = [] { return Stack::get().ctl({"plan", "t-net", targetOf(*shares_)}).ok(); };
        EXPECT_TRUE(waitUntil(known, Deadline{kPatience})) << Stack::get().ctl({"plan", "t-net", targetOf(*shares_)}).all();
    }
    static void TearDownTestSuite() {
        shares_.reset();
        StackTest::TearDownTestSuite();
    }
    static std::unique_ptr<MicroContainer> shares_;
};

std::unique_ptr<MicroContainer> Host::shares_;

TEST_F(Host, ACapsuleSeesItsInterfaces) {
    const json report = Stack::get().run("t-net", targetOf(*shares_), {"cat", "/proc/self/net/dev"});
    EXPECT_EQ(report.at("outcome"), "succeeded") << report.dump(2);
    const std::string seen = report.at("stdout").get<std::string>();
    const std::string own = readFile("/proc/self/net/dev");
    const auto names = [](const std::string& table) {
        std::vector<std::string> all;
        for (const auto& line : lines(table)) all.push_back(line.substr(0, line.find(':')));
        return all;
    };
    EXPECT_EQ(names(seen), names(own));
    expectClean(report);
    EXPECT_THAT(left(), IsEmpty());
}

TEST_F(Host, ThePlanSaysSoAndTakesTheGreaterRight) {
    const json plan = Stack::get().ctlJson({"plan", "t-net", targetOf(*shares_)});
    EXPECT_EQ(plan.at("host_namespaces"), json::array({"net"})) << plan.dump(2);
    EXPECT_EQ(plan.at("privileged"), true);
    EXPECT_THAT(Stack::get().ctl({"plan", "t-net", targetOf(*shares_)}).out,
                AllOf(HasSubstr("of the host   net"), HasSubstr("org.recap1.run-privileged")));
    EXPECT_EQ(Stack::get().ctlJson({"plan", "t-net", target()}).at("privileged"), false);
    const auto asNobody = [](const std::string& target) { return Stack::get().ctl({"run", "t-net", target, "--", "exit"}, kNobody).err; };
    EXPECT_THAT(asNobody(targetOf(*shares_)), HasSubstr("org.recap1.run-privileged"));
    EXPECT_THAT(asNobody(target()), AllOf(HasSubstr("org.recap1.run"), Not(HasSubstr("org.recap1.run-privileged"))));
}

TEST_F(Host, WhatTheKeyDoesNotNameIsRefusedByIt) {
    for (const char* verb : {"plan", "run"}) {
        const CommandResult refused = Stack::get().ctl({verb, "t-processes", targetOf(*shares_)});
        EXPECT_EQ(refused.status, 125) << refused.all();
        EXPECT_THAT(refused.err, AllOf(HasSubstr("has the host's pid namespace"), HasSubstr("host-namespaces in /etc/recap/ceiling.toml")));
    }
    EXPECT_THAT(left(), IsEmpty());
}

}  // namespace
}  // namespace recap::test
