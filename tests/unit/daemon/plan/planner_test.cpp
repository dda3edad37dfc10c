// SPDX-License-Identifier: Apache-2.0
#include "daemon/plan/planner.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/daemon/plan/folders.hpp"

using namespace recap;
using namespace recap::plan;
using namespace std::chrono_literals;
using recap::test::capsuleText;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::Not;

namespace recap {

// The images room's own is tested there; this one knows /bin.
Result<std::string> findExecutable(const Image& image, std::string_view command, std::string_view) {
    const std::string path = command.starts_with('/') ? std::string(command) : "/bin/" + std::string(command);
    if (image.files.contains(path)) return path;
    return fail(Errc::NotFound, "no program '" + std::string(command) + "' in image " + image.digest.substr(0, 12));
}

}  // namespace recap

namespace {

class OneImage : public ImageIndex {
public:
    OneImage() {
        image.digest = std::string(64, 'a');
        image.references = {"recap/a:1"};
        image.layers = {std::string(64, 'b')};
        image.architecture = "amd64";
        image.entrypoint = {"tool"};
        image.cmd = {"--help"};
        image.env = {"PATH=/bin", "LANG=C", "broken"};
        image.workdir = "/work";
        image.files["/bin/tool"] = {};
        image.admitted = true;
    }
    Result<const Image*> find(std::string_view reference) const override {
        if (reference.substr(0, reference.find('@')) == "recap/a:1") return &image;
        return fail(Errc::NotFound, "no image");
    }
    std::vector<const Image*> list() const override { return {&image}; }

    Image image;
};

class PlannerTest : public testing::Test {
protected:
    PlannerTest() {
        scratch_.writePolicies();
        EXPECT_TRUE(policies_.reload());
        target_.id = {"docker", "3f2a"};
        target_.name = "web";
        target_.pid = 4242;
        target_.labels = {{"app", "nginx"}, {"tier", "front"}};
        target_.facts = TargetFacts{};
        target_.facts->uid = 101;
        target_.facts->gid = 102;
        target_.facts->groups = {7, 8};
        request_.capsule = "a";
    }

    Result<RunPlan> plan(const std::string& more = "", const std::string& capsule = "") {
        scratch_.write("etc/capsules/a.toml", capsuleText("a", more, capsule));
        const auto loaded = capsules_.reload();
        EXPECT_TRUE(loaded) << loaded.error().message;
        return planner_.plan("01J00000000000000000000000", request_, target_);
    }
    Error refusal(const std::string& more = "", const std::string& capsule = "") {
        auto planned = plan(more, capsule);
        EXPECT_FALSE(planned) << "was planned";
        return planned ? Error{Errc::None, ""} : planned.error();
    }

    test::ScratchFolders scratch_;
    SyscallTable table_;
    OneImage images_;
    PolicyFiles policies_{scratch_.folders(), table_};
    CapsuleFiles capsules_{scratch_.folders(), policies_, table_};
    CapsulePlanner planner_{capsules_, policies_, table_, images_};
    Target target_;
    RunRequest request_;
};

}  // namespace

TEST_F(PlannerTest, OnlyRuntimesOfThisKernelAreJoined) {
    for (const char* known : {"", "runc", "crun", "io.containerd.runc.v2", "/usr/sbin/runc", "process", "nvidia"}) {
        target_.runtime = known;
        const auto planned = plan();
        EXPECT_TRUE(planned) << known << ": " << planned.error().message;
    }
    for (const char* other : {"io.containerd.kata.v2", "kata-qemu", "runsc", "io.containerd.runsc.v1", "aws.firecracker"}) {
        target_.runtime = other;
        EXPECT_EQ(refusal().code, Errc::NotSupported) << other;
        EXPECT_EQ(refusal().message, std::string("target docker:3f2a is kept by the runtime '") + other +
                                         "' behind a kernel of its own: this host has no processes of it that a capsule could join");
    }
    target_.runtime = "mine";
    EXPECT_EQ(refusal().code, Errc::NotSupported);
    EXPECT_THAT(refusal().message, HasSubstr("runtimes = [\"mine\"] in [plugins.docker] says so"));
    Settings settings;
    settings.plugins = {{"docker", "docker", {}, {}, {"mine"}}};
    planner_.configure(settings);
    EXPECT_TRUE(plan());
}

