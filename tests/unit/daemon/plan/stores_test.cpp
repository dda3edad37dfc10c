// SPDX-License-Identifier: Apache-2.0
// Capsules, policies and settings as files in folders that mask each other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/plan/capsules.hpp"
#include "daemon/plan/policies.hpp"
#include "daemon/plan/settings.hpp"
#include "sdk/manifest/files.hpp"
#include "tests/support/environment.hpp"
#include "tests/support/files.hpp"
#include "tests/unit/daemon/plan/folders.hpp"

using namespace recap;
using namespace recap::plan;
using recap::test::capsuleText;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

namespace {

class Stores : public testing::Test {
protected:
    Stores() {
        scratch_.writePolicies();
        EXPECT_TRUE(policies_.reload());
    }
    std::string description(const std::string& name) {
        const auto found = capsules_.find(name);
        return found ? (*found)->description : "error: " + found.error().message;
    }
    void writeCapsule(const std::string& where, const std::string& name, const std::string& description) {
        scratch_.write(where + "/capsules/" + name + ".toml", capsuleText(name, "", "description = \"" + description + "\""));
    }

    test::ScratchFolders scratch_;
    SyscallTable table_;
    PolicyFiles policies_{scratch_.folders(), table_};
    CapsuleFiles capsules_{scratch_.folders(), policies_, table_};
};

}  // namespace

TEST_F(Stores, StrongerFoldersMaskWeakerOnes) {
    for (const auto* where : {"vendor", "state", "run", "etc"}) {
        writeCapsule(where, "a", where);
        ASSERT_TRUE(capsules_.reload());
        EXPECT_EQ(description("a"), where);
    }
    EXPECT_EQ(capsules_.list().size(), 1u);
    EXPECT_EQ(capsules_.list()[0]->path, scratch_.path("etc/capsules/a.toml"));
}

TEST_F(Stores, ALinkToDevNullMasksAway) {
    writeCapsule("vendor", "a", "x");
    scratch_.mask("etc/capsules/a.toml");
    ASSERT_TRUE(capsules_.reload());
    EXPECT_THAT(description("a"), HasSubstr("no capsule 'a'"));
}

TEST_F(Stores, ABadFileKeepsTheOldVersionAndIsReported) {
    writeCapsule("etc", "a", "old");
    writeCapsule("etc", "b", "old");
    ASSERT_TRUE(capsules_.reload());
    const auto revision = (*capsules_.find("a"))->revision;
    scratch_.write("etc/capsules/a.toml", "manifest = 1\n[capsule]\nnmae = \"a\"\n");
    writeCapsule("etc", "b", "new");
    const auto reloaded = capsules_.reload();
    ASSERT_FALSE(reloaded);
    EXPECT_THAT(reloaded.error().message, HasSubstr("a.toml:3:1: capsule.nmae: unknown key; did you mean 'name'?"));
    EXPECT_EQ(description("a"), "old");
    EXPECT_EQ((*capsules_.find("a"))->revision, revision);
    EXPECT_THAT((*capsules_.find("a"))->problem, HasSubstr("capsule.nmae"));
    EXPECT_EQ(description("b"), "new") << "all or nothing is a file, not a folder";
}

TEST_F(Stores, ANewBadFileIsListedButNotFound) {
    scratch_.write("etc/capsules/a.toml", "nothing = 1");
    EXPECT_FALSE(capsules_.reload());
    ASSERT_EQ(capsules_.list().size(), 1u);
    EXPECT_NE(capsules_.list()[0]->problem, "");
    EXPECT_THAT(description("a"), HasSubstr("can't be read"));
}

TEST_F(Stores, AFileIsCalledAsItsCapsule) {
    scratch_.write("etc/capsules/a.toml", capsuleText("b"));
    EXPECT_THAT(capsules_.reload().error().message, HasSubstr("capsule.name is 'b'"));
    EXPECT_FALSE(capsules_.find("b"));
}

