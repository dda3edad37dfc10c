// SPDX-License-Identifier: Apache-2.0
#include "daemon/core/tenants.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace recap {
namespace {

using testing::HasSubstr;

Target target(const std::string& backend, const std::string& cgroup, std::uint32_t rootUid = 0) {
    Target made;
    made.id = {backend, "web"};
    made.facts.emplace();
    made.facts->cgroup = cgroup;
    if (rootUid != 0) made.facts->uidMap = {{0, rootUid, 1000}, {1000, 5, 1}};
    if (rootUid == 0) made.facts->hostNamespaces = 16;
    return made;
}

TEST(Tenants, ATargetIsOfTheFirstThatMatchesWhole) {
    const Tenants tenants({{"docker-shop", "docker", "/shop.slice", {}},
                           {"shop", "", "/shop.slice", {}},
                           {"mapped", "", "", 100000},
                           {"engine", "docker", "", {}}},
                          {});
    EXPECT_EQ(tenants.of(target("docker", "/shop.slice/docker-3f.scope")), "docker-shop");
    EXPECT_EQ(tenants.of(target("process", "/shop.slice")), "shop");
    EXPECT_EQ(tenants.of(target("process", "/shop.slices")), "") << "beside it, not below";
    EXPECT_EQ(tenants.of(target("process", "/other/shop.slice")), "");
    EXPECT_EQ(tenants.of(target("process", "/", 100000)), "mapped");
    EXPECT_EQ(tenants.of(target("process", "/", 100001)), "");
    EXPECT_EQ(tenants.of(target("process", "/", 5)), "") << "that is another user's number there, not root's";
    EXPECT_EQ(tenants.of(target("docker", "/")), "engine");
}

TEST(Tenants, OfWhatIsNotInspectedALaterRuleSaysNothing) {
    const Tenants tenants({{"never", "podman", "/shop.slice", {}}, {"shop", "docker", "/shop.slice", {}}, {"engine", "docker", "", {}}},
                          {});
    Target blind = target("docker", "/shop.slice");
    blind.facts.reset();
    EXPECT_EQ(tenants.of(blind), "");
    blind.id.backend = "containerd";
    EXPECT_EQ(tenants.of(blind), "");
    const Tenants byBackend({{"never", "podman", "/shop.slice", {}}, {"engine", "docker", "", {}}}, {});
    blind.id.backend = "docker";
    EXPECT_EQ(byBackend.of(blind), "engine") << "another backend's rule is none for it";
}

TEST(Tenants, WhereTheMapIsNotWrittenYetALaterRuleSaysNothing) {
    const Tenants tenants({{"mapped", "", "", 100000}, {"engine", "docker", "", {}}}, {});
    Target fresh = target("docker", "/");
    EXPECT_EQ(tenants.of(fresh), "engine") << "in the host's user namespace";
    fresh.facts->hostNamespaces = 0;
    EXPECT_EQ(tenants.of(fresh), "");
    fresh.facts->uidMap = {{0, 7, 1}};
    EXPECT_EQ(tenants.of(fresh), "engine");
}

TEST(Tenants, AContainerDoesNotLeaveItsTenantByANamespaceWithinItsOwn) {
    const Tenants tenants({{"mapped", "", "", 100000}, {"next", "", "", 165536}, {"engine", "docker", "", {}}}, {});
    Target within = target("docker", "/");
    within.facts->hostNamespaces = 0;
    for (const IdRange map : {IdRange{0, 100005, 1}, IdRange{5, 100000, 1}, IdRange{1, 165535, 1}}) {
        within.facts->uidMap = {map};
        EXPECT_EQ(tenants.of(within), "") << map.inside << " " << map.outside;
    }
    within.facts->uidMap = {{0, 100000, 1}};
    EXPECT_EQ(tenants.of(within), "mapped");
    within.facts->uidMap = {{0, 165536, 65536}};
    EXPECT_EQ(tenants.of(within), "next");
    within.facts->uidMap = {{0, 231072, 65536}};
    EXPECT_EQ(tenants.of(within), "engine");
}

TEST(Tenants, BeforeTheyAreKnownEverythingIsRoots) {
    EXPECT_TRUE(Tenants::unknown().kept());
    EXPECT_TRUE(Tenants::unknown().check(0, "", "run 1"));
    EXPECT_FALSE(Tenants::unknown().check(1000, "", "run 1"));
    const Tenants missing({}, {{{}, {}, {"shop"}}});
    EXPECT_TRUE(missing.kept()) << "though this host does not have who it is about";
    EXPECT_EQ(missing.ofCaller(0), std::set<std::string>{});
}

TEST(Tenants, AcrossThemNobodyReachesButRoot) {
    const Tenants tenants({{"shop", "docker", "", {}}}, {{1000, {}, {"shop", "lab"}}, {1001, {}, {"lab"}}});
    EXPECT_TRUE(tenants.check(0, "shop", "target docker:web"));
    EXPECT_TRUE(tenants.check(0, "", "target docker:web"));
    EXPECT_TRUE(tenants.check(1000, "shop", "target docker:web"));
    const auto other = tenants.check(1001, "shop", "target docker:web");
    ASSERT_FALSE(other);
    EXPECT_EQ(other.error().code, Errc::AccessDenied);
    EXPECT_THAT(other.error().message, HasSubstr("target docker:web is tenant shop's, and uid 1001 is of lab; [[tenants.caller]]"));
    EXPECT_THAT(tenants.check(1002, "shop", "run 1").error().message, HasSubstr("uid 1002 is of no tenant"));
    EXPECT_THAT(tenants.check(1000, "", "run 1").error().message,
                HasSubstr("run 1 is no tenant's, which leaves it to root, and uid 1000 is of lab, shop"));
}

TEST(Tenants, WhereNoneAreKeptOnlyWhatWasATenantsIsClosed) {
    EXPECT_FALSE(Tenants().kept());
    EXPECT_TRUE(Tenants().check(1000, "", "run 1"));
    EXPECT_FALSE(Tenants().check(1000, "shop", "run 1"));
}

TEST(Tenants, AGroupsMembersAreThoseOfTheUserDatabase) {
    const Tenants tenants({}, {{{}, 65534, {"nobodys"}}, {{}, 1, {"daemons"}}});
    EXPECT_EQ(tenants.ofCaller(65534), std::set<std::string>{"nobodys"});
    EXPECT_EQ(tenants.ofCaller(1), std::set<std::string>{"daemons"});
    EXPECT_EQ(tenants.ofCaller(3999999), std::set<std::string>{}) << "who is no user is in no group";
}

}  // namespace
}  // namespace recap
