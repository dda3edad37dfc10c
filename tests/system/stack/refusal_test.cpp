// SPDX-License-Identifier: Apache-2.0
// Every refusal comes before any side effect, and says what, which value, and what would allow it.
#include <unistd.h>

#include <algorithm>

#include "tests/system/stack/stack_fixture.hpp"

namespace recap::test {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Refusal : public StackTest {
protected:
    void install(const std::string& name, const std::string& image, const std::string& command, const std::string& rest) {
        Stack::get().install(manifestOf(name, image, command, rest));
    }
    // recapctl's own failure, with all these words in its one sentence, and nothing different afterwards.
    void expectRefused(const std::string& capsule, const std::string& target, const std::vector<std::string>& words, int status = 125) {
        before_ = outside_->look();
        const CommandResult refused = Stack::get().ctl({"run", capsule, target, "--", "exit"});
        EXPECT_EQ(refused.status, status) << refused.all();
        EXPECT_EQ(refused.out, "");
        for (const std::string& word : words) EXPECT_THAT(refused.err, HasSubstr(word)) << refused.all() << Stack::get().logs();
        EXPECT_THAT(leftAfter(*outside_, before_), IsEmpty()) << "no log and no artifact either";
    }
};

TEST_F(Refusal, AnUnknownCapsule) { expectRefused("t-absent", target(), {"t-absent"}); }

TEST_F(Refusal, ATargetThatIsNotThere) {
    expectRefused("t-payload", "process:999999999", {"999999999"});
    expectRefused("t-payload", "no-such-container", {"no-such-container"});
    expectRefused("t-payload", "docker:web", {"docker"});
}

TEST_F(Refusal, ANameThatTwoTargetsHave) {
    const std::string name = "twin-" + std::to_string(::getpid());
    const MicroContainer one{{.name = name, .kind = "busybox", .runtimeRoot = kRuncRoot}};
    const TempDir elsewhere;
    const MicroContainer two{{.name = name, .kind = "busybox", .runtime = "crun", .runtimeRoot = "/run/crun"}, elsewhere.path()};
    const auto both = [&] {
        const json all = Stack::get().ctlJson({"targets"});
        return std::ranges::count_if(all.at("targets"), [&](const json& row) { return row.value("name", "") == name; }) == 2;
    };
    EXPECT_TRUE(waitUntil(both, Deadline{kPatience})) << Stack::get().ctl({"targets"}).all();
    expectRefused("t-payload", name, {name, "process:"});
}

TEST_F(Refusal, ATargetThatHasEnded) {
    std::string gone;
    {
        const MicroContainer other{{.kind = "busybox"}};
        gone = targetOf(other);
        EXPECT_EQ(Stack::get().ctl({"run", "t-payload", gone, "--", "exit", "2"}).status, 2);
    }
    expectRefused("t-payload", gone, {gone.substr(gone.find(':') + 1)});
}

TEST_F(Refusal, ATargetThatIsTheHost) {
    install("t-host-view", "test/payload:1", "[\"/payload\"]", "[sandbox]\nview = \"read-only\"\n");
    const std::string self = "process:" + std::to_string(::getpid());
    expectRefused("t-payload", self, {"host"});
    expectRefused("t-host-view", self, {"host"});
}

TEST_F(Refusal, ATargetInTheHostsNetworkByTheKeyThatWouldAllowIt) {
    const MicroContainer shares{{.kind = "busybox", .ofTheHost = {"network"}, .runtimeRoot = kRuncRoot}};
    const std::string it = targetOf(shares);
    ASSERT_TRUE(waitUntil([&] { return Stack::get().ctl({"run", "t-out", it, "--", "exit", "3"}).status == 3; }, Deadline{kPatience}));
    expectRefused("t-payload", it, {"has the host's net namespace", "host-namespaces in /etc/recap/ceiling.toml would have to allow it"});
    EXPECT_THAT(Stack::get().ctl({"plan", "t-payload", it}).err, HasSubstr("host-namespaces in /etc/recap/ceiling.toml"));
}

TEST_F(Refusal, AnImageThatIsMissing) {
    install("t-missing", "test/nowhere:3", "[\"/payload\"]", "");
    expectRefused("t-missing", target(), {"test/nowhere:3"});
}

TEST_F(Refusal, AnImageThatIsNotAdmittedByTheNameOfWhatAdmitsIt) {
    image::FileList files = payloadFiles();
    files["different"].data = "another image";
    Stack::get().importImage("test/unadmitted:1", files, false);
    install("t-unadmitted", "test/unadmitted:1", "[\"/payload\"]", "");
    expectRefused("t-unadmitted", target(), {"admitted", "recap-admit"});
}

TEST_F(Refusal, AnImageForAnotherArchitecture) {
    image::FileList files = payloadFiles();
    files["different"].data = "an image for arm64";
    Stack::get().importImage("test/arm:1", files, true, "arm64");
    install("t-arm", "test/arm:1", "[\"/payload\"]", "");
    expectRefused("t-arm", target(), {"arm64"});
}

TEST_F(Refusal, ACommandThatTheImageDoesNotHave) {
    install("t-command", "test/payload:1", "[\"/no/such/program\"]", "");
    expectRefused("t-command", target(), {"/no/such/program", "test/payload:1"}, 127);
}

TEST_F(Refusal, WhatTheCeilingDoesNotAllow) {
    install("t-ceiling", "test/payload:1", "[\"/payload\"]",
            "[sandbox]\nuser = \"0:0\"\npolicy = \"trusted\"\nreason = \"to be refused\"\n");
    expectRefused("t-ceiling", target(), {"root"});
}

TEST_F(Refusal, WhatThePolicyDoesNotAllow) {
    const TempDir folder;
    writeFile(folder.path() / "capsule.toml",
              manifestOf("t-policy", "test/payload:1", "[\"/payload\"]", "[sandbox]\nuser = \"1000:1000\"\npolicy = \"strict\"\n"));
    const CommandResult installed = Stack::get().ctl({"capsule", "install", (folder.path() / "capsule.toml").string()});
    EXPECT_EQ(installed.status, 125);
    EXPECT_THAT(installed.err, AllOf(HasSubstr("policy strict"), HasSubstr("1000"), HasSubstr("target")));
    expectRefused("t-policy", target(), {"t-policy"});
    install("t-elsewhere", "test/payload:1", "[\"/payload\"]", "[target]\nselector = { app = \"database\" }\n");
    expectRefused("t-elsewhere", target(), {"t-elsewhere", "database"});
}

// A policy narrows what can be narrowed, and says so.
TEST_F(Refusal, WhatAPolicyTakesAwayIsTakenAndTold) {
    install(
        "t-narrowed", "test/payload:1", "[\"/payload\"]",
        "[sandbox]\ncapabilities = [\"CAP_NET_ADMIN\"]\npolicy = \"default\"\nreason = \"to be narrowed\"\n[limits]\nmemory = \"2G\"\n");
    const CommandResult plan = Stack::get().ctl({"plan", "t-narrowed", target()});
    EXPECT_THAT(plan.out, AllOf(HasSubstr("CAP_NET_ADMIN"), HasSubstr("default"))) << plan.all();
    const json report = Stack::get().run("t-narrowed", target(), {"self"});
    EXPECT_THAT(std::string(report.value("stdout", "")), HasSubstr("effective: 0\n")) << report.dump(2);
}

TEST_F(Refusal, WhatThisVersionDoesNotDoYet) {
    install("t-disk", "test/payload:1", "[\"/payload\"]", "[output]\nartifacts = \"/out\"\nstorage = \"disk\"\n");
    expectRefused("t-disk", target(), {"storage", "disk"});
    install("t-verdict", "test/payload:1", "[\"/payload\"]", "[output]\nverdict = \"report\"\n");
    expectRefused("t-verdict", target(), {"verdict", "report"});
}

TEST_F(Refusal, AManifestWithATypoByLineAndNearestKey) {
    const TempDir folder;
    writeFile(folder.path() / "capsule.toml",
              manifestOf("t-typo", "test/payload:1", "[\"/payload\"]", "[sandbox]\nnamespace = [\"net\"]\n"));
    const CommandResult installed = Stack::get().ctl({"capsule", "install", (folder.path() / "capsule.toml").string()});
    EXPECT_EQ(installed.status, 125);
    EXPECT_THAT(installed.err, AllOf(HasSubstr("9"), HasSubstr("namespace"), HasSubstr("namespaces"))) << installed.all();
}

TEST_F(Refusal, ImportingSomethingThatIsNoImage) {
    const TempDir folder;
    writeFile(folder.path() / "not-an-archive", "text");
    const CommandResult imported = Stack::get().ctl({"image", "import", (folder.path() / "not-an-archive").string()});
    EXPECT_EQ(imported.status, 125) << imported.all();
    EXPECT_THAT(left(), IsEmpty());
}

TEST_F(Refusal, JsonErrorsAreJson) {
    const json refused = Stack::get().run("t-absent", target());
    EXPECT_EQ(refused.at("error").at("code"), "NotFound") << refused.dump();
    EXPECT_THAT(std::string(refused.at("error").at("message")), HasSubstr("t-absent"));
}

}  // namespace
}  // namespace recap::test
