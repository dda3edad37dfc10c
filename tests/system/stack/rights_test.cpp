// SPDX-License-Identifier: Apache-2.0
// Who may: root by its bus credentials, everybody else through polkit. And what the daemons themselves are.
#include "tests/system/stack/polkit_rule.hpp"
#include "tests/system/stack/stack_fixture.hpp"

namespace recap::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::uint32_t kNobody = 65534;

class Rights : public StackTest {
protected:
    CommandResult asNobody(std::vector<std::string> arguments) { return Stack::get().ctl(std::move(arguments), kNobody); }
    bool nobodyRuns() { return asNobody({"run", "t-payload", target(), "--", "exit", "5"}).status == 5; }
};

TEST_F(Rights, TheDaemonIsNobodyInParticularAndCanBecomeNobodyElse) {
    const auto status = statusOf(Stack::get().pid("recapd.service"));
    EXPECT_EQ(status.at("Uid").find("0\t"), std::string::npos) << status.at("Uid");
    for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) EXPECT_EQ(status.at(set), "0000000000000000") << set;
    EXPECT_EQ(status.at("NoNewPrivs"), "1");
    EXPECT_EQ(status.at("Seccomp"), "2");
    EXPECT_EQ(status.at("Groups"), "");
}

TEST_F(Rights, AUserWithoutARuleIsDeniedByTheActionsName) {
    const json denied = Stack::get().ctlJson({"run", "t-payload", target(), "--", "exit"}, kNobody);
    EXPECT_EQ(denied.at("error").at("code"), "AccessDenied") << denied.dump();
    EXPECT_THAT(std::string(denied.at("error").at("message")), HasSubstr("org.recap1.run"));
    EXPECT_THAT(left(), IsEmpty());
}

TEST_F(Rights, AUserWithARuleMayJustThat) {
    const PolkitRule rule{"\"org.recap1.run\""};
    ASSERT_TRUE(waitUntil([&] { return nobodyRuns(); }, Deadline{kPatience}))
        << asNobody({"run", "t-payload", target(), "--", "exit"}).all();
    const TempDir folder;
    writeFile(folder.path() / "capsule.toml", manifestOf("t-theirs", "test/payload:1", "[\"/payload\"]", ""));
    EXPECT_EQ(asNobody({"capsule", "install", (folder.path() / "capsule.toml").string()}).status, 125);
    EXPECT_EQ(asNobody({"image", "remove", "test/payload:1"}).status, 125);
    Stack::get().install(manifestOf(
        "t-privileged", "test/payload:1", "[\"/payload\"]",
        "[sandbox]\nnamespaces = [\"net\"]\ncapabilities = [\"CAP_NET_RAW\"]\npolicy = \"network-debug\"\nreason = \"a test\"\n"));
    const CommandResult privileged = asNobody({"run", "t-privileged", target(), "--", "exit"});
    EXPECT_EQ(privileged.status, 125) << privileged.all();
    EXPECT_THAT(privileged.err, HasSubstr("org.recap1.run-privileged"));
    EXPECT_EQ(Stack::get().ctl({"run", "t-privileged", target(), "--", "exit", "9"}).status, 9);
    EXPECT_THAT(left(), IsEmpty());
}

// Typing into a run is doing what its capsule may: who may not run it does not come by it so.
TEST_F(Rights, WhoMayNotRunWhatIsPrivilegedDoesNotTypeIntoIt) {
    Stack::get().install(manifestOf(
        "t-privileged", "test/payload:1", "[\"/payload\"]",
        "[sandbox]\nnamespaces = [\"net\"]\ncapabilities = [\"CAP_NET_RAW\"]\npolicy = \"network-debug\"\nreason = \"a test\"\n"));
    const PolkitRule rule{"\"org.recap1.run\", \"org.recap1.read-output\""};
    ASSERT_TRUE(waitUntil([&] { return nobodyRuns(); }, Deadline{kPatience}));
    const std::string run = Stack::get().startDetached("t-privileged", target(), {"rest"});
    const CommandResult refused = asNobody({"attach", run});
    EXPECT_EQ(refused.status, 125) << refused.all();
    EXPECT_THAT(refused.err, HasSubstr("org.recap1.run-privileged"));
    EXPECT_TRUE(asNobody({"stop", "--now", run}).ok()) << "ending it is less";
    expectClean(Stack::get().waitForEnd(run));
    EXPECT_THAT(left(), IsEmpty());
}

TEST_F(Rights, OutputOfAnothersRunIsNotForEverybody) {
    const json report = Stack::get().run("t-payload", target(), {"arguments", "secret"});
    EXPECT_NE(asNobody({"logs", report.at("id")}).status, 0);
    EXPECT_EQ(asNobody({"logs", report.at("id")}).out, "");
}

TEST_F(Rights, AdmissionIsRootsOwnAndNeverThroughTheDaemon) {
    Stack& stack = Stack::get();
    image::FileList files = payloadFiles();
    files["unadmitted"].data = "an image of its own";
    stack.importImage("test/unadmitted:1", files, false);
    const auto digest = [&](bool admitted) {
        const json list = stack.ctlJson({"image", "list"});
        for (const json& row : list.at("images"))
            if (row.dump().find("test/unadmitted:1") != std::string::npos && row.at("state") == (admitted ? "admitted" : "imported"))
                return row.at("digest").get<std::string>();
        return std::string();
    };
    const std::string imported = digest(false);
    ASSERT_NE(imported, "") << stack.ctl({"image", "list"}).all();
    const auto admitAs = [&](std::optional<std::uint32_t> uid) {
        return test::run(Command{.argv = {(stack.folder("RECAP_LIBEXEC_DIR") / "recap-admit").string(), "--socket",
                                          stack.folder("RECAP_ADMIT_SOCKET").string(), imported},
                                 .uid = uid});
    };
    EXPECT_NE(admitAs(kNobody).status, 0);
    EXPECT_EQ(digest(false), imported);
    const CommandResult admitted = admitAs({});
    EXPECT_EQ(admitted.status, 0) << admitted.all();
    EXPECT_EQ(digest(true), imported);
}

}  // namespace
}  // namespace recap::test
