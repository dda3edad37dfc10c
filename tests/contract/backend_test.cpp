// SPDX-License-Identifier: Apache-2.0
// What every backend owes recapd, through the real host program. A new backend joins by one line at the end.
#include <gmock/gmock.h>

#include <algorithm>

#include "daemon/core/process.hpp"
#include "tests/contract/observed_host.hpp"
#include "tests/support/proc.hpp"

namespace recap::test {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Pair;

class Contract : public testing::TestWithParam<WorldKind> {
protected:
    // Names that no other test, or run of it, has.
    std::string name(const std::string& what) const { return "recap-contract-" + what + "-" + std::to_string(::getpid()); }
    std::unique_ptr<World> world_ = GetParam().make();
};

TEST_P(Contract, TheFirstSnapshotHasWhatRanBefore) {
    const pid_t one = world_->start(name("one"), {});
    const pid_t two = world_->start(name("two"), {});
    ObservedHost host(*world_);
    ASSERT_TRUE(host.untilReady()) << host.status().detail;
    ASSERT_NE(host.named(name("one")), nullptr);
    ASSERT_NE(host.named(name("two")), nullptr);
    EXPECT_EQ(host.named(name("one"))->pid, one);
    EXPECT_EQ(host.named(name("two"))->pid, two);
}

TEST_P(Contract, WhatStartsLaterIsAddedAndWhatEndsIsRemoved) {
    ObservedHost host(*world_);
    ASSERT_TRUE(host.untilReady()) << host.status().detail;
    ASSERT_EQ(host.named(name("late")), nullptr);
    world_->start(name("late"), {});
    EXPECT_TRUE(host.untilNamed(name("late")));
    world_->end(name("late"));
    EXPECT_TRUE(host.untilGone(name("late")));
}

TEST_P(Contract, LabelsAreKept) {
    world_->start(name("labelled"), {{"app", "nginx"}, {"org.example/tier", "front"}});
    ObservedHost host(*world_);
    ASSERT_TRUE(host.untilNamed(name("labelled")));
    EXPECT_THAT(host.named(name("labelled"))->labels, Contains(Pair("app", "nginx")));
    EXPECT_THAT(host.named(name("labelled"))->labels, Contains(Pair("org.example/tier", "front")));
}

TEST_P(Contract, PidStartTimeAndCgroupBelongTogether) {
    const pid_t pid = world_->start(name("facts"), {});
    ObservedHost host(*world_);
    ASSERT_TRUE(host.untilNamed(name("facts")));
    const Target& target = *host.named(name("facts"));
    const auto seen = pinProcess(pid);
    ASSERT_TRUE(seen) << seen.error().message;
    EXPECT_EQ(target.pid, pid);
    EXPECT_EQ(target.startTime, seen->startTime);
    if (!target.cgroup.empty()) {
        EXPECT_THAT(seen->cgroups, Contains(target.cgroup));
    }
    EXPECT_EQ(target.state, TargetState::Running);
    EXPECT_FALSE(target.runtime.empty());
}

TEST_P(Contract, ATargetCanBeFoundByItsId) {
    world_->start(name("wanted"), {});
    ObservedHost host(*world_);
    ASSERT_TRUE(host.untilNamed(name("wanted")));
    const auto found = host.find(host.named(name("wanted"))->id.id);
    EXPECT_TRUE(found) << found.error().message;
    EXPECT_NE(host.named(name("wanted")), nullptr);
}

TEST_P(Contract, WhatIsNotThereIsNotFoundByName) {
    ObservedHost host(*world_);
    ASSERT_TRUE(host.untilReady()) << host.status().detail;
    const auto found = host.find("nothing-of-that-name");
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().code, Errc::NotFound);
    EXPECT_THAT(found.error().message, HasSubstr("nothing-of-that-name"));
}

TEST_P(Contract, ARestartIsANewLife) {
    const pid_t before = world_->start(name("again"), {});
    ObservedHost host(*world_);
    ASSERT_TRUE(host.untilNamed(name("again")));
    EXPECT_EQ(host.named(name("again"))->pid, before);
    world_->end(name("again"));
    const pid_t after = world_->start(name("again"), {});
    ASSERT_TRUE(host.until([&] { return host.named(name("again")) != nullptr && host.named(name("again"))->pid == after; }));
    EXPECT_EQ(host.named(name("again"))->startTime, processOf(after)->startTime);
}

TEST_P(Contract, AKilledHostComesBackWithThePresent) {
    world_->start(name("stays"), {});
    world_->start(name("goes"), {});
    ObservedHost host(*world_);
    ASSERT_TRUE(host.untilNamed(name("goes")));
    host.killHost();
    ASSERT_TRUE(host.until([&] { return host.status().state == BackendState::Unavailable; }));
    EXPECT_NE(host.named(name("stays")), nullptr) << "targets outlive their host";
    world_->end(name("goes"));
    world_->start(name("comes"), {});
    host.startHost();
    ASSERT_TRUE(host.untilReady());
    EXPECT_TRUE(host.untilNamed(name("comes")));
    EXPECT_NE(host.named(name("stays")), nullptr);
    EXPECT_EQ(host.named(name("goes")), nullptr);
}

TEST_P(Contract, AnUnknownSettingIsSaidWhereBackendsAreListed) {
    ObservedHost host(*world_, "intervall = \"1s\"\n");
    ASSERT_TRUE(host.until([&] { return host.status().detail.find("intervall") != std::string::npos; })) << host.status().detail;
    EXPECT_EQ(host.status().state, BackendState::Unavailable);
    EXPECT_THAT(host.status().detail, HasSubstr("[plugins.world]: unknown setting 'intervall'; known are: "));
}

const WorldKind kWorlds[] = {{"demo", makeDemoWorld},
                             {"process_runc", [] { return makeProcessWorld("runc"); }},
                             {"process_crun", [] { return makeProcessWorld("crun"); }},
                             {"docker", makeDockerWorld},
                             {"podman", makePodmanWorld},
                             {"containerd", makeContainerdWorld}};
INSTANTIATE_TEST_SUITE_P(Backends, Contract, testing::ValuesIn(kWorlds), [](const auto& world) { return world.param.name; });

}  // namespace
}  // namespace recap::test
