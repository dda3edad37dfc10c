// SPDX-License-Identifier: Apache-2.0
// A27: whoever is of another tenant, or of none, runs nothing on a tenant's target and reads nothing of its runs, whatever polkit says.
#include <sys/stat.h>

#include "tests/system/stack/polkit_rule.hpp"
#include "tests/system/stack/stack_fixture.hpp"

namespace recap::test {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::uint32_t kNobody = 65534;

class TenantsTest : public StackTest {
protected:
    void TearDown() override {
        std::filesystem::remove(dropIn());
        reload();
    }
    static std::filesystem::path dropIn() { return Stack::get().folder("RECAP_CONFIG_DIR") / "recapd.toml.d/50-tenants.toml"; }
    static void reload() {
        const CommandResult reloaded = Stack::get().reload();
        EXPECT_TRUE(reloaded.ok()) << reloaded.all();
    }
    // The targets' tenant is "shop", and who is of which.
    static void keep(const std::string& callers) {
        std::filesystem::create_directories(dropIn().parent_path());
        writeFile(dropIn(), "[[tenants.target]]\ntenant = \"shop\"\nbackend = \"process\"\n" + callers);
        ASSERT_EQ(::chmod(dropIn().c_str(), 0644), 0);
        reload();
    }
    static CommandResult asNobody(std::vector<std::string> words) { return Stack::get().ctl(std::move(words), kNobody); }
    bool nobodyRuns() const { return asNobody({"run", "t-payload", target(), "--", "exit", "5"}).status == 5; }
};

TEST_F(TenantsTest, ATargetIsForItsTenantsUsersOnly) {
    const PolkitRule rule{"\"org.recap1.run\", \"org.recap1.read-output\""};
    ASSERT_TRUE(waitUntil([&] { return nobodyRuns(); }, Deadline{kPatience}));
    keep("[[tenants.caller]]\nuser = \"nobody\"\ntenants = [\"other\"]\n");
    for (const char* verb : {"run", "plan"}) {
        const CommandResult refused = asNobody({verb, "t-payload", target()});
        EXPECT_EQ(refused.status, 125) << verb << refused.all();
        EXPECT_THAT(refused.err, AllOf(HasSubstr("is tenant shop's, and uid 65534 is of other"), HasSubstr("tenants.caller"))) << verb;
    }
    const json listed = Stack::get().ctlJson({"targets"});
    EXPECT_THAT(listed.dump(), HasSubstr("\"tenant\":\"shop\""));
    const json report = Stack::get().run("t-payload", target(), {"arguments", "secret"});
    EXPECT_EQ(report.at("outcome"), "succeeded") << "root is of every tenant" << report.dump(2);
    for (const char* verb : {"logs", "show"}) EXPECT_EQ(asNobody({verb, report.at("id")}).out.find("secret"), std::string::npos) << verb;
    EXPECT_THAT(asNobody({"logs", report.at("id")}).err, HasSubstr("is tenant shop's"));
    keep("[[tenants.caller]]\ngroup = \"nogroup\"\ntenants = [\"shop\"]\n");
    EXPECT_TRUE(nobodyRuns()) << "by the group";
    EXPECT_THAT(asNobody({"logs", report.at("id")}).out, HasSubstr("secret"));
}

TEST_F(TenantsTest, WhatIsNobodysIsRootsWhereTenantsAreKept) {
    const PolkitRule rule{"\"org.recap1.run\", \"org.recap1.read-output\""};
    ASSERT_TRUE(waitUntil([&] { return nobodyRuns(); }, Deadline{kPatience}));
    std::filesystem::create_directories(dropIn().parent_path());
    writeFile(dropIn(), "[[tenants.target]]\ntenant = \"shop\"\ncgroup = \"/nowhere\"\n");
    ASSERT_EQ(::chmod(dropIn().c_str(), 0644), 0);
    reload();
    EXPECT_THAT(asNobody({"run", "t-payload", target()}).err,
                HasSubstr("is no tenant's, which leaves it to root, and uid 65534 is of no tenant"));
    EXPECT_EQ(Stack::get().run("t-payload", target(), {"exit"}).at("outcome"), "succeeded");
}

TEST_F(TenantsTest, WhoIsNotThereIsToldAndIsNobody) {
    const PolkitRule rule{"\"org.recap1.run\", \"org.recap1.manage-images\""};
    ASSERT_TRUE(waitUntil([&] { return nobodyRuns(); }, Deadline{kPatience}));
    std::filesystem::create_directories(dropIn().parent_path());
    writeFile(dropIn(),
              "[[tenants.target]]\ntenant = \"shop\"\nbackend = \"process\"\n"
              "[[tenants.caller]]\nuser = \"no-such-user\"\ntenants = [\"shop\"]\n");
    ASSERT_EQ(::chmod(dropIn().c_str(), 0644), 0);
    const CommandResult told = Stack::get().reload();
    EXPECT_THAT(told.err, HasSubstr("this host has no user 'no-such-user'"));
    EXPECT_THAT(asNobody({"run", "t-payload", target()}).err, HasSubstr("is tenant shop's, and uid 65534 is of no tenant"));
    EXPECT_THAT(asNobody({"image", "remove", "test/payload:1"}).err, HasSubstr("shared by all tenants, which leaves them to root"));
}

// A run is judged by whose its target is by now, too: its own caller is no exception.
TEST_F(TenantsTest, ARunOfBeforeIsOutOfItsCallersReach) {
    const PolkitRule rule{"\"org.recap1.run\", \"org.recap1.read-output\""};
    ASSERT_TRUE(waitUntil([&] { return nobodyRuns(); }, Deadline{kPatience}));
    const CommandResult started = asNobody({"run", "--detach", "t-payload", target(), "--", "rest"});
    ASSERT_TRUE(started.ok()) << started.all();
    const std::string run = trimmed(started.out);
    keep("[[tenants.caller]]\nuser = \"nobody\"\ntenants = [\"other\"]\n");
    EXPECT_THAT(asNobody({"logs", run}).err, HasSubstr("uid 65534 is of other"));
    EXPECT_THAT(asNobody({"stop", run}).err, HasSubstr("uid 65534 is of other"));
    EXPECT_TRUE(Stack::get().ctl({"stop", "--now", run}).ok());
    expectClean(Stack::get().waitForEnd(run));
}

}  // namespace
}  // namespace recap::test
