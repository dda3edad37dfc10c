// SPDX-License-Identifier: Apache-2.0
#include "daemon/plan/narrow.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "daemon/plan/profile_policy.hpp"
#include "daemon/plan/syscalls.hpp"

using namespace recap;
using namespace recap::plan;
using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::IsEmpty;

namespace {

SandboxSpec someSpec() {
    SandboxSpec spec;
    spec.namespaces = 0b1111;
    spec.processes = Processes::Join;
    spec.view = View::Write;
    spec.writes = {"/var/log", "/etc"};
    spec.capabilities = (1ull << 13) | (1ull << 21);
    spec.freeze = true;
    spec.syscalls = {"mount", "read", "write"};
    spec.onViolation = OnViolation::Log;
    spec.limits = {4ull << 30, 4000, 4096, 1ull << 30, 2h};
    spec.artifactsMax = 4ull << 30;
    spec.logMax = 64u << 20;
    return spec;
}

manifest::Profile someProfile() {
    manifest::Profile profile;
    profile.name = "tight";
    profile.namespaces = 0b0010;
    profile.processes = 0b011;
    profile.views = 0b0011;
    profile.targetUser = true;
    profile.capabilities = 1ull << 13;
    profile.onViolation = 0b001;
    profile.syscalls.groups = {"@basic-io"};
    profile.syscalls.onViolation = manifest::OnViolation::Errno;
    profile.most = profile.syscalls;
    profile.limits = {64u << 20, 500, 32, 16u << 20, 30s, 1u << 20};
    profile.max = {128u << 20, 1500, 64, 32u << 20, 1h, 2u << 20};
    profile.maxArtifacts = 1u << 20;
    return profile;
}

class Changes : public Policy {
public:
    explicit Changes(std::function<void(SandboxSpec&)> change) : change_(std::move(change)) {}
    std::string_view name() const override { return "changes"; }
    Result<Narrowed> narrow(SandboxSpec asked) const override {
        change_(asked);
        return Narrowed{std::move(asked), {}};
    }

private:
    std::function<void(SandboxSpec&)> change_;
};

std::vector<std::string> whats(const Narrowed& narrowed) {
    std::vector<std::string> result;
    for (const auto& taken : narrowed.taken) result.push_back(taken.policy + ": " + taken.what);
    return result;
}

}  // namespace

TEST(Narrow, NoPolicyCanGiveMoreInAnyRespect) {
    const std::vector<std::function<void(SandboxSpec&)>> widenings{
        [](auto& s) { s.namespaces |= 16; },
        [](auto& s) { s.processes = Processes::Join; },
        [](auto& s) { s.view = View::ReadOnly; },
        [](auto& s) { s.writes = {"/"}; },
        [](auto& s) { s.user = UserKind::Root; },
        [](auto& s) { s.uid = 1; },
        [](auto& s) { s.gid = 1; },
        [](auto& s) { s.capabilities |= 1; },
        [](auto& s) { s.freeze = true; },
        [](auto& s) { s.syscalls.insert("mount"); },
        [](auto& s) { s.onViolation = OnViolation::Errno; },
        [](auto& s) { s.onViolation = OnViolation::Log; },
        [](auto& s) { ++s.limits.memory; },
        [](auto& s) { ++s.limits.cpuMilli; },
        [](auto& s) { ++s.limits.pids; },
        [](auto& s) { ++s.limits.scratch; },
        [](auto& s) { s.limits.timeout += 1us; },
        [](auto& s) { ++s.artifactsMax; },
        [](auto& s) { ++s.logMax; },
    };
    SandboxSpec narrow;
    narrow.syscalls = {"read"};
    narrow.onViolation = OnViolation::Kill;
    for (std::size_t i = 0; i < widenings.size(); ++i) {
        const Changes policy(widenings[i]);
        const auto result = narrowAll(narrow, {&policy});
        ASSERT_FALSE(result) << "widening " << i << " went unseen";
        EXPECT_EQ(result.error().code, Errc::Denied);
        EXPECT_THAT(result.error().message, HasSubstr("policy changes gave more"));
    }
}

