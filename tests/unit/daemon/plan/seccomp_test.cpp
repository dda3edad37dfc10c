// SPDX-License-Identifier: Apache-2.0
#include "daemon/plan/seccomp.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "daemon/plan/profile_policy.hpp"
#include "daemon/plan/syscalls.hpp"
#include "sdk/manifest/files.hpp"
#include "tests/unit/daemon/plan/bpf.hpp"

using namespace recap;
using namespace recap::plan;
using recap::test::returnsOf;
using recap::test::runFilter;

namespace {

constexpr std::uint32_t kEperm = SECCOMP_RET_ERRNO | EPERM;
constexpr std::uint32_t kEnosys = SECCOMP_RET_ERRNO | ENOSYS;

std::uint32_t answer(const Filter& filter, int number, std::initializer_list<std::uint64_t> args = {},
                     std::uint32_t arch = AUDIT_ARCH_X86_64) {
    seccomp_data call{};
    call.nr = number;
    call.arch = arch;
    std::copy(args.begin(), args.end(), call.args);
    const auto result = runFilter(filter, call);
    EXPECT_TRUE(result) << "the program has no answer for " << number;
    return result.value_or(0xffffffff);
}

Filter compiled(const std::set<std::string>& syscalls, OnViolation onViolation = OnViolation::Errno) {
    auto filter = compileFilter(syscalls, onViolation);
    EXPECT_TRUE(filter) << filter.error().message;
    return filter ? *filter : Filter{};
}

std::string nameOf(int number) {
    char* name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, number);
    std::string result = name ? name : "";
    std::free(name);
    return result;
}

constexpr const char* kProfiles[] = {"default", "nonetwork", "strict", "network-debug", "shell", "trusted", "trace"};

manifest::Profile profile(const std::string& name) {
    const auto path = std::filesystem::path(std::getenv("RECAP_SOURCE_DIR")) / "policies" / (name + ".toml");
    auto text = manifest::readText(path);
    EXPECT_TRUE(text) << text.error().message;
    auto read = manifest::readProfile(*text, path.string());
    EXPECT_TRUE(read) << manifest::join(read.diagnostics);
    return read.value.value_or(manifest::Profile{});
}

