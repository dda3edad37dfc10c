// SPDX-License-Identifier: Apache-2.0
// Targets that are known and not listed, since a better backend tells of the same process.
#include <gmock/gmock.h>

#include <map>
#include <random>

#include "daemon/core/packed_target.hpp"
#include "targets.hpp"

namespace recap::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

TEST(PackedTarget, IsUnpackedAsItWas) {
    Target target;
    target.id = {"containerd", "moby/" + std::string(300, 'a')};
    target.name = "web";
    target.image = "registry.example/web:1";
    target.runtime = "runc";
    target.labels = {{"app", "web"}, {"empty", ""}};
    target.details = {{"health", "healthy"}};
    target.aliases = {"shop/web", "", "shop-web-1"};
    target.state = TargetState::Paused;
    target.pid = 4242;
    target.startTime = 123456789012345;
    target.cgroup = "/system.slice/web.scope";
    const PackedTarget packed(target);
    const Target again = packed.unpacked();
    EXPECT_EQ(again.id, target.id);
    EXPECT_EQ(again.name, target.name);
    EXPECT_EQ(again.image, target.image);
    EXPECT_EQ(again.runtime, target.runtime);
    EXPECT_EQ(again.labels.at("app"), "web");
    EXPECT_EQ(again.labels.at("empty"), "");
    EXPECT_EQ(again.labels.size(), 2u);
    EXPECT_EQ(again.details.at("health"), "healthy");
    EXPECT_EQ(again.aliases, target.aliases);
    EXPECT_EQ(again.state, target.state);
    EXPECT_EQ(again.pid, target.pid);
    EXPECT_EQ(again.startTime, target.startTime);
    EXPECT_EQ(again.cgroup, target.cgroup);
    EXPECT_EQ(packed.words().targetId(), target.id);
    EXPECT_THAT(packed.aliases(), ElementsAre("shop/web", "", "shop-web-1"));
}

TEST_F(TargetsTest, TwoHiddenOnesOfOneBackendAreShownTogetherAndGoTogether) {
    Child child;
    table.added(target("docker", "a", "web", child.pid()));
    table.added(target("containerd", "moby/a", "a", child.pid()));
    table.added(target("containerd", "other/a", "a", child.pid()));
    EXPECT_THAT(table.list(), SizeIs(1));
    table.removed({"docker", "a"});
    EXPECT_THAT(table.list(), SizeIs(2));
    EXPECT_EQ(resolved("containerd:moby/a"), "containerd:moby/a");
    EXPECT_EQ(resolved("containerd:other/a"), "containerd:other/a");
    child.end();
    turnUntil(loop.get(), [&] { return table.list().empty(); });
    EXPECT_THAT(heard.removed, UnorderedElementsAre("docker:a", "containerd:moby/a", "containerd:other/a"));
    EXPECT_THAT(table.list(), IsEmpty());
}

TEST_F(TargetsTest, WhatIsHiddenAndShownAgainIsInspectedAndRunOn) {
    const Child child;
    table.added(target("process", "4242", "web", child.pid()));
    for (auto& answer : std::exchange(launcher.inspects, {})) answer(factsOf(child.pid()));
    table.added(target("docker", "a", "web", child.pid()));
    table.removed({"docker", "a"});
    bool ready = false;
    table.whenReady("process:4242", [&](const Result<Target>& found) { ready = found && found->facts && found->pidfd; });
    for (auto& answer : std::exchange(launcher.inspects, {})) answer(factsOf(child.pid()));
    EXPECT_TRUE(ready);
}

// Whatever three backends say, in any order: each process is listed by the best backend that tells of it, and by all ids that this one
// has for it; every other word for it leads there.
struct AnyOrder : TargetsTest {
    std::mt19937 random{20261130};
    std::map<std::string, unsigned> ranks{{"docker", 1}, {"containerd", 2}, {"process", 4}};
    std::map<TargetId, pid_t> told;

    unsigned any(unsigned below) { return static_cast<unsigned>(random()) % below; }
    unsigned bestOf(pid_t pid) const {
        unsigned best = 9;
        for (const auto& [id, of] : told)
            if (of == pid) best = std::min(best, ranks.at(id.backend));
        return best;
    }
    void check() const {
        std::map<TargetId, pid_t> listed;
        for (const Target* one : table.list()) listed[one->id] = one->pid;
        std::map<TargetId, pid_t> expected;
        for (const auto& [id, pid] : told)
            if (ranks.at(id.backend) == bestOf(pid)) expected[id] = pid;
        ASSERT_EQ(listed, expected);
        for (const auto& [id, pid] : told) {
            const auto found = table.resolve(id.text());
            if (!found) {
                ASSERT_EQ(found.error().code, Errc::Ambiguous) << id.text();
                continue;
            }
            ASSERT_EQ((*found)->pid, pid) << id.text();
            ASSERT_TRUE(listed.contains((*found)->id)) << id.text();
        }
    }
};

TEST_F(AnyOrder, EveryWordLeadsToTheListedOne) {
    std::vector<std::unique_ptr<Child>> children;
    for (int i = 0; i < 4; ++i) children.push_back(std::make_unique<Child>());
    const std::vector<std::string> backends{"docker", "containerd", "process"};
    for (int step = 0; step < 3000; ++step) {
        const TargetId id{backends[any(3)], "id" + std::to_string(any(6))};
        const pid_t pid = children[any(4)]->pid();
        switch (any(8)) {
            case 0:
            case 1:
                table.removed(id);
                told.erase(id);
                break;
            case 2: {
                std::erase_if(told, [&](const auto& one) { return one.first.backend == id.backend; });
                table.snapshot(id.backend, {target(id.backend, id.id, "name" + std::to_string(any(3)), pid)});
                told[id] = pid;
                break;
            }
            case 3:
                for (auto& answer : std::exchange(launcher.inspects, {})) answer(fail(Errc::Unavailable, "later"));
                break;
            case 4: table.refresh(id, [](const Result<Target>&) {}); break;
            default: table.added(target(id.backend, id.id, "name" + std::to_string(any(3)), pid)); told[id] = pid;
        }
        ASSERT_NO_FATAL_FAILURE(check()) << "step " << step;
    }
    for (auto& child : children) child->end();
    turnUntil(loop.get(), [&] { return table.list().empty(); });
    for (const auto& [id, pid] : told) EXPECT_FALSE(table.resolve(id.text()));
}

}  // namespace
}  // namespace recap::test
