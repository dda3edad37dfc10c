// SPDX-License-Identifier: Apache-2.0
// The jail as the kernel shows it, while recap-unpack waits for the first byte of an archive in a pipe; and what it can
// still do, asked by putting system calls into it with ptrace.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "tests/support/proc.hpp"
#include "tests/support/raw_tar.hpp"
#include "tests/support/wait.hpp"
#include "tests/unit/daemon/helpers/unpack/unpack_run.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;

class Jail : public testing::Test {
protected:
    void SetUp() override {
        int pipe[2];
        ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
        const UniqueFd input(pipe[0]);
        writer_.reset(pipe[1]);
        pid_ = run_.start(input.get());
        ASSERT_TRUE(waitUntil([&] { return statusOf(pid_)["Seccomp"] == "2" && readsFrom(0); }, Deadline(kPatience)));
    }
    void TearDown() override {
        writer_.reset();
        if (!ended_) run_.finish();
    }
    fs::path proc(const std::string& name) const { return fs::path("/proc") / std::to_string(pid_) / name; }
    // Whether it waits inside read() of this descriptor: only there may a call be put in its way (proc(5), /proc/pid/syscall).
    bool readsFrom(int fd) const {
        std::ifstream file(proc("syscall"));
        std::string number;
        std::string first;
        file >> number >> first;
        return number == std::to_string(SYS_read) && std::strtol(first.c_str(), nullptr, 16) == fd;
    }

    UnpackRun run_;
    UniqueFd writer_;
    pid_t pid_ = -1;
    bool ended_ = false;
};

TEST_F(Jail, HasFourCapabilitiesAndCanGainNone) {
    auto status = statusOf(pid_);
    for (const auto* set : {"CapEff", "CapPrm", "CapBnd"}) EXPECT_EQ(status[set], "000000000000001b") << set;
    for (const auto* set : {"CapInh", "CapAmb"}) EXPECT_EQ(status[set], "0000000000000000") << set;
    EXPECT_EQ(status["NoNewPrivs"], "1");
    EXPECT_EQ(status["Seccomp"], "2");
}

TEST_F(Jail, HasNamespacesOfItsOwn) {
    for (const auto* kind : {"mnt", "net", "ipc", "uts"}) EXPECT_NE(namespaceOf(pid_, kind), namespaceOf(::getpid(), kind)) << kind;
}

TEST_F(Jail, HasTheStagingFolderForItsWorld) {
    struct stat root {};
    struct stat staging {};
    ASSERT_EQ(::stat(proc("root/").c_str(), &root), 0);
    ASSERT_EQ(::stat(run_.staging().c_str(), &staging), 0);
    EXPECT_EQ(root.st_ino, staging.st_ino);
    EXPECT_EQ(root.st_dev, staging.st_dev);
    std::size_t folders = 0;
    for (const auto& entry : fs::directory_iterator(proc("fd"))) {
        struct stat info {};
        ASSERT_EQ(::stat(entry.path().c_str(), &info), 0);
        if (!S_ISDIR(info.st_mode)) continue;
        ++folders;
        EXPECT_EQ(info.st_ino, staging.st_ino) << "fd " << entry.path() << " is a way out";
    }
    EXPECT_GE(folders, 1u);
}

TEST_F(Jail, StillUnpacksWhatThenArrives) {
    writeRawImage({.layers = {rawTar({{.name = "a", .content = "x"}})}}, run_.folder() / "layout");
    const auto bytes = rawArchive(run_.folder() / "layout");
    ASSERT_EQ(::write(writer_.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    writer_.reset();
    const auto done = run_.finish();
    ended_ = true;
    EXPECT_EQ(done.status, 0) << done.sentence;
}

#if defined(__x86_64__)
class JailedCall : public Jail {
protected:
    // Makes the process do one system call, instead of the read() it waits in. The result; endedBy_ says if a signal was its end.
    long call(long number, long first, long second, long third, const std::string& path = {}) {
        EXPECT_EQ(::ptrace(PTRACE_SEIZE, pid_, nullptr, PTRACE_O_TRACESYSGOOD), 0);
        EXPECT_EQ(::ptrace(PTRACE_INTERRUPT, pid_, nullptr, nullptr), 0);
        int status = 0;
        EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
        user_regs_struct regs{};
        EXPECT_EQ(::ptrace(PTRACE_GETREGS, pid_, nullptr, &regs), 0);
        const auto memory = regs.rsp - 4096;
        const iovec local{const_cast<char*>(path.c_str()), path.size() + 1};
        const iovec remote{reinterpret_cast<void*>(memory), path.size() + 1};
        EXPECT_EQ(::process_vm_writev(pid_, &local, 1, &remote, 1, 0), static_cast<ssize_t>(path.size() + 1));
        regs.rip -= 2;  // back to the syscall instruction
        regs.orig_rax = ~0ull;
        regs.rax = static_cast<unsigned long long>(number);
        regs.rdi = static_cast<unsigned long long>(first);
        regs.rsi = path.empty() ? static_cast<unsigned long long>(second) : memory;
        regs.rdx = static_cast<unsigned long long>(third);
        regs.r10 = 0;
        EXPECT_EQ(::ptrace(PTRACE_SETREGS, pid_, nullptr, &regs), 0);
        for (int stop = 0; stop < 2; ++stop) {  // its entry and its exit
            ::ptrace(PTRACE_SYSCALL, pid_, nullptr, nullptr);
            EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
        }
        EXPECT_EQ(::ptrace(PTRACE_GETREGS, pid_, nullptr, &regs), 0);
        ::ptrace(PTRACE_DETACH, pid_, nullptr, nullptr);  // a killed one dies now; another takes the result for its read()'s
        writer_.reset();
        EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
        ended_ = true;
        endedBy_ = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        return static_cast<long>(regs.rax);
    }

    int endedBy_ = 0;
};

TEST_F(JailedCall, FindsNoFileOfTheHost) { EXPECT_EQ(call(SYS_openat, AT_FDCWD, 0, O_RDONLY, "/etc/passwd"), -ENOENT); }

TEST_F(JailedCall, CannotClimbOutOfItsRoot) {
    EXPECT_EQ(call(SYS_openat, 3, 0, O_RDONLY, "../../../../../../../../../../etc/passwd"), -ENOENT);
}

TEST_F(JailedCall, DiesOfASocket) {
    call(SYS_socket, 1, 1, 0);
    EXPECT_EQ(endedBy_, SIGSYS);
}

TEST_F(JailedCall, DiesOfAnExec) {
    call(SYS_execve, 0, 0, 0);
    EXPECT_EQ(endedBy_, SIGSYS);
}

TEST_F(JailedCall, DiesOfABlockDevice) {
    call(SYS_mknodat, AT_FDCWD, 0, S_IFBLK | 0600, "disk");
    EXPECT_EQ(endedBy_, SIGSYS);
}

TEST_F(JailedCall, DiesOfExecutableMemory) {
    call(SYS_mmap, 0, 4096, 7);
    EXPECT_EQ(endedBy_, SIGSYS);
}

TEST_F(JailedCall, DiesOfAMount) {
    call(SYS_mount, 0, 0, 0);
    EXPECT_EQ(endedBy_, SIGSYS);
}
#endif

}  // namespace
}  // namespace recap::test
