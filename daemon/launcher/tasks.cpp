// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/tasks.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <csignal>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/descriptors.hpp"
#include "daemon/launcher/kernel.hpp"

namespace recap::launcher {

namespace {

constexpr std::size_t kMaxOutput = 4096;     // of what is kept
constexpr std::size_t kMaxSaid = 64 * 1024;  // a task that says more is ended

struct Task {
    UniqueFd pidfd;
    UniqueFd output;
    Loop::TimerId deadline = 0;
    std::size_t said = 0;
    TaskResult result;
    std::function<void(TaskResult)> done;
};

// One read an event: a child that talks without end must not keep the supervisor.
void readOutput(Loop& loop, Task& task) {
    char buffer[4096];
    const ssize_t size = ::read(task.output.get(), buffer, sizeof(buffer));
    if (size == 0) return loop.remove(task.output.get());
    if (size < 0) return;
    task.said += static_cast<std::size_t>(size);
    task.result.output.append(buffer, std::min(static_cast<std::size_t>(size), kMaxOutput - task.result.output.size()));
    if (task.said <= kMaxSaid) return;
    loop.remove(task.output.get());
    kernel::signalPidfd(task.pidfd.get(), SIGKILL);
}

void finishTask(Loop& loop, const std::shared_ptr<Task>& task) {
    loop.remove(task->pidfd.get());
    readOutput(loop, *task);
    loop.remove(task->output.get());
    loop.cancel(task->deadline);
    siginfo_t info{};
    ::waitid(P_PIDFD, static_cast<id_t>(task->pidfd.get()), &info, WEXITED);
    task->result.status = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
    task->done(std::move(task->result));
}

}  // namespace

Result<void> runTask(Loop& loop, std::uint64_t timeoutUsec, const std::vector<int>& descriptors, const std::function<int()>& inChild,
                     std::function<void(TaskResult)> done, std::uint64_t namespaces) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return failErrno("pipe");
    auto task = std::make_shared<Task>();
    task->output.reset(ends[0]);
    UniqueFd theirs(ends[1]);
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
    clone_args args{};
    args.flags = namespaces;
    args.exit_signal = SIGCHLD;
    const pid_t child = kernel::clone3(args);
    if (child < 0) return failErrno("clone3");
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        kernel::resetSignals();
        ::dup2(theirs.get(), 2);
        keepDescriptors(descriptors);
        ::_exit(inChild());
    }
    task->pidfd.reset(kernel::openPidfd(child));
    task->done = std::move(done);
    task->deadline = loop.at(monotonicUsec() + timeoutUsec, [task] { kernel::signalPidfd(task->pidfd.get(), SIGKILL); });
    loop.add(task->output.get(), EPOLLIN, [&loop, task](std::uint32_t) { readOutput(loop, *task); });
    loop.add(task->pidfd.get(), EPOLLIN, [&loop, task](std::uint32_t) { finishTask(loop, task); });
    return {};
}

int executeHelper(const std::string& program, const std::string& argument, int in, int out, int three) {
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    // Out of the way first: a source may be one of the places.
    const int sources[] = {::fcntl(in < 0 ? null : in, F_DUPFD, 10), ::fcntl(out < 0 ? null : out, F_DUPFD, 10),
                           ::fcntl(three < 0 ? null : three, F_DUPFD, 10)};
    ::dup2(sources[0], 0);
    ::dup2(sources[1], 1);
    ::dup2(sources[2], 3);
    ::close_range(4, ~0u, 0);
    const char* argv[] = {program.c_str(), argument.empty() ? nullptr : argument.c_str(), nullptr};
    const char* envp[] = {"LC_ALL=C", nullptr};
    ::execve(program.c_str(), const_cast<char**>(argv), const_cast<char**>(envp));  // NOLINT: execve only reads
    const std::string line = program + ": " + ::strerrordesc_np(errno);
    static_cast<void>(::write(2, line.data(), line.size()) + 1);
    return 127;
}

}  // namespace recap::launcher