TEST_F(Stores, ARevisionChangesWithTheText) {
    writeCapsule("etc", "a", "x");
    ASSERT_TRUE(capsules_.reload());
    const auto first = (*capsules_.find("a"))->revision;
    ASSERT_TRUE(capsules_.reload());
    EXPECT_EQ((*capsules_.find("a"))->revision, first);
    writeCapsule("etc", "a", "y");
    ASSERT_TRUE(capsules_.reload());
    EXPECT_NE((*capsules_.find("a"))->revision, first);
}

TEST_F(Stores, InstallsDurablyAndRemoves) {
    const auto text = capsuleText("a", "", "description = \"x\"");
    const auto name = capsules_.install(text, false);
    ASSERT_TRUE(name) << name.error().message;
    EXPECT_EQ(*name, "a");
    EXPECT_EQ(*manifest::readText(scratch_.path("state/capsules/a.toml")), text);
    EXPECT_EQ(description("a"), "x");
    EXPECT_EQ(capsules_.install(text, false).error().code, Errc::AlreadyExists);
    ASSERT_TRUE(capsules_.install(capsuleText("a", "", "description = \"y\""), true));
    EXPECT_EQ(description("a"), "y");
    ASSERT_TRUE(capsules_.remove("a"));
    EXPECT_FALSE(capsules_.find("a"));
    EXPECT_EQ(capsules_.remove("a").error().code, Errc::NotFound);
    EXPECT_TRUE(std::filesystem::is_empty(scratch_.path("state/capsules")));
}

TEST_F(Stores, InstallsNothingThatIsWrong) {
    EXPECT_THAT(capsules_.install("manifest = 1", false).error().message, HasSubstr("capsule.toml:1:1: capsule: missing"));
    EXPECT_THAT(capsules_.install(capsuleText("a", "[sandbox]\npolicy = \"lax\""), false).error().message,
                HasSubstr("no policy 'lax'; there are: default, network-debug"));
    EXPECT_THAT(capsules_.install(capsuleText("a", "[sandbox.syscalls]\nallow = [\"raed\"]"), false).error().message,
                HasSubstr("no system call is called 'raed'"));
    EXPECT_EQ(capsules_.install(capsuleText("a", "[sandbox]\nuser = \"root\""), false).error().code, Errc::Denied);
    EXPECT_FALSE(std::filesystem::exists(scratch_.path("state/capsules/a.toml")));
}

TEST_F(Stores, InstallingBelowAMaskIsRefused) {
    writeCapsule("etc", "a", "x");
    ASSERT_TRUE(capsules_.reload());
    EXPECT_THAT(capsules_.install(capsuleText("a"), true).error().message, HasSubstr("masks what would be installed"));
    scratch_.mask("run/capsules/b.toml");
    EXPECT_FALSE(capsules_.install(capsuleText("b"), true));
    EXPECT_THAT(capsules_.remove("a").error().message, HasSubstr("was not installed, it comes from"));
}

TEST_F(Stores, RemovingUncoversTheVendors) {
    writeCapsule("vendor", "a", "vendor");
    ASSERT_TRUE(capsules_.reload());
    EXPECT_EQ(capsules_.install(capsuleText("a"), false).error().code, Errc::AlreadyExists);
    ASSERT_TRUE(capsules_.install(capsuleText("a", "", "description = \"mine\""), true));
    EXPECT_EQ(description("a"), "mine");
    ASSERT_TRUE(capsules_.remove("a"));
    EXPECT_EQ(description("a"), "vendor");
}

TEST_F(Stores, PoliciesAreShippedReadable) {
    std::vector<std::string> names;
    for (const auto& policy : policies_.list()) {
        names.push_back(policy.name);
        EXPECT_EQ(policy.problem, "");
        EXPECT_NE(policy.description, "");
    }
    EXPECT_EQ(names, (std::vector<std::string>{"default", "network-debug", "nonetwork", "shell", "strict", "trace", "trusted"}));
}

