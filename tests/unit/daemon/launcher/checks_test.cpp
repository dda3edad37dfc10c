// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/checks.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/capability.h>
#include <sys/socket.h>

#include <cstring>
#include <functional>

#include "daemon/launcher/seccomp.hpp"

namespace recap::launcher {
namespace {

using ::testing::HasSubstr;

std::uint64_t wire(sock_filter filter) {
    std::uint64_t raw = 0;
    std::memcpy(&raw, &filter, sizeof(raw));
    return raw;
}
std::uint64_t returning(std::uint32_t value) { return wire({BPF_RET | BPF_K, 0, 0, value}); }

TargetFacts someFacts() {
    TargetFacts facts;
    facts.startTime = 4711;
    facts.cgroup = "/pod/web";
    for (std::size_t i = 0; i < kNamespaces; ++i) facts.namespaces[i] = 100 + i;
    facts.uid = 101;
    facts.gid = 101;
    facts.rootDevice = 7;
    facts.rootInode = 9;
    return facts;
}

HostIds someHost() {
    HostIds host;
    host.root.device = 1;
    host.root.inode = 2;
    return host;
}

Plan goodPlan() {
    Plan plan;
    plan.runId = "01HZX0000000000000000000AB";
    plan.timeoutUsec = 1000000;
    plan.startTime = 4711;
    plan.cgroup = "/pod/web";
    plan.expected = someFacts().namespaces;
    plan.imageDigest = std::string(64, 'a');
    plan.layers = {std::string(64, 'b')};
    plan.executable = "/bin/ps";
    plan.argv = {"ps"};
    plan.workdir = "/";
    plan.uid = plan.gid = 101;
    plan.limits = {1 << 20, 100, 8, 1 << 20};
    plan.logMax = 1024;
    plan.filter = {returning(SECCOMP_RET_ALLOW)};
    return plan;
}

TEST(CheckShape, AcceptsAGoodPlanAndNamesWhatIsWrong) {
    ASSERT_TRUE(checkShape(goodPlan()));
    const struct {
        const char* words;
        std::function<void(Plan&)> spoil;
    } cases[] = {
        {"ULID", [](Plan& plan) { plan.runId = "../../../etc/passwd-------"; }},
        {"ULID", [](Plan& plan) { plan.runId = "01HZX0000000000000000000IL"; }},
        {"bus name", [](Plan& plan) { plan.boundTo = std::string(256, ':'); }},
        {"digest", [](Plan& plan) { plan.imageDigest = std::string(64, 'A'); }},
        {"layer",
         [](Plan& plan) {
             plan.layers = {"..", std::string(64, 'b')};
         }},
        {"layers", [](Plan& plan) { plan.layers.clear(); }},
        {"executable", [](Plan& plan) { plan.executable = "/bin/../ps"; }},
        {"executable", [](Plan& plan) { plan.executable = "ps"; }},
        {"workdir", [](Plan& plan) { plan.workdir = "/proc/self/fd/../3"; }},
        {"artifacts", [](Plan& plan) { plan.artifacts = "/"; }},
        {"arguments", [](Plan& plan) { plan.argv.clear(); }},
        {"NUL", [](Plan& plan) { plan.argv = {std::string("a\0b", 3)}; }},
        {"environment", [](Plan& plan) { plan.env = {"NOVALUE"}; }},
        {"deadline", [](Plan& plan) { plan.timeoutUsec = 0; }},
        {"limit", [](Plan& plan) { plan.limits.memory = 0; }},
        {"log", [](Plan& plan) { plan.logMax = 0; }},
        {"stdin", [](Plan& plan) { plan.stdio[0] = Stdio::Log; }},
        {"stdin's only", [](Plan& plan) { plan.stdio[1] = Stdio::Pipe; }},
        {"all three", [](Plan& plan) { plan.stdio[0] = Stdio::Terminal; }},
        {"rows", [](Plan& plan) { plan.rows = 24; }},
        {"70000 columns",
         [](Plan& plan) {
             plan.stdio.fill(Stdio::Terminal);
             plan.columns = 70000;
         }},
        {"does not hold", [](Plan& plan) { plan.attached = 1; }},
        {"that there is not", [](Plan& plan) { plan.attached = 8; }},
        {"that there is not",
         [](Plan& plan) {
             plan.stdio.fill(Stdio::Terminal);
             plan.attached = 4;
         }},
        {"seccomp", [](Plan& plan) { plan.filter.clear(); }},
    };
    for (const auto& one : cases) {
        Plan plan = goodPlan();
        one.spoil(plan);
        auto checked = checkShape(plan);
        ASSERT_FALSE(checked) << one.words;
        EXPECT_THAT(checked.error().message, HasSubstr(one.words));
    }
}

TEST(CheckShape, KnowsEveryNamespaceButTheMounts) {
    for (const std::uint32_t bit : {kNsNet, kNsIpc, kNsUts, kNsUser, kNsCgroup, kNsTime}) {
        Plan plan = goodPlan();
        plan.namespaces = bit;
        EXPECT_TRUE(checkShape(plan)) << bit;
    }
    Plan joining = goodPlan();
    joining.namespaces = kNsPid;
    EXPECT_FALSE(checkShape(joining)) << "without processes = join";
    joining.processes = Processes::Join;
    EXPECT_TRUE(checkShape(joining));
    joining.namespaces = 0;
    EXPECT_FALSE(checkShape(joining)) << "without the namespace";
    Plan unknown = goodPlan();
    unknown.namespaces = kNsMnt;  // is never joined as such
    EXPECT_FALSE(checkShape(unknown));
}

// Threat T3, as far as one process tells it.
TEST(CheckTarget, JoinsNoProcessThatMayTraceAnyOther) {
    Plan plan = goodPlan();
    plan.namespaces = kNsPid;
    plan.processes = Processes::Join;
    TargetFacts facts = someFacts();
    facts.uidMap = facts.gidMap = {{0, 0, 65536}};
    EXPECT_TRUE(checkTarget(plan, facts, someHost(), Ceiling{}, 0));
    facts.capBounding = 1ull << 19;  // CAP_SYS_PTRACE
    facts.hostNamespaces = kNsUser;
    EXPECT_EQ(checkTarget(plan, facts, someHost(), Ceiling{}, 0).error().code, Errc::Denied);
    facts.hostNamespaces = 0;
    EXPECT_TRUE(checkTarget(plan, facts, someHost(), Ceiling{}, 0)) << "in a user namespace of its own it reaches no process of the host's";
}

TEST(CheckTarget, KnowsTheIdsOfAJoinedUserNamespace) {
    Plan plan = goodPlan();
    plan.namespaces = kNsUser;
    TargetFacts facts = someFacts();
    EXPECT_THAT(checkTarget(plan, facts, someHost(), Ceiling{}, 0).error().message, HasSubstr("uid 101 is not mapped"));
    facts.uidMap = facts.gidMap = {{0, 100, 10}};
    EXPECT_TRUE(checkTarget(plan, facts, someHost(), Ceiling{}, 0));
    plan.gid = 110;
    EXPECT_THAT(checkTarget(plan, facts, someHost(), Ceiling{}, 0).error().message, HasSubstr("gid 110 is not mapped"));
    plan.gid = 101;
    plan.uid = 100;  // 0 there
    EXPECT_THAT(checkCeiling(plan, Ceiling{}, facts).error().message, HasSubstr("root-user"));
}

TEST(IdMap, FindsTheNumberInside) {
    const auto map = parseIdMap("         0     100000      1000\n      1000       1000          1\nrubbish\n");
    EXPECT_EQ(map, (std::vector<IdRange>{{0, 100000, 1000}, {1000, 1000, 1}}));
    EXPECT_EQ(insideOf(map, 100101), 101u);
    EXPECT_EQ(insideOf(map, 1000), 1000u);
    EXPECT_EQ(insideOf(map, 101000), std::nullopt);
    EXPECT_EQ(insideOf(map, 0), std::nullopt);
}

TEST(ReadFilter, LetsOnlyNarrowingReturnsPass) {
    for (const std::uint32_t good :
         {SECCOMP_RET_ALLOW, SECCOMP_RET_LOG, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ERRNO | 1u, SECCOMP_RET_ERRNO | 4095u}) {
        const std::uint64_t program[] = {returning(good)};
        EXPECT_TRUE(readFilter(program)) << good;
    }
    for (const std::uint32_t bad : {SECCOMP_RET_TRAP, SECCOMP_RET_TRACE, SECCOMP_RET_USER_NOTIF, SECCOMP_RET_KILL_THREAD,
                                    SECCOMP_RET_ERRNO | 0u, SECCOMP_RET_ERRNO | 4096u, 0x7ffe0000u}) {
        const std::uint64_t program[] = {returning(SECCOMP_RET_ALLOW), returning(bad)};
        EXPECT_FALSE(readFilter(program)) << bad;
    }
    const std::uint64_t computed[] = {wire({BPF_RET | BPF_A, 0, 0, SECCOMP_RET_ALLOW})};
    EXPECT_FALSE(readFilter(computed));
    const std::vector<std::uint64_t> endless(kMaxFilter + 1, returning(SECCOMP_RET_ALLOW));
    EXPECT_FALSE(readFilter(endless));
}

TEST(CheckCeiling, RefusesEachKeyByItsName) {
    ASSERT_TRUE(checkCeiling(goodPlan(), Ceiling{}, someFacts()));
    const struct {
        const char* key;
        std::function<void(Plan&)> widen;
    } cases[] = {
        {"capabilities", [](Plan& plan) { plan.capabilities = 1ull << 21; }},
        {"capabilities", [](Plan& plan) { plan.capabilities = 1ull << 63; }},
        {"root-user", [](Plan& plan) { plan.uid = 0; }},
        {"root-user", [](Plan& plan) { plan.gid = 0; }},
        {"root-user",
         [](Plan& plan) {
             plan.groups = {5, 0};
         }},
        {"root-user", [](Plan& plan) { plan.capabilities = 1ull << 7; }},
        {"max.memory", [](Plan& plan) { plan.limits.memory = ~0ull; }},
        {"max.timeout", [](Plan& plan) { plan.timeoutUsec = ~0ull; }},
        {"max.grace", [](Plan& plan) { plan.graceUsec = ~0ull; }},
        {"max.log", [](Plan& plan) { plan.logMax = ~0ull; }},
        {"views", [](Plan& plan) { plan.view = View::Write; }},
    };
    for (const auto& one : cases) {
        Plan plan = goodPlan();
        one.widen(plan);
        auto checked = checkCeiling(plan, Ceiling{}, someFacts());
        ASSERT_FALSE(checked) << one.key;
        EXPECT_EQ(checked.error().code, Errc::Denied);
        EXPECT_THAT(checked.error().message, HasSubstr(one.key));
    }
}

TEST(CheckCeiling, RootOfARootTargetNeedsNoLeave) {
    TargetFacts root = someFacts();
    root.uid = root.gid = 0;
    Plan plan = goodPlan();
    plan.uid = plan.gid = 0;
    plan.capabilities = 1ull << 7;
    EXPECT_TRUE(checkCeiling(plan, Ceiling{}, root));
}

TEST(CheckTarget, RefusesEveryDifferenceAndTheHosts) {
    Plan plan = goodPlan();
    plan.namespaces = kNsNet | kNsUts;
    ASSERT_TRUE(checkTarget(plan, someFacts(), someHost(), Ceiling{}, 0));
    TargetFacts facts = someFacts();
    facts.startTime += 1;
    EXPECT_EQ(checkTarget(plan, facts, someHost(), Ceiling{}, 0).error().code, Errc::TargetGone);
    facts = someFacts();
    facts.cgroup = "/pod/other";
    EXPECT_EQ(checkTarget(plan, facts, someHost(), Ceiling{}, 0).error().code, Errc::TargetGone);
    facts = someFacts();
    facts.namespaces[1] = 5;
    EXPECT_EQ(checkTarget(plan, facts, someHost(), Ceiling{}, 0).error().code, Errc::TargetGone);
    facts = someFacts();
    facts.namespaces[2] = 5;  // ipc, which the plan does not use
    EXPECT_TRUE(checkTarget(plan, facts, someHost(), Ceiling{}, 0));
    facts = someFacts();
    facts.hostNamespaces = kNsUts;
    EXPECT_THAT(checkTarget(plan, facts, someHost(), Ceiling{}, 0).error().message, HasSubstr("host's uts"));
    plan.view = View::ReadOnly;
    facts = someFacts();
    facts.rootDevice = someHost().root.device;
    facts.rootInode = someHost().root.inode;
    EXPECT_EQ(checkTarget(plan, facts, someHost(), Ceiling{}, 0).error().code, Errc::Denied);
    facts = someFacts();
    facts.hostNamespaces = kNsMnt;
    EXPECT_THAT(checkTarget(plan, facts, someHost(), Ceiling{}, 0).error().message, HasSubstr("host's mnt"));
}

// Whoever made the user namespace chose the root.
TEST(CheckTarget, AViewOfAUserNamespaceIsWorthWhatItsUsersAre) {
    TargetFacts facts = someFacts();
    facts.hostNamespaces = 0;
    facts.userNamespaceMapped = true;
    facts.uidMap = facts.gidMap = {{0, 3000000, 65536}};
    Plan plan = goodPlan();
    plan.view = View::ReadOnly;
    plan.capabilities = 0;
    plan.uid = plan.gid = 3000101;
    EXPECT_TRUE(checkTarget(plan, facts, someHost(), Ceiling{}, 0));
    plan.uid = plan.gid = 65534;
    EXPECT_TRUE(checkTarget(plan, facts, someHost(), Ceiling{}, 0));
    plan.capabilities = 1ull << CAP_DAC_READ_SEARCH;
    EXPECT_THAT(checkTarget(plan, facts, someHost(), Ceiling{}, 0).error().message,
                HasSubstr("CAP_DAC_READ_SEARCH would count outside of it"));
    plan.view = View::None;
    plan.processes = Processes::Observe;
    EXPECT_TRUE(checkTarget(plan, facts, someHost(), Ceiling{}, 0));
    plan.processes = Processes::Join;
    EXPECT_FALSE(checkTarget(plan, facts, someHost(), Ceiling{}, 0)) << "it reaches files by /proc/1/root";
    plan.processes = Processes::Observe;
    plan.view = View::Write;
    plan.capabilities = 0;
    plan.uid = 1000;
    EXPECT_THAT(checkTarget(plan, facts, someHost(), Ceiling{}, 0).error().message, HasSubstr("uid 1000 is none of its users"));
    plan.uid = 3000101;
    plan.groups = {3000101, 999};
    EXPECT_THAT(checkTarget(plan, facts, someHost(), Ceiling{}, 0).error().message, HasSubstr("gid 999 is none of its groups"));
    plan.namespaces |= kNsUser;
    plan.gid = 3000101;
    EXPECT_THAT(checkTarget(plan, facts, someHost(), Ceiling{}, 0).error().message, HasSubstr("gid 999 is none of its groups"))
        << "joined or not";
    plan.capabilities = 1ull << CAP_DAC_READ_SEARCH;
    facts.groups = {999};
    EXPECT_TRUE(checkTarget(plan, facts, someHost(), Ceiling{}, 0)) << "the target has it, and capabilities count there only";
}

TEST(CheckStdio, TakesPipesSocketsFilesAndNullOnly) {
    UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    UniqueFd zero(::open("/dev/zero", O_RDWR | O_CLOEXEC));
    UniqueFd folder(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    UniqueFd path(::open("/dev/null", O_PATH | O_CLOEXEC));
    UniqueFd terminal(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    UniqueFd read(ends[0]);
    UniqueFd write(ends[1]);
    EXPECT_TRUE(checkStdio(null.get(), 0, goodPlan()));
    EXPECT_TRUE(checkStdio(read.get(), 0, goodPlan()));
    EXPECT_TRUE(checkStdio(write.get(), 1, goodPlan()));
    EXPECT_FALSE(checkStdio(write.get(), 0, goodPlan()));
    EXPECT_FALSE(checkStdio(read.get(), 2, goodPlan()));
    EXPECT_FALSE(checkStdio(zero.get(), 0, goodPlan()));
    EXPECT_FALSE(checkStdio(folder.get(), 0, goodPlan()));
    EXPECT_FALSE(checkStdio(path.get(), 1, goodPlan()));
    EXPECT_FALSE(checkStdio(terminal.get(), 1, goodPlan()));
}

}  // namespace
}  // namespace recap::launcher