TEST_F(PlannerTest, APausedTargetIsRefusedByName) {
    target_.state = TargetState::Paused;
    EXPECT_EQ(refusal().code, Errc::Denied);
    EXPECT_EQ(refusal().message, "target docker:3f2a is paused: unpause it, then run the capsule");
    target_.state = TargetState::Stopped;
    EXPECT_EQ(refusal().message, "target docker:3f2a is not running");
}

TEST_F(PlannerTest, DecidesEverything) {
    request_.args = {"-x", "a\nb"};
    const auto planned = plan(
        "[sandbox]\nnamespaces = [\"net\"]\nprocesses = \"observe\"\nview = \"read-only\"\n[output]\nartifacts = \"/out\"\nkeep = \"1d\"\n",
        "env = { LANG = \"de\", X = \"1\" }");
    ASSERT_TRUE(planned) << planned.error().message;
    EXPECT_EQ(planned->id, "01J00000000000000000000000");
    EXPECT_EQ(planned->executable, "/bin/tool");
    EXPECT_THAT(planned->argv, ElementsAre("tool", "-v", "-x", "a\nb"));
    EXPECT_THAT(planned->env, ElementsAre("LANG=de", "PATH=/bin", "RECAP_ARTIFACTS=/out", "RECAP_CAPSULE=a",
                                          "RECAP_RUN_ID=01J00000000000000000000000", "RECAP_TARGET=docker:3f2a", "RECAP_TARGET_NAME=web",
                                          "RECAP_TARGET_ROOT=/target", "RECAP_TRIGGER=on-demand", "X=1"));
    EXPECT_EQ(planned->workdir, "/work");
    EXPECT_EQ(planned->uid, 101u);
    EXPECT_EQ(planned->gid, 102u);
    EXPECT_THAT(planned->groups, ElementsAre(7u, 8u));
    EXPECT_EQ(planned->sandbox.namespaces, 2u);
    EXPECT_EQ(planned->sandbox.capabilities, 0u);
    EXPECT_EQ(planned->sandbox.limits, (Limits{256u << 20, 1000, 128, 64u << 20, 5min}));
    EXPECT_EQ(planned->sandbox.artifactsMax, 64u << 20);
    EXPECT_EQ(planned->imageDigest, images_.image.digest);
    EXPECT_EQ(planned->layers, images_.image.layers);
    EXPECT_EQ(planned->artifacts, "/out");
    EXPECT_EQ(planned->artifactsKeep, 24h);
    EXPECT_FALSE(planned->filter.empty());
    EXPECT_GT(planned->grace.count(), 0);
    EXPECT_GT(planned->planned, 0u);
    EXPECT_THAT(planned->narrowed, IsEmpty());
}

TEST_F(PlannerTest, SaysWhereTheTargetsFilesAreWhereTheyAreBelowAFolder) {
    const auto told = [&](const std::string& view) {
        const auto planned = plan("[sandbox]\npolicy = \"trusted\"\nreason = \"a test\"\nview = " + view);
        EXPECT_TRUE(planned) << planned.error().message;
        return std::ranges::count(planned->env, "RECAP_TARGET_ROOT=/target");
    };
    EXPECT_EQ(told("\"read-only\""), 1);
    EXPECT_EQ(told("\"write\"\nwrites = [\"/var/log\"]"), 1);
    EXPECT_EQ(told("\"merged\""), 0);
    EXPECT_EQ(told("\"none\""), 0);
}