TEST_F(Stores, ABadPolicyKeepsTheOldOne) {
    scratch_.write("etc/policies/default.toml", "[profile]\nname = \"default\"\n");
    const auto generation = policies_.generation();
    const auto reloaded = policies_.reload();
    ASSERT_FALSE(reloaded);
    EXPECT_THAT(reloaded.error().message, HasSubstr("limits: missing"));
    EXPECT_TRUE(policies_.find("default"));
    EXPECT_NE(policies_.generation(), generation);
    scratch_.mask("run/policies/strict.toml");
    EXPECT_FALSE(policies_.reload());
    EXPECT_EQ(policies_.find("strict").error().code, Errc::NotFound);
}

TEST_F(Stores, SettingsMergeDropIns) {
    EXPECT_EQ(loadSettings(scratch_.folders())->plugins.at(0).name, "process");
    scratch_.write("vendor/recapd.toml.d/00-engines.toml",
                   "[plugins.containerd]\nendpoint = \"unix:///y\"\nruntimes = [\"mine\"]\n[plugins.shipped]\n");
    scratch_.write("etc/recapd.toml.d/10-own.toml", "[plugins.shipped]\nenabled = false\n");
    const auto shipped = loadSettings(scratch_.folders());
    ASSERT_TRUE(shipped) << shipped.error().message;
    ASSERT_EQ(shipped->plugins.size(), 1u) << "one that is not enabled is none";
    EXPECT_EQ(shipped->plugins[0].runtimes, std::vector<std::string>{"mine"});
    EXPECT_FALSE(shipped->plugins[0].values.contains("runtimes")) << "that is no plugin's own";
    scratch_.write("vendor/recapd.toml.d/00-engines.toml", "");
    scratch_.write("etc/recapd.toml.d/10-own.toml", "");
    scratch_.write("vendor/recapd.toml", "[plugins.process]\n");
    scratch_.write("etc/recapd.toml.d/10-podman.toml",
                   "policies = [\"nonetwork\"]\n[plugins.podman]\nplugin = \"docker\"\nendpoint = \"unix:///x\"\n[runs]\ngrace = \"2s\"\n");
    const auto settings = loadSettings(scratch_.folders());
    ASSERT_TRUE(settings) << settings.error().message;
    ASSERT_EQ(settings->plugins.size(), 2u);
    EXPECT_EQ(settings->plugins[0].plugin, "docker");
    EXPECT_EQ(settings->policies, std::vector<std::string>{"nonetwork"});
    EXPECT_EQ(settings->grace, std::chrono::seconds(2));
    EXPECT_EQ(settings->plugins[0].values.at("endpoint"), std::vector<std::string>{"unix:///x"});
    EXPECT_TRUE(settings->plugins[1].cgroups.empty());
    scratch_.write("etc/recapd.toml.d/20-bad.toml", "polices = []\n");
    EXPECT_THAT(loadSettings(scratch_.folders()).error().message,
                HasSubstr("20-bad.toml:1:1: polices: unknown key; did you mean 'policies'?"));
    scratch_.mask("run/recapd.toml.d/20-bad.toml");
    EXPECT_FALSE(loadSettings(scratch_.folders())) << "etc is stronger than run";
}

// What is there without anybody's doing: the engines at their usual sockets, each of which a file in /etc may move or leave out.
TEST_F(Stores, TheShippedBackendsAreTheEnginesAtTheirUsualSockets) {
    scratch_.write("vendor/recapd.toml.d/00-engines.toml", test::readFile(test::sourceDir() / "plugins/00-engines.toml"));
    const auto sockets = [&] {
        const auto settings = loadSettings(scratch_.folders());
        EXPECT_TRUE(settings) << settings.error().message;
        std::vector<std::string> found;
        for (const auto& plugin : settings->plugins) {
            const auto endpoint = plugin.values.find("endpoint");
            found.push_back(plugin.name + " by " + plugin.plugin + " at " +
                            (endpoint == plugin.values.end() ? "-" : endpoint->second.at(0)));
        }
        return found;
    };
    EXPECT_THAT(sockets(), UnorderedElementsAre("process by process at -", "docker by docker at unix:///run/docker.sock",
                                                "podman by docker at unix:///run/podman/podman.sock",
                                                "containerd by containerd at unix:///run/containerd/containerd.sock"));
    scratch_.write("etc/recapd.toml.d/50-own.toml",
                   "[plugins.podman]\nenabled = false\n[plugins.docker]\nendpoint = \"unix:///run/user/1000/docker.sock\"\n");
    EXPECT_THAT(sockets(), UnorderedElementsAre("process by process at -", "docker by docker at unix:///run/user/1000/docker.sock",
                                                "containerd by containerd at unix:///run/containerd/containerd.sock"));
}