TEST(Narrow, TakesAwayWhatAProfileDoesNotAllowAndSaysSo) {
    const SyscallTable table;
    const auto policy = ProfilePolicy::make(someProfile(), table);
    ASSERT_TRUE(policy);
    const auto narrowed = narrowAll(someSpec(), {policy->get()});
    ASSERT_TRUE(narrowed) << narrowed.error().message;
    const auto& s = narrowed->sandbox;
    EXPECT_EQ(s.namespaces, 0b0010u);
    EXPECT_EQ(s.processes, Processes::Observe);
    EXPECT_EQ(s.view, View::ReadOnly);
    EXPECT_THAT(s.writes, IsEmpty());
    EXPECT_EQ(s.capabilities, 1ull << 13);
    EXPECT_FALSE(s.freeze);
    EXPECT_EQ(s.syscalls, (std::set<std::string>{"read", "write"}));
    EXPECT_EQ(s.onViolation, OnViolation::Errno);
    EXPECT_EQ(s.limits, (Limits{128u << 20, 1500, 64, 32u << 20, 1h}));
    EXPECT_EQ(s.artifactsMax, 1u << 20);
    EXPECT_EQ(s.logMax, 2u << 20);
    EXPECT_EQ(whats(*narrowed),
              (std::vector<std::string>{"tight: processes: join narrowed to observe", "tight: namespaces: ipc, uts not joined",
                                        "tight: view: write narrowed to read-only", "tight: capabilities: CAP_SYS_ADMIN not given",
                                        "tight: freeze: the target is not frozen", "tight: on-violation: log narrowed to errno",
                                        "tight: syscalls: mount not allowed", "tight: memory: 4 GiB narrowed to 128 MiB",
                                        "tight: cpu: 4 narrowed to 1.5", "tight: pids: 4096 narrowed to 64",
                                        "tight: scratch: 1 GiB narrowed to 32 MiB", "tight: timeout: 2h narrowed to 1h",
                                        "tight: artifacts: 4 GiB narrowed to 1 MiB", "tight: log: 64 MiB narrowed to 2 MiB"}));
}

TEST(Narrow, SaysNothingWhereNothingIsTaken) {
    const SyscallTable table;
    const auto policy = ProfilePolicy::make(someProfile(), table);
    ASSERT_TRUE(policy);
    const auto once = narrowAll(someSpec(), {policy->get()});
    const auto twice = narrowAll(once->sandbox, {policy->get()});
    ASSERT_TRUE(twice);
    EXPECT_THAT(twice->taken, IsEmpty());
    EXPECT_TRUE(isWithin(once->sandbox, twice->sandbox));
}

TEST(Narrow, RefusesAnotherUserInsteadOfReplacingIt) {
    const SyscallTable table;
    auto profile = someProfile();
    const auto answer = [&](UserKind kind, std::uint32_t uid, std::uint32_t gid) {
        const auto policy = ProfilePolicy::make(profile, table);
        SandboxSpec spec;
        spec.user = kind;
        spec.uid = uid;
        spec.gid = gid;
        const auto result = narrowAll(spec, {policy->get()});
        return result ? "" : result.error().message;
    };
    EXPECT_EQ(answer(UserKind::Root, 0, 0), "policy tight: user \"root\" is not allowed; allowed are \"target\"");
    EXPECT_THAT(answer(UserKind::Ids, 7, 7), HasSubstr("user 7:7 is not allowed"));
    profile.otherUsers = true;
    EXPECT_EQ(answer(UserKind::Ids, 7, 7), "");
    EXPECT_NE(answer(UserKind::Ids, 0, 7), "") << "root by number";
    EXPECT_NE(answer(UserKind::Ids, 7, 0), "") << "root's group by number";
    profile.rootUser = true;
    EXPECT_EQ(answer(UserKind::Root, 0, 0), "");
    EXPECT_EQ(answer(UserKind::Ids, 0, 7), "");
}

TEST(Narrow, FillsGapsFromTheProfile) {
    const SyscallTable table;
    const auto policy = ProfilePolicy::make(someProfile(), table);
    manifest::Manifest manifest;
    manifest.limits.memory = 1u << 20;
    manifest.sandbox.capabilities = {"CAP_NET_RAW"};
    manifest.output.artifacts = "/out";
    manifest.output.maxSize = 77;
    const auto asked = (*policy)->asked(manifest, table);
    ASSERT_TRUE(asked);
    EXPECT_EQ(asked->limits, (Limits{1u << 20, 500, 32, 16u << 20, 30s}));
    EXPECT_EQ(asked->capabilities, 1ull << 13);
    EXPECT_EQ(asked->artifactsMax, 77u);
    EXPECT_EQ(asked->logMax, 1u << 20);
    EXPECT_TRUE(asked->syscalls.contains("preadv"));
    manifest.sandbox.syscalls.groups = {"@nothing"};
    EXPECT_THAT((*policy)->asked(manifest, table).error().message,
                HasSubstr("sandbox.syscalls: no group of system calls is called '@nothing'"));
}