TEST_F(PlannerTest, ArgumentsDoWhatTheManifestSays) {
    request_.args = {"x"};
    EXPECT_THAT(plan("", "args = \"append\"")->argv, ElementsAre("tool", "-v", "x"));
    EXPECT_THAT(plan("", "args = \"replace\"")->argv, ElementsAre("tool", "x"));
    EXPECT_EQ(refusal("", "args = \"refuse\"").code, Errc::InvalidArgument);
    request_.args = {};
    EXPECT_THAT(plan("", "args = \"replace\"")->argv, ElementsAre("tool", "-v"));
    EXPECT_TRUE(plan("", "args = \"refuse\""));
    scratch_.write("etc/capsules/b.toml", "manifest = 1\n[capsule]\nname = \"b\"\nimage = \"recap/a:1\"\nargs = \"replace\"\n");
    ASSERT_TRUE(capsules_.reload());
    request_.capsule = "b";
    EXPECT_THAT(planner_.plan("id", request_, target_)->argv, ElementsAre("tool", "--help")) << "the image's own";
    request_.args = {"y"};
    EXPECT_THAT(planner_.plan("id", request_, target_)->argv, ElementsAre("tool", "y"));
}

TEST_F(PlannerTest, RefusesWhatIsTooLongForAPlan) {
    request_.args = {std::string(200'000, 'x')};
    EXPECT_EQ(refusal().code, Errc::LimitExceeded);
    request_.args = std::vector<std::string>(2000, "x");
    EXPECT_EQ(refusal().code, Errc::LimitExceeded);
}

TEST_F(PlannerTest, TakesOnlyTheTargetsThatTheManifestIsFor) {
    EXPECT_TRUE(plan("[target]\nselector = { app = \"nginx\" }\nbackends = [\"docker\"]"));
    EXPECT_THAT(refusal("[target]\nselector = { app = \"redis\" }").message,
                HasSubstr("target docker:3f2a has label app = nginx; capsule 'a' is for targets with app=redis"));
    EXPECT_EQ(refusal("[target]\nselector = { x = \"y\" }").code, Errc::Denied);
    EXPECT_THAT(refusal("[target]\nbackends = [\"containerd\"]").message,
                HasSubstr("is for targets of containerd (target.backends), not of docker"));
    const auto expression = [](const std::string& text) { return "[target]\nexpressions = [" + text + "]"; };
    EXPECT_TRUE(plan(
        expression("{ key = \"tier\", op = \"in\", values = [\"front\", \"back\"] }, { key = \"x\", op = \"!=\", values = [\"y\"] }")));
    for (const std::string wrong :
         {"{ key = \"tier\", op = \"notin\", values = [\"front\"] }", "{ key = \"x\", op = \"exists\" }",
          "{ key = \"tier\", op = \"=\", values = [\"back\"] }", "{ key = \"tier\", op = \"!=\", values = [\"front\"] }"})
        EXPECT_EQ(refusal(expression(wrong)).code, Errc::Denied) << wrong;
}

TEST_F(PlannerTest, RefusesWhatIsNotOnDemandOrNotThere) {
    const std::string scheduled = "[schedule]\non-demand = false\n[schedule.periodic]\nevery = \"1h\"";
    EXPECT_EQ(refusal(scheduled).code, Errc::Denied);
    request_.trigger = Trigger::Periodic;
    EXPECT_TRUE(plan(scheduled));
    target_.state = TargetState::Stopped;
    EXPECT_EQ(refusal().code, Errc::TargetGone);
    request_.capsule = "nobody";
    EXPECT_EQ(refusal().code, Errc::NotFound);
}

TEST_F(PlannerTest, RunsAdmittedImagesOfThisMachineOnly) {
    images_.image.admitted = false;
    EXPECT_EQ(refusal().code, Errc::NotAdmitted);
    images_.image.admitted = true;
    images_.image.architecture = "arm64";
    EXPECT_THAT(refusal().message, HasSubstr("image recap/a:1 is for arm64, this machine is amd64"));
    images_.image.architecture = "amd64";
    const auto pinned = [](char digit) {
        return "manifest = 1\n[capsule]\nname = \"a\"\ncommand = [\"tool\"]\nimage = \"recap/a:1@sha256:" + std::string(64, digit) + "\"\n";
    };
    scratch_.write("etc/capsules/a.toml", pinned('c'));
    ASSERT_TRUE(capsules_.reload());
    EXPECT_THAT(planner_.plan("id", request_, target_).error().message, HasSubstr("pins image recap/a:1@sha256:ccc"));
    scratch_.write("etc/capsules/a.toml", pinned('a'));
    ASSERT_TRUE(capsules_.reload());
    EXPECT_TRUE(planner_.plan("id", request_, target_));
    scratch_.write("etc/capsules/b.toml", capsuleText("b"));
    ASSERT_TRUE(capsules_.reload());
    request_.capsule = "b";
    EXPECT_THAT(planner_.plan("id", request_, target_).error().message, HasSubstr("image recap/b:1 of capsule 'b' is not imported"));
}

TEST_F(PlannerTest, RefusesAProgramThatTheImageLacks) {
    images_.image.files.clear();
    EXPECT_THAT(refusal().message, HasSubstr("no program 'tool'"));
}

TEST_F(PlannerTest, WhoIsOfAnotherTenantIsRefused) {
    Settings settings;
    settings.tenants = Tenants({{"shop", "docker", "", {}}}, {{1000, {}, {"shop"}}, {1001, {}, {"lab"}}});
    planner_.configure(settings);
    request_.caller.uid = 1000;
    ASSERT_TRUE(plan());
    EXPECT_EQ(plan()->tenant, "shop") << "which its run goes on being";
    request_.caller.uid = 0;
    EXPECT_TRUE(plan());
    request_.caller.uid = 1001;
    EXPECT_EQ(refusal().code, Errc::AccessDenied);
    EXPECT_THAT(refusal().message, HasSubstr("target docker:3f2a is tenant shop's, and uid 1001 is of lab"));
    target_.id.backend = "process";
    EXPECT_THAT(refusal().message, HasSubstr("is no tenant's, which leaves it to root"));
}

TEST_F(PlannerTest, NeverJoinsOrShowsTheHost) {
    target_.facts->hostNamespaces = 2;
    EXPECT_TRUE(plan());
    EXPECT_THAT(refusal("[sandbox]\nnamespaces = [\"net\", \"uts\"]").message,
                HasSubstr("target docker:3f2a has the host's net namespace: the run would join the host's"));
    target_.facts->hostNamespaces = 1;
    EXPECT_TRUE(plan("[sandbox]\nnamespaces = [\"net\"]"));
    EXPECT_EQ(refusal("[sandbox]\nprocesses = \"observe\"").code, Errc::Denied);
    target_.facts->hostNamespaces = 128;
    EXPECT_EQ(refusal("[sandbox]\nview = \"read-only\"").code, Errc::Denied);
}

TEST_F(PlannerTest, WhatTheCeilingAllowsOfTheHostIsPlanned) {
    HostBounds bounds;
    planner_.boundBy([&] { return bounds; });
    target_.facts->hostNamespaces = 2 | 16;
    const std::string joins = "[sandbox]\nnamespaces = [\"net\"]\n";
    EXPECT_THAT(refusal(joins).message, HasSubstr("host-namespaces in /etc/recap/ceiling.toml would have to allow it"));
    bounds.namespaces = 2;
    EXPECT_EQ(refusal(joins).code, Errc::NotSupported);
    bounds.scoped = true;
    const auto planned = plan(joins);
    ASSERT_TRUE(planned);
    EXPECT_THAT(planner_.describe(*planned), testing::Contains(HasSubstr("the host's own namespaces: net")));
    const std::string captures = joins + "capabilities = [\"CAP_NET_RAW\"]\npolicy = \"trusted\"\nreason = \"raw sockets\"\n";
    EXPECT_THAT(refusal(captures).message, HasSubstr("has not CAP_NET_RAW, and a capsule in the host's net namespace has no more"));
    target_.facts->capEffective = 1ull << 13;
    EXPECT_TRUE(plan(captures));
    target_.facts->hostNamespaces |= 128;
    EXPECT_THAT(refusal(joins).message, HasSubstr("has the host's files, so it is no container"));
    target_.facts->hostNamespaces = 2 | 16;
    EXPECT_TRUE(plan(joins + "user = \"65534:65534\"\npolicy = \"trusted\"\n"));
    EXPECT_THAT(refusal(joins + "user = \"26:26\"\npolicy = \"trusted\"\n").message, HasSubstr("target docker:3f2a's own user, or 65534"));

    target_.facts->hostNamespaces = 1 | 16;
    const std::string observes = "[sandbox]\nprocesses = \"observe\"\n";
    EXPECT_THAT(refusal(observes).message, HasSubstr("the run would see the host's processes; host-namespaces in /etc/recap"));
    bounds.namespaces = 1;
    EXPECT_TRUE(plan(observes));
    EXPECT_THAT(refusal("[sandbox]\nprocesses = \"join\"\npolicy = \"trusted\"\n").message, HasSubstr("does not go with the host's pid"));

    bounds.namespaces = ~0u;
    target_.facts->hostNamespaces = 128 | 16;
    EXPECT_THAT(refusal("[sandbox]\nview = \"read-only\"").message, HasSubstr("would see the host's files; only a target with its own"));
    EXPECT_THAT(refusal("[sandbox]\nnamespaces = [\"user\"]\npolicy = \"trusted\"\n").message, HasSubstr("host's user namespace"));
}

TEST_F(PlannerTest, AmongTheTargetsFilesNoMoreCapabilitiesThanTheTargets) {
    const std::string merged = "[sandbox]\npolicy = \"trusted\"\nview = \"merged\"\n";
    const std::string captures = merged + "capabilities = [\"CAP_NET_RAW\"]\nreason = \"raw sockets\"\n";
    EXPECT_TRUE(plan(merged));
    target_.facts->hostNamespaces = 16;
    target_.facts->capEffective = 1ull << 12;
    EXPECT_EQ(refusal(captures).code, Errc::Denied);
    EXPECT_THAT(refusal(captures).message, HasSubstr("target docker:3f2a has not CAP_NET_RAW, and a capsule among its files"));
    target_.facts->capEffective |= 1ull << 13;
    EXPECT_TRUE(plan(captures));
    target_.facts->hostNamespaces = 0;
    EXPECT_THAT(refusal(captures).message, HasSubstr("outside its own user namespace"));
}

TEST_F(PlannerTest, TellsWhatHappenedAndWhereAllOfItCanBeRead) {
    EXPECT_THAT(plan()->env, Not(Contains(HasSubstr("RECAP_EVENT"))));
    request_.trigger = Trigger::Event;
    request_.occurrence =
        std::make_shared<const Occurrence>(Occurrence{"run-finished", 1767225600000000, "x", {{"exit-code", "3"}, {"run", "a=b\nc"}}});
    EXPECT_THAT(plan()->env, IsSupersetOf({"RECAP_TRIGGER=event", "RECAP_EVENT=run-finished", "RECAP_EVENT_TIME=1767225600000000",
                                           "RECAP_EVENT_EXIT_CODE=3", "RECAP_EVENT_RUN=a=b\nc", "RECAP_EVENT_FD=0"}));
    EXPECT_THAT(plan("", "tty = true")->env, AllOf(Contains("RECAP_EVENT=run-finished"), Not(Contains("RECAP_EVENT_FD=0"))));
    request_.openStdin = true;
    EXPECT_THAT(plan()->env, Not(Contains("RECAP_EVENT_FD=0")));
    request_.openStdin = false;
    request_.stdio[0] = std::make_shared<UniqueFd>();
    EXPECT_THAT(plan()->env, Not(Contains("RECAP_EVENT_FD=0"))) << "that is something else";
}

TEST_F(PlannerTest, PlansWhatACallerChoseAsIfTheManifestSaidIt) {
    const std::string adjustable = "[sandbox]\npolicy = \"shell\"\nview = \"merged\"\nadjustable = [\"view\", \"user\", \"image\"]\n";
    EXPECT_EQ(plan(adjustable)->sandbox.view, View::Merged);
    request_.adjustments.view = "read-only";
    EXPECT_EQ(plan(adjustable)->sandbox.view, View::ReadOnly);
    EXPECT_EQ(refusal("[sandbox]\nview = \"merged\"").code, Errc::Denied);
    request_.adjustments = {.user = "root"};
    EXPECT_EQ(plan(adjustable)->uid, 0u);
    EXPECT_THAT(refusal("[sandbox]\nadjustable = [\"user\"]").message, HasSubstr("policy default: user \"root\" is not allowed"));
    request_.adjustments = {.image = "recap/a:1"};
    EXPECT_THAT(plan(adjustable)->argv, ElementsAre("tool", "--help")) << "the image's own, not the manifest's";
    request_.args = {"tool", "-x"};
    EXPECT_THAT(plan(adjustable)->argv, ElementsAre("tool", "-x")) << "all of it";
    request_.adjustments.image = "recap/none:1";
    EXPECT_THAT(refusal(adjustable).message, HasSubstr("image recap/none:1 of capsule 'a' is not imported"));
    request_.adjustments = {};
    EXPECT_EQ(plan(adjustable)->sandbox.view, View::Merged) << "one run's choice is no other's";
}

TEST_F(PlannerTest, GivesATerminalWhereItIsAskedForAndNothingIsGiven) {
    const auto tty = [&](const std::string& capsule = "") {
        const auto planned = plan("", capsule);
        EXPECT_EQ(std::ranges::count(planned->env, "TERM=xterm"), planned->tty ? 1 : 0);
        return planned->tty;
    };
    EXPECT_FALSE(tty());
    EXPECT_TRUE(tty("tty = true"));
    request_.stdio[1] = std::make_shared<UniqueFd>();
    EXPECT_FALSE(tty("tty = true")) << "whoever gives a pipe wants the bytes as they are";
    request_.tty = true;
    EXPECT_TRUE(tty());
    request_.stdio = {};
    request_.tty = false;
    EXPECT_FALSE(tty("tty = true"));
    request_.tty.reset();
    request_.openStdin = true;
    EXPECT_FALSE(tty("tty = true"));
}

TEST_F(PlannerTest, TakesAManifestsIdsForThoseOfAJoinedUserNamespace) {
    const std::string asked = "[sandbox]\nnamespaces = [\"user\"]\npolicy = \"trusted\"\nuser = ";
    target_.facts->uidMap = {{0, 100'000, 1000}};
    target_.facts->gidMap = {{0, 200'000, 1000}};
    const auto root = plan(asked + "\"root\"");
    ASSERT_TRUE(root) << root.error().message;
    EXPECT_EQ(root->uid, 100'000u);
    EXPECT_EQ(root->gid, 200'000u);
    const auto ids = plan(asked + "\"5:7\"");
    ASSERT_TRUE(ids) << ids.error().message;
    EXPECT_EQ(ids->uid, 100'005u);
    EXPECT_EQ(ids->gid, 200'007u);
    EXPECT_THAT(refusal(asked + "\"5:1000\"").message, HasSubstr("gid 1000 does not exist in the target's user namespace"));
    EXPECT_EQ(plan(asked + "\"target\"")->uid, 101u) << "the host's number already";
}

TEST_F(PlannerTest, ResolvesUsersToNumbers) {
    const auto planned = plan("[sandbox]\nuser = \"1000:2000\"");
    EXPECT_EQ(planned->uid, 1000u);
    EXPECT_EQ(planned->gid, 2000u);
    EXPECT_THAT(planned->groups, IsEmpty());
    const auto root = plan("[sandbox]\nuser = \"root\"\npolicy = \"network-debug\"");
    EXPECT_EQ(root->uid, 0u);
    EXPECT_THAT(root->groups, IsEmpty());
    EXPECT_THAT(refusal("[sandbox]\nuser = \"root\"").message, HasSubstr("policy default: user \"root\" is not allowed"));
}

TEST_F(PlannerTest, SaysWhereTheTargetMayTraceTheCapsule) {
    const auto traced = [&](const std::string& sandbox) {
        const auto planned = plan("[sandbox]\npolicy = \"trusted\"\nreason = \"a test\"\n" + sandbox);
        EXPECT_TRUE(planned) << planned.error().message;
        const auto words = planner_.describe(*planned);
        EXPECT_EQ(std::ranges::count(words, "the target may trace it: its word is not to be trusted"), targetMayTrace(*planned) ? 1 : 0);
        return targetMayTrace(*planned);
    };
    target_.facts->uidMap = target_.facts->gidMap = {{0, 100'000, 65'536}};
    EXPECT_TRUE(traced("processes = \"join\""));
    EXPECT_TRUE(traced("processes = \"join\"\nuser = \"101:5\""));
    EXPECT_TRUE(traced("processes = \"join\"\nuser = \"root\"\nnamespaces = [\"user\"]"));
    EXPECT_FALSE(traced("processes = \"join\"\nuser = \"root\""));
    EXPECT_FALSE(traced("processes = \"join\"\nuser = \"102:101\""));
    EXPECT_FALSE(traced("processes = \"observe\""));
    EXPECT_FALSE(traced("processes = \"observe\"\nnamespaces = [\"user\"]"));
    EXPECT_FALSE(traced("namespaces = [\"net\"]"));
}

TEST_F(PlannerTest, ACallerCanOnlyShortenTheTime) {
    request_.timeout = 10s;
    EXPECT_EQ(plan()->sandbox.limits.timeout, 10s);
    request_.timeout = 10h;
    const auto planned = plan("[limits]\ntimeout = \"30s\"");
    EXPECT_EQ(planned->sandbox.limits.timeout, 30s);
    ASSERT_EQ(planned->narrowed.size(), 1u);
    EXPECT_EQ(planned->narrowed[0].what, "timeout: the caller's 10h narrowed to 30s");
}

TEST_F(PlannerTest, EveryPolicyNarrowsAndIsNamed) {
    Settings settings;
    settings.policies = {"nonetwork"};
    settings.grace = 3s;
    planner_.configure(settings);
    const auto planned = plan(
        "[sandbox]\npolicy = \"network-debug\"\nnamespaces = [\"net\", \"uts\"]\ncapabilities = [\"CAP_NET_RAW\", "
        "\"CAP_SYS_ADMIN\"]\n[limits]\nmemory = \"8G\"");
    ASSERT_TRUE(planned) << planned.error().message;
    EXPECT_EQ(planned->sandbox.namespaces, 8u);
    EXPECT_EQ(planned->sandbox.capabilities, 0u);
    EXPECT_FALSE(planned->sandbox.syscalls.contains("socket"));
    EXPECT_EQ(planned->grace, 3s);
    const auto words = planner_.describe(*planned);
    EXPECT_THAT(words, Contains("narrowed by network-debug: capabilities: CAP_SYS_ADMIN not given"));
    EXPECT_THAT(words, Contains("narrowed by network-debug: memory: 8 GiB narrowed to 1 GiB"));
    EXPECT_THAT(words, Contains("narrowed by nonetwork: namespaces: net not joined"));
    EXPECT_THAT(words, Contains("narrowed by nonetwork: capabilities: CAP_NET_RAW not given"));
    EXPECT_THAT(words, Contains("joins the target's namespaces: uts"));
    EXPECT_THAT(words, Contains("runs as uid 101, gid 102 (user = \"target\")"));
    EXPECT_THAT(words, Contains("holds no capability"));
    settings.policies = {"lax"};
    planner_.configure(settings);
    EXPECT_THAT(refusal().message, HasSubstr("policies of recapd.toml: no policy 'lax'"));
}

TEST_F(PlannerTest, AReloadedPolicyOrCapsuleCountsAtOnce) {
    EXPECT_EQ(plan()->sandbox.limits.pids, 128u);
    EXPECT_EQ(plan("[limits]\npids = 5")->sandbox.limits.pids, 5u);
    std::filesystem::create_directories(scratch_.path("etc/policies"));
    std::ifstream strict(scratch_.path("vendor/policies/strict.toml"));
    std::string text((std::istreambuf_iterator<char>(strict)), {});
    text.replace(text.find("name = \"strict\""), 15, "name = \"default\"");
    scratch_.write("etc/policies/default.toml", text);
    ASSERT_TRUE(policies_.reload());
    EXPECT_EQ(plan()->sandbox.limits.pids, 32u);
    EXPECT_FALSE(plan()->sandbox.syscalls.contains("socket"));
}