// A real shell under the real kernel: its exit status, 128+n for signal n.
int runUnder(const Filter& filter, const char* script) {
    const pid_t child = ::fork();
    if (child == 0) {
        auto code = filter;
        const sock_fprog program{static_cast<unsigned short>(code.size()), reinterpret_cast<sock_filter*>(code.data())};
        if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) ::_exit(99);
        ::execl("/bin/sh", "sh", "-c", script, nullptr);
        ::_exit(98);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

// The program against the set it was made from, for every number that is and some that are not.
TEST(Seccomp, AnswersAsTheSetSays) {
    const SyscallTable table;
    const std::set<std::string> always{"execve", "execveat", "exit", "exit_group", "rt_sigreturn"};
    for (const auto* name : kProfiles) {
        const auto policy = ProfilePolicy::make(profile(name), table);
        ASSERT_TRUE(policy) << policy.error().message;
        const auto asked = (*policy)->asked(manifest::Manifest{}, table);
        ASSERT_TRUE(asked);
        for (const auto& [onViolation, refused] :
             {std::pair{OnViolation::Errno, kEperm}, std::pair{OnViolation::Kill, std::uint32_t{SECCOMP_RET_KILL_PROCESS}},
              std::pair{OnViolation::Log, std::uint32_t{SECCOMP_RET_LOG}}}) {
            const auto filter = compiled(asked->syscalls, onViolation);
            EXPECT_LE(filter.size(), 4096u);
            for (int number = 0; number < 512; ++number) {
                const auto call = nameOf(number);
                const bool allowed = asked->syscalls.contains(call) || always.contains(call);
                std::uint32_t expected = allowed ? std::uint32_t{SECCOMP_RET_ALLOW} : refused;
                if (call == "clone3" || (call.empty() && number >= 424)) expected = kEnosys;
                EXPECT_EQ(answer(filter, number), expected) << name << ": " << number << " " << call;
            }
        }
    }
}

TEST(Seccomp, ReturnsOnlyWhatTheLauncherTakes) {
    for (const auto onViolation : {OnViolation::Errno, OnViolation::Kill, OnViolation::Log}) {
        const auto returns = returnsOf(compiled({"read", "ioctl", "clone"}, onViolation));
        ASSERT_TRUE(returns) << "a return of the accumulator";
        for (const auto value : *returns) {
            const auto action = value & SECCOMP_RET_ACTION_FULL, data = value & SECCOMP_RET_DATA;
            EXPECT_TRUE(value == SECCOMP_RET_ALLOW || value == SECCOMP_RET_LOG || value == SECCOMP_RET_KILL_PROCESS ||
                        (action == SECCOMP_RET_ERRNO && data >= 1 && data <= 4095))
                << std::hex << value;
        }
    }
}

TEST(Seccomp, EndsTheProcessOnOtherArchitectures) {
    const auto filter = compiled({"read", "write"});
    for (const std::uint32_t arch : {std::uint32_t{AUDIT_ARCH_I386}, std::uint32_t{AUDIT_ARCH_AARCH64}, std::uint32_t{0}})
        for (const int number : {0, 1, 3, 11, 59})
            EXPECT_EQ(answer(filter, number, {}, arch), std::uint32_t{SECCOMP_RET_KILL_PROCESS}) << arch << " " << number;
}

TEST(Seccomp, RefusesX32Numbers) {
    const auto filter = compiled({"read", "write", "ioctl"});
    for (const int number : {0, 1, 16, 59, 512, 520, 545}) {
        const auto result = answer(filter, number | 0x40000000);
        EXPECT_EQ(result, std::uint32_t{SECCOMP_RET_KILL_PROCESS}) << number;
    }
}

TEST(Seccomp, ComparesIoctlOnThe32BitsThatTheKernelReads) {
    const auto filter = compiled({"ioctl"});
    const auto ioctl = *syscallNumber("ioctl");
    for (const std::uint64_t request : {0x5412ull, 0x541cull})
        for (const std::uint64_t high : {0ull, 1ull << 32, 1ull << 63, 0xffffffff00000000ull})
            EXPECT_EQ(answer(filter, ioctl, {0, request | high}), kEperm) << std::hex << (request | high);
    for (std::uint64_t request = 0x5400; request < 0x5480; ++request) {
        const bool denied = request == 0x5412 || request == 0x541c;
        EXPECT_EQ(answer(filter, ioctl, {0, request}), denied ? kEperm : std::uint32_t{SECCOMP_RET_ALLOW}) << std::hex << request;
    }
    for (const std::uint64_t request : {0ull, 1ull, 0x80045430ull, 0xffffffffull, 0x15412ull, 0x80005412ull, 1ull << 32})
        EXPECT_EQ(answer(filter, ioctl, {0, request}), std::uint32_t{SECCOMP_RET_ALLOW}) << std::hex << request;
}

TEST(Seccomp, LetsCloneMakeNoNamespace) {
    const auto filter = compiled({"clone", "clone3"});
    const auto clone = *syscallNumber("clone"), clone3 = *syscallNumber("clone3");
    EXPECT_EQ(answer(filter, clone, {0x1200011}), std::uint32_t{SECCOMP_RET_ALLOW});  // fork()
    EXPECT_EQ(answer(filter, clone, {0x3d0f00}), std::uint32_t{SECCOMP_RET_ALLOW});   // a thread
    for (const std::uint64_t flag : {0x20000ull, 0x2000000ull, 0x4000000ull, 0x8000000ull, 0x10000000ull, 0x20000000ull, 0x40000000ull}) {
        EXPECT_EQ(answer(filter, clone, {flag | 17}), kEperm) << std::hex << flag;
        EXPECT_EQ(answer(filter, clone, {flag | 17 | (1ull << 40)}), kEperm) << std::hex << flag;
    }
    EXPECT_EQ(answer(filter, clone3), kEnosys) << "its flags can't be read";
}

TEST(Seccomp, AlwaysLetsAProgramStartAndEnd) {
    const auto filter = compiled({});
    for (const auto* name : {"execve", "execveat", "exit", "exit_group", "rt_sigreturn"})
        EXPECT_EQ(answer(filter, *syscallNumber(name)), std::uint32_t{SECCOMP_RET_ALLOW}) << name;
    EXPECT_EQ(answer(filter, *syscallNumber("read")), kEperm);
}

TEST(Seccomp, ShippedProfilesRunRealPrograms) {
    const SyscallTable table;
    for (const auto* name : kProfiles) {
        const auto policy = ProfilePolicy::make(profile(name), table);
        const auto asked = (*policy)->asked(manifest::Manifest{}, table);
        const auto filter = compiled(asked->syscalls, asked->onViolation);
        EXPECT_EQ(runUnder(filter, "ls -l / | grep -q etc && find /etc/passwd >/dev/null && test $(ps ax 2>/dev/null | wc -l) -gt 1"), 0)
            << name;
        if (std::string_view(name) != "trace") {
            EXPECT_NE(runUnder(filter, "unshare --user true 2>/dev/null"), 0) << name;
        }
    }
}

TEST(Seccomp, ADynamicProgramStartsUnderAnyGroups) {
    const SyscallTable table;
    const auto asked = table.expand({{"@basic-io"}, {}, {}, {}}, {});
    EXPECT_EQ(runUnder(compiled(*asked), "exit 7"), 7);
    EXPECT_EQ(runUnder(compiled(*asked, OnViolation::Kill), "cd /"), 128 + SIGSYS);
}

TEST(Seccomp, CompilesASetOnce) {
    FilterCache cache;
    const auto first = cache.get({"read"}, OnViolation::Errno), again = cache.get({"read"}, OnViolation::Errno),
               other = cache.get({"read"}, OnViolation::Kill);
    ASSERT_TRUE(first && again && other);
    EXPECT_EQ(*first, *again);
    EXPECT_NE(*first, *other);
    EXPECT_EQ(**first, compiled({"read"}));
}

TEST(Syscalls, GroupsMeanWhatSystemdMeans) {
    const SyscallTable table;
    EXPECT_THAT(table.groups(), testing::IsSupersetOf({"@default", "@basic-io", "@network-io", "@system-service"}));
    const auto net = table.expand({{"@network-io"}, {}, {}, {}}, {});
    ASSERT_TRUE(net);
    EXPECT_TRUE(net->contains("connect"));
    EXPECT_TRUE(net->contains("openat")) << "what a program needs to start";
    EXPECT_FALSE(net->contains("mount"));
    EXPECT_FALSE(net->contains("socketcall")) << "not of this architecture";
    EXPECT_TRUE(table.expand({{"@system-service"}, {}, {}, {}}, {})->contains("connect")) << "groups within groups";
}

TEST(Syscalls, AllowAndDenyChangeTheBase) {
    const SyscallTable table;
    const auto changed = table.expand({{}, {"eventfd2"}, {"read", "@network-io"}, {}}, {"read", "write", "connect"});
    ASSERT_TRUE(changed);
    EXPECT_EQ(*changed, (std::set<std::string>{"eventfd2", "write"}));
    EXPECT_EQ(table.expand({{"@nothing"}, {}, {}, {}}, {}).error().code, Errc::InvalidArgument);
    EXPECT_THAT(table.expand({{}, {"raed"}, {}, {}}, {}).error().message, testing::HasSubstr("'raed'"));
    EXPECT_FALSE(table.expand({{}, {}, {"raed"}, {}}, {}));
}
