// SPDX-License-Identifier: Apache-2.0
// What recap-launcher refuses, from a client that it trusts no further than its ceiling: each before any side effect.
#include <elf.h>
#include <fcntl.h>
#include <pty.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/system/launcher/launcher_fixture.hpp"

namespace recap::test {
namespace {

using namespace launcher;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LauncherRefusal : public LauncherTest {
protected:
    Plan good() { return plan({"exit"}); }
};

TEST_F(LauncherRefusal, WritesARecordOfARefusal) {
    Plan asked = good();
    asked.limits.memory = 1ull << 50;
    expectRefused(asked, Errc::Denied, "max.memory");
    EXPECT_THAT(launcher_->journal(), Contains(::testing::AllOf(HasSubstr(asked.runId), HasSubstr("REFUSED"))));
}

TEST_F(LauncherRefusal, AnImageThatIsUnknownNotAdmittedForeignOrNotMadeOfTheseLayers) {
    const std::string imported(64, 'c'), arm(64, 'd');
    launcher_->addImage(imported, false, EM_X86_64);
    launcher_->addImage(arm, true, EM_AARCH64);
    before_ = outside_->look();
    Plan asked = good();
    asked.imageDigest = std::string(64, 'e');
    expectRefused(asked, Errc::NotFound, asked.imageDigest);
    asked.imageDigest = imported;
    expectRefused(asked, Errc::NotAdmitted, "recap-admit");
    asked.imageDigest = arm;
    expectRefused(asked, Errc::NotSupported, "architecture");
    asked = good();
    asked.layers = {std::string(64, 'f')};
    expectRefused(asked, Errc::Denied, "layers");
    asked.layers = {};
    expectRefused(asked, Errc::InvalidArgument, "layers");
    asked.layers = {"../../../../etc"};
    expectRefused(asked, Errc::InvalidArgument, "hex");
}

TEST_F(LauncherRefusal, WhatIsWiderThanTheCeilingByTheKeysName) {
    const struct {
        const char* words;
        void (*widen)(Plan&);
    } kCases[] = {
        {"capabilities", [](Plan& p) { p.capabilities = 1ull << 21; }},  // CAP_SYS_ADMIN
        {"root-user", [](Plan& p) { p.uid = 0; }},
        {"root-user", [](Plan& p) { p.gid = 0; }},
        {"root-user", [](Plan& p) { p.groups = {0}; }},
        {"root-user", [](Plan& p) { p.capabilities = 1ull << 7; }},  // CAP_SETUID
        {"max.memory", [](Plan& p) { p.limits.memory = 1ull << 50; }},
        {"max.cpu", [](Plan& p) { p.limits.cpuMilli = 1'000'000; }},
        {"max.pids", [](Plan& p) { p.limits.pids = 1'000'000; }},
        {"max.scratch", [](Plan& p) { p.limits.scratch = 1ull << 50; }},
        {"max.timeout", [](Plan& p) { p.timeoutUsec = ~0ull; }},
        {"max.grace", [](Plan& p) { p.graceUsec = ~0ull; }},
        {"max.log", [](Plan& p) { p.logMax = ~0ull; }},
        {"max.open-files", [](Plan& p) { p.noFile = 1'000'000; }},
    };
    for (const auto& one : kCases) {
        Plan asked = good();
        one.widen(asked);
        SCOPED_TRACE(one.words);
        expectRefused(asked, Errc::Denied, one.words);
    }
}

TEST_F(LauncherRefusal, WhatIsMissing) {
    const struct {
        const char* words;
        void (*remove)(Plan&);
    } kCases[] = {
        {"deadline", [](Plan& p) { p.timeoutUsec = 0; }},  {"limit", [](Plan& p) { p.limits.memory = 0; }},
        {"limit", [](Plan& p) { p.limits.cpuMilli = 0; }}, {"limit", [](Plan& p) { p.limits.pids = 0; }},
        {"limit", [](Plan& p) { p.limits.scratch = 0; }},  {"arguments", [](Plan& p) { p.argv = {}; }},
        {"seccomp", [](Plan& p) { p.filter = {}; }},       {"log", [](Plan& p) { p.logMax = 0; }},
    };
    for (const auto& one : kCases) {
        Plan asked = good();
        one.remove(asked);
        SCOPED_TRACE(one.words);
        expectRefused(asked, Errc::InvalidArgument, one.words);
    }
}

// setresuid(2) takes 4294967295 as "leave it": the payload would stay the launcher's own uid 0.
TEST_F(LauncherRefusal, AnIdentityThatMeansTheLaunchersOwn) {
    void (*const kCases[])(Plan&) = {[](Plan& p) { p.uid = UINT32_MAX; }, [](Plan& p) { p.gid = UINT32_MAX; },
                                     [](Plan& p) { p.groups = {UINT32_MAX}; }};
    for (const auto& change : kCases) {
        Plan asked = good();
        change(asked);
        expectRefused(asked, Errc::InvalidArgument, "4294967295");
    }
}

TEST_F(LauncherRefusal, ArtifactsWithinWhatTheLauncherMounts) {
    for (const char* path : {"/target", "/target/tmp", "/proc/1", "/dev/x", "/.recap/proc"}) {
        SCOPED_TRACE(path);
        Plan asked = good();
        asked.artifacts = path;
        asked.artifactsMax = 1 << 20;
        expectRefused(asked, Errc::InvalidArgument, "artifacts");
    }
}

// A socket is a door into its own network namespace, and does not go to a payload that could use it; a file's server may not answer.
TEST_F(LauncherRefusal, StdioThatThePayloadCouldUseOnTheHost) {
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    const UniqueFd one{pair[0]}, other{pair[1]};
    const TempDir folder;
    const UniqueFd file{::open((folder.path() / "out").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644)};
    const UniqueFd pidfd = openPidfd(nginx_->pid());
    const auto refusal = [&](const Plan& asked, int fd) {
        const auto started = client_->ask<Started>(Verb::Start, asked, {pidfd.get(), fd});
        return started ? std::string("was started") : started.error().message;
    };
    Plan asked = good();
    asked.stdio = {Stdio::Null, Stdio::Given, Stdio::Null};
    asked.capabilities = 1ull << 13;  // CAP_NET_RAW
    EXPECT_THAT(refusal(asked, one.get()), HasSubstr("is a socket: a capsule with capabilities"));
    asked.capabilities = 0;
    EXPECT_THAT(refusal(asked, file.get()), HasSubstr("is of a regular file"));
    EXPECT_THAT(differences(before_, outside_->look()), IsEmpty());
}

TEST_F(LauncherRefusal, PathsThatAreNotPlain) {
    for (const char* path : {"payload", "/../payload", "/a/./b", "/a//b", "/a/", "", "/x\n"}) {
        SCOPED_TRACE(path);
        Plan asked = good();
        asked.executable = path;
        expectRefused(asked, Errc::InvalidArgument, "executable");
        asked = good();
        asked.workdir = path;
        expectRefused(asked, Errc::InvalidArgument, "workdir");
        if (*path == '\0') continue;  // no artifacts
        asked = good();
        asked.artifacts = path;
        asked.artifactsMax = 4096;
        expectRefused(asked, Errc::InvalidArgument, "artifacts");
    }
}

TEST_F(LauncherRefusal, ASeccompProgramThatReturnsMoreThanMayNarrow) {
    for (const std::uint64_t value :
         {0x7ff00000ull, 0x7fc00000ull, 0x00030000ull, 0x00000000ull, 0x00050000ull}) {  // TRACE USER_NOTIF TRAP KILL_THREAD ERRNO 0
        Plan asked = good();
        asked.filter = {value << 32 | 6};
        expectRefused(asked, Errc::Denied, "returns something else");
    }
    Plan asked = good();
    asked.filter = {0x16};  // BPF_RET | BPF_A: what the accumulator holds
    expectRefused(asked, Errc::Denied, "returns something else");
    asked.filter.assign(kMaxFilter + 1, 0x7fff'0000'0000'0006);
    EXPECT_FALSE(startPlan(*client_, asked, nginx_->pid()));
}

TEST_F(LauncherRefusal, DescriptorsThatNoPayloadMayHave) {
    int master = -1, terminal = -1;
    ASSERT_EQ(::openpty(&master, &terminal, nullptr, nullptr, nullptr), 0);
    const UniqueFd masterEnd{master}, terminalEnd{terminal}, folder{::open("/", O_RDONLY | O_DIRECTORY)},
        path{::open("/etc/passwd", O_PATH)}, readOnly{::open("/etc/passwd", O_RDONLY)};
    const UniqueFd pidfd = openPidfd(nginx_->pid());
    Plan asked = good();
    asked.stdio = {Stdio::Null, Stdio::Given, Stdio::Null};
    for (const int fd : {terminalEnd.get(), folder.get(), path.get(), readOnly.get(), pidfd.get()}) {
        const auto started = client_->ask<Started>(Verb::Start, asked, {pidfd.get(), fd});
        ASSERT_FALSE(started);
        EXPECT_EQ(name(started.error().code), "InvalidArgument") << started.error().message;
    }
    EXPECT_FALSE(client_->ask<Started>(Verb::Start, asked, {pidfd.get()})) << "a descriptor too few";
    EXPECT_FALSE(client_->ask<Started>(Verb::Start, good(), {pidfd.get(), readOnly.get()})) << "a descriptor too many";
    EXPECT_FALSE(client_->ask<Started>(Verb::Start, good(), {readOnly.get()})) << "not a pidfd";
    EXPECT_FALSE(client_->ask<Started>(Verb::Start, good())) << "no pidfd";
    EXPECT_THAT(differences(before_, outside_->look()), IsEmpty());
}

TEST_F(LauncherRefusal, WhatThisVersionDoesNotDoYet) {
    const struct {
        const char* words;
        void (*ask)(Plan&);
    } kCases[] = {
        {"disk",
         [](Plan& p) {
             p.artifacts = "/out";
             p.artifactsMax = 4096;
             p.artifactsStorage = Storage::Disk;
         }},
    };
    for (const auto& one : kCases) {
        Plan asked = good();
        one.ask(asked);
        SCOPED_TRACE(one.words);
        expectRefused(asked, Errc::NotSupported, one.words);
    }
}

TEST_F(LauncherRefusal, AnExecutableThatIsNotAProgramOfTheImage) {
    for (const char* path : {"/absent", "/script", "/etc", "/magic", "/proc/self/exe", "/dev/null"}) {
        SCOPED_TRACE(path);
        Plan asked = good();
        asked.executable = path;
        auto log = startPlan(*client_, asked, nginx_->pid());
        if (!log) continue;  // refused at once is as good
        const Report report = finish(*client_, asked.runId, log->get()).report;
        EXPECT_EQ(report.end, End::NotStarted);
        EXPECT_NE(report.error, 0);
        EXPECT_FALSE(report.step.empty());
        EXPECT_TRUE(client_->ask<Empty>(Verb::Ack, RunRef{asked.runId}));
    }
}

TEST_F(LauncherRefusal, AWorkdirThatLeadsOutOfTheCapsule) {
    for (int i = 3; i < 12; ++i) {
        Plan asked = plan({"self"});
        asked.processes = Processes::None;
        asked.workdir = "/proc/self/fd/" + std::to_string(i);
        auto log = startPlan(*client_, asked, nginx_->pid());
        if (!log) continue;
        EXPECT_EQ(finish(*client_, asked.runId, log->get()).report.end, End::NotStarted) << asked.workdir;
        EXPECT_TRUE(client_->ask<Empty>(Verb::Ack, RunRef{asked.runId}));
    }
}

TEST_F(LauncherRefusal, ARunIdTwice) {
    const Plan asked = plan({"rest"});
    const auto log = startPlan(*client_, asked, nginx_->pid());
    ASSERT_TRUE(log) << log.error().message;
    const auto again = startPlan(*client_, asked, nginx_->pid());
    ASSERT_FALSE(again);
    EXPECT_EQ(name(again.error().code), "AlreadyExists") << again.error().message;
    ASSERT_TRUE(client_->ask<Empty>(Verb::Stop, StopRequest{asked.runId, 1'000'000}));
    finish(*client_, asked.runId, log->get());
    EXPECT_TRUE(client_->ask<Empty>(Verb::Ack, RunRef{asked.runId}));
}

TEST_F(LauncherRefusal, RunsThatDoNotExist) {
    const RunRef none{freshRunId()};
    EXPECT_EQ(name(client_->ask<Empty>(Verb::Stop, StopRequest{none.runId, 0}).error().code), "NotFound");
    EXPECT_EQ(name(client_->ask<Empty>(Verb::Signal, SignalRequest{none.runId, 15}).error().code), "NotFound");
    EXPECT_EQ(name(client_->ask<Empty>(Verb::Collect, none).error().code), "NotFound");
}

// Bytes that are no message: refused or hung up on, and the launcher goes on.
TEST_F(LauncherRefusal, BytesThatAreNoMessage) {
    const std::string real = encode(Verb::Start, 1, good());
    std::vector<std::string> wrong{std::string(1, 'x'), real.substr(0, 10), real.substr(0, real.size() - 1), real + "x",
                                   std::string(70000, '\xff')};
    for (const std::size_t at : {0u, 4u, 6u, 8u, 16u, 20u}) {
        wrong.push_back(real);
        wrong.back()[at] = static_cast<char>(wrong.back()[at] ^ 0x7f);
    }
    for (const std::string& bytes : wrong) {
        LauncherClient client{launcher_->socket()};
        static_cast<void>(client.ask<Hello>(Verb::Hello, Hello{}));
        const UniqueFd pidfd = openPidfd(nginx_->pid());
        try {
            const auto answer = client.exchange(bytes, {pidfd.get()});
            if (answer) {
                EXPECT_FALSE(decodeReply<Started>(answer->bytes));
            }
        } catch (const std::runtime_error& hungUp) {
            EXPECT_THAT(hungUp.what(), testing::Not(HasSubstr("says nothing")));
        }
    }
    EXPECT_EQ(payload({"exit", "5"}).report.value, 5);
}

// A whole HELLO, so that only who says it can be why it is not answered.
std::string helloAs(const std::filesystem::path& socket, std::uint32_t uid) {
    std::string hex;
    for (const char one : encode(Verb::Hello, 1, Hello{})) {
        const auto byte = static_cast<unsigned char>(one);
        hex += "0123456789abcdef"[byte >> 4];
        hex += "0123456789abcdef"[byte & 15];
    }
    const CommandResult asked =
        test::run(Command{.argv = {"python3", "-c",
                                   "import socket,sys\ns=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET)\ns.settimeout(20)\n"
                                   "try:\n s.connect(sys.argv[1]); s.send(bytes.fromhex(sys.argv[2])); r=s.recv(4096)\nexcept OSError as "
                                   "e:\n print('refused'); sys.exit()\n"
                                   "print('refused' if not r or r[16:20]!=bytes(4) else 'answered')",
                                   socket.string(), hex},
                          .uid = uid});
    return asked.out;
}

TEST_F(LauncherRefusal, AnotherUserThanTheDaemons) {
    ASSERT_EQ(::chmod(launcher_->socket().c_str(), 0666), 0);  // were the socket's mode not enough
    const std::string stranger = helloAs(launcher_->socket(), 65534), own = helloAs(launcher_->socket(), 0);
    ASSERT_EQ(::chmod(launcher_->socket().c_str(), 0600), 0);
    EXPECT_EQ(stranger, "refused\n");
    EXPECT_EQ(own, "answered\n") << "the test's own launcher serves root";
}

TEST_F(LauncherRefusal, CallsThatNoPayloadMayMake) {
    const long kForbidden[] = {SYS_mount,       SYS_setns,  SYS_unshare,        SYS_bpf,        SYS_open_by_handle_at,
                               SYS_init_module, SYS_keyctl, SYS_io_uring_setup, SYS_userfaultfd};
    for (const long number : kForbidden) {
        const Finished finished = payload({"call", std::to_string(number)});
        EXPECT_EQ(finished.report.end, End::Signalled) << number << finished.out;
        EXPECT_EQ(finished.report.value, SIGSYS) << number;
    }
}

}  // namespace
}  // namespace recap::test