TEST_F(Stores, ABackendsCgroupsComeFromItsTable) {
    scratch_.write("etc/recapd.toml",
                   "[plugins.docker]\ncgroups = [\"/docker/*\", \"/system.slice/docker-*.scope\"]\nendpoint = \"unix:///x\"\n");
    const auto settings = loadSettings(scratch_.folders());
    ASSERT_TRUE(settings) << settings.error().message;
    EXPECT_EQ(settings->plugins.at(0).cgroups, (std::vector<std::string>{"/docker/*", "/system.slice/docker-*.scope"}));
    EXPECT_FALSE(settings->plugins.at(0).values.contains("cgroups"));
    for (const auto& [wrong, why] : std::map<std::string, std::string>{
             {"[\"*/docker/*\"]", "does not begin with '/'"}, {"[]", "an empty list"}, {"\"/docker\"", "expected an array of strings"}}) {
        scratch_.write("etc/recapd.toml", "[plugins.docker]\ncgroups = " + wrong + "\n");
        const auto refused = loadSettings(scratch_.folders());
        ASSERT_FALSE(refused) << wrong;
        EXPECT_THAT(refused.error().message, HasSubstr("recapd.toml:2:"));
        EXPECT_THAT(refused.error().message, HasSubstr("plugins.docker.cgroups: "));
        EXPECT_THAT(refused.error().message, HasSubstr(why));
    }
}

TEST_F(Stores, TenantsAreOfUsersAndGroupsThatThisHostHas) {
    scratch_.write(
        "etc/recapd.toml.d/10-targets.toml",
        "[[tenants.target]]\ntenant = \"shop\"\nbackend = \"docker\"\n[[tenants.caller]]\nuser = \"nobody\"\ntenants = [\"a\"]\n");
    scratch_.write("etc/recapd.toml.d/20-callers.toml",
                   "[[tenants.caller]]\ngroup = \"daemon\"\ntenants = [\"b\"]\n"
                   "[[tenants.caller]]\nuser = \"4711\"\ntenants = [\"c\", \"d\"]\n");
    const auto settings = loadSettings(scratch_.folders());
    ASSERT_TRUE(settings) << settings.error().message;
    EXPECT_TRUE(settings->tenants.kept());
    EXPECT_EQ(settings->tenants.ofCaller(65534), std::set<std::string>{"a"});
    EXPECT_EQ(settings->tenants.ofCaller(1), std::set<std::string>{"b"});
    EXPECT_EQ(settings->tenants.ofCaller(4711), (std::set<std::string>{"c", "d"}));
    for (const auto& [who, named] : std::map<std::string, std::string>{{"user", "no-such-user"}, {"group", "no-such-group"}}) {
        scratch_.write("etc/recapd.toml.d/20-callers.toml", "[[tenants.caller]]\n" + who + " = \"" + named + "\"\ntenants = [\"b\"]\n");
        const auto partly = loadSettings(scratch_.folders());
        ASSERT_TRUE(partly) << partly.error().message;
        EXPECT_THAT(partly->problems, testing::ElementsAre(HasSubstr("this host has no " + who + " '" + named + "'")));
        EXPECT_TRUE(partly->tenants.kept()) << "the rest is in force";
        EXPECT_EQ(partly->tenants.ofCaller(65534), std::set<std::string>{"a"});
    }
    scratch_.write("etc/recapd.toml.d/20-callers.toml", "");
    scratch_.write("etc/recapd.toml.d/10-targets.toml", "[tenants]\n");
    EXPECT_FALSE(loadSettings(scratch_.folders())->tenants.kept());
}
