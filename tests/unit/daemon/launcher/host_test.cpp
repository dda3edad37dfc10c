// SPDX-License-Identifier: Apache-2.0
// What the launcher lets pass of the host's, by the ceiling's host-namespaces.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/capability.h>

#include <functional>

#include "daemon/launcher/checks.hpp"

namespace recap::launcher {
namespace {

using ::testing::HasSubstr;

class CheckHost : public ::testing::Test {
protected:
    CheckHost() {
        plan_.target = "docker:web";
        facts_.hostNamespaces = kNsNet | kNsUser;
        facts_.rootInode = 9;
        facts_.uid = plan_.uid = 101;
        facts_.gid = plan_.gid = 101;
        facts_.groups = {7};
        host_.root.inode = 2;
        ceiling_.hostNamespaces = kHostNamespaces;
    }
    std::string refusal(Errc code = Errc::Denied) {
        const auto checked = checkHost(plan_, facts_, host_, ceiling_, kFeatureScope);
        if (checked) return "was allowed";
        EXPECT_EQ(name(checked.error().code), name(code));
        return checked.error().message;
    }
    bool allowed() { return checkHost(plan_, facts_, host_, ceiling_, kFeatureScope).has_value(); }

    Plan plan_;
    TargetFacts facts_;
    HostIds host_;
    Ceiling ceiling_;
};

TEST_F(CheckHost, ANamespaceOfTheHostsTakesTheCeilingsKey) {
    for (const std::uint32_t bit : {kNsNet, kNsIpc, kNsUts, kNsTime}) {
        facts_.hostNamespaces = kNsUser | bit;
        plan_.namespaces = bit;
        ceiling_.hostNamespaces = kHostNamespaces & ~bit;
        EXPECT_THAT(refusal(), HasSubstr("ceiling: host-namespaces: would join the host's"));
        EXPECT_THAT(refusal(), HasSubstr("host-namespaces in /etc/recap/ceiling.toml would have to allow it"));
        ceiling_.hostNamespaces = bit;
        EXPECT_TRUE(allowed()) << bit;
    }
    ceiling_.hostNamespaces = 0;
    plan_.namespaces = kNsIpc;
    facts_.hostNamespaces = kNsNet;
    EXPECT_TRUE(allowed()) << "what is not joined may be the host's";
}

TEST_F(CheckHost, FilesUsersAndCgroupsAreNobodysToAllow) {
    for (const std::uint32_t bit : {kNsUser, kNsCgroup}) {
        facts_.hostNamespaces = plan_.namespaces = bit;
        ceiling_.hostNamespaces = ~0u;  // which no ceiling that is read has
        EXPECT_THAT(refusal(), ::testing::AllOf(HasSubstr("would join the host's"), ::testing::Not(HasSubstr("ceiling.toml"))));
    }
    facts_.hostNamespaces = kNsMnt;
    plan_.namespaces = 0;
    plan_.view = View::ReadOnly;
    EXPECT_THAT(refusal(), HasSubstr("host's mnt namespace"));
}

TEST_F(CheckHost, ProcessesOfTheHostAreObservedOnly) {
    facts_.hostNamespaces = kNsPid | kNsUser;
    plan_.processes = Processes::Observe;
    EXPECT_TRUE(allowed());
    ceiling_.hostNamespaces = kNsNet;
    EXPECT_THAT(refusal(), HasSubstr("would join the host's pid namespace"));
    ceiling_.hostNamespaces = kNsPid;
    plan_.processes = Processes::Join;
    plan_.namespaces = kNsPid;
    EXPECT_THAT(refusal(), HasSubstr("processes = \"join\" does not go with the host's pid namespace"));
    ceiling_.hostNamespaces = kNsNet;
    facts_.hostNamespaces = kNsNet | kNsUser;
    plan_.namespaces = kNsPid | kNsNet;
    EXPECT_THAT(refusal(), HasSubstr("does not go with the host's net namespace"));
    plan_.namespaces = kNsPid;
    EXPECT_TRUE(allowed()) << "processes of its own, and the capsule's own network";
}

TEST_F(CheckHost, ThereACapsuleHasNoMoreRightThanTheTarget) {
    plan_.namespaces = kNsNet;
    plan_.capabilities = 1ull << CAP_NET_RAW;
    EXPECT_THAT(refusal(), HasSubstr("target docker:web has not CAP_NET_RAW, and a capsule in the host's net namespace has no more"));
    facts_.capEffective = plan_.capabilities;
    EXPECT_TRUE(allowed());
    facts_.hostNamespaces = kNsNet;
    EXPECT_THAT(refusal(), HasSubstr("has not CAP_NET_RAW")) << "the target's counts in its own user namespace only";
    plan_.namespaces |= kNsUser;
    EXPECT_TRUE(allowed()) << "and so does the capsule's there";
}

// Else any process of the host's would be a target, and its rights the capsule's.
TEST_F(CheckHost, TheTargetHasFilesOfItsOwn) {
    plan_.namespaces = kNsNet;
    facts_.hostNamespaces |= kNsMnt;
    EXPECT_THAT(refusal(), HasSubstr("target docker:web has the host's files, so it is no container"));
    facts_.hostNamespaces = kNsNet | kNsUser;
    facts_.rootInode = host_.root.inode;
    EXPECT_THAT(refusal(), HasSubstr("by way of containers only")) << "a service with mounts of its own has the host's root";
    plan_.namespaces = kNsIpc;
    EXPECT_TRUE(allowed()) << "what has nothing of the host's";
}

TEST_F(CheckHost, TheCapsuleIsTheTargetsUserThere) {
    plan_.namespaces = kNsNet;
    plan_.groups = {7};
    EXPECT_TRUE(allowed());
    plan_.uid = plan_.gid = 65534;
    EXPECT_TRUE(allowed());
    for (const auto& spoil : std::vector<std::function<void()>>{[&] { plan_.uid = 26; }, [&] { plan_.uid = 0; }, [&] { plan_.gid = 26; },
                                                                [&] {
                                                                    plan_.groups = {7, 26};
                                                                }}) {
        const Plan good = plan_;
        spoil();
        EXPECT_THAT(refusal(), HasSubstr("a capsule in the host's net namespace is target docker:web's own user, or 65534"));
        plan_ = good;
    }
    facts_.uid = facts_.gid = plan_.uid = plan_.gid = 0;
    EXPECT_TRUE(allowed()) << "where that is root, another rule is asked";
}

TEST_F(CheckHost, AKernelWithoutTheScopeIsNoPlaceForIt) {
    const auto checked = [this] { return checkHost(plan_, facts_, host_, ceiling_, ~std::uint64_t{kFeatureScope}); };
    plan_.namespaces = kNsNet;
    ASSERT_FALSE(checked());
    EXPECT_EQ(checked().error().code, Errc::NotSupported);
    EXPECT_THAT(checked().error().message, HasSubstr("Landlock's scope"));
    plan_.namespaces = 0;
    plan_.processes = Processes::Observe;
    facts_.hostNamespaces = kNsPid;
    EXPECT_FALSE(checked());
    facts_.hostNamespaces = kNsUts;
    plan_.namespaces = kNsUts;
    EXPECT_TRUE(checked()) << "where there is no socket and no process";
}

TEST_F(CheckHost, TheChecksOfATargetHaveIt) {
    plan_.namespaces = kNsNet;
    plan_.expected = facts_.namespaces;
    EXPECT_TRUE(checkTarget(plan_, facts_, host_, ceiling_, kFeatureScope));
    EXPECT_FALSE(checkTarget(plan_, facts_, host_, Ceiling{}, kFeatureScope));
}

TEST_F(CheckHost, WhatIsExpectedToBeTheHostsIsKnownByItsIds) {
    HostIds host;
    host.namespaces = {1, 2, 3, 4, 5, 6, 7, 8};
    host.first = {1, 22, 3, 4, 5, 6, 7, 8};
    plan_.expected = {1, 22, 99, 4, 5, 6, 7, 8};
    plan_.namespaces = kNsNet | kNsIpc;
    EXPECT_EQ(hostNamespaces(plan_, host), std::uint32_t{kNsNet}) << "of PID 1's, where the launcher has one of its own";
    plan_.processes = Processes::Observe;
    EXPECT_EQ(hostNamespaces(plan_, host), std::uint32_t{kNsNet | kNsPid});
    EXPECT_TRUE(needsScope(kNsNet) && needsScope(kNsPid) && !needsScope(kNsUts | kNsIpc | kNsTime));
}

}  // namespace
}  // namespace recap::launcher
