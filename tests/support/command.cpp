// SPDX-License-Identifier: Apache-2.0
#include "tests/support/command.hpp"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace recap::test {
namespace {

struct Pipe {
    UniqueFd read, write;
    Pipe() {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error(std::string("pipe: ") + std::strerror(errno));
        read.reset(ends[0]);
        write.reset(ends[1]);
    }
};

[[noreturn]] void giveUp(const char* what) {
    ::dprintf(STDERR_FILENO, "%s: %s\n", what, std::strerror(errno));
    ::_exit(127);
}

void becomeUser(const Command& command) {
    if (!command.uid) return;
    const gid_t gid = command.gid.value_or(*command.uid);
    if (::setgroups(0, nullptr) != 0 || ::setresgid(gid, gid, gid) != 0 || ::setresuid(*command.uid, *command.uid, *command.uid) != 0)
        giveUp("change user");
}

// In the forked child.
[[noreturn]] void execute(const Command& command, int networkPidfd, int input, int out, int err) {
    if (::dup2(input, 0) < 0 || ::dup2(out, 1) < 0 || ::dup2(err, 2) < 0) ::_exit(127);
    if (networkPidfd >= 0 && ::setns(networkPidfd, CLONE_NEWNET) != 0) giveUp("join the network namespace");
    becomeUser(command);
    for (const auto& [key, value] : command.env) ::setenv(key.c_str(), value.c_str(), 1);
    std::vector<char*> argv;
    for (const auto& word : command.argv) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    ::execvp(argv[0], argv.data());
    giveUp(argv[0]);
}

bool drain(UniqueFd& fd, std::string& into) {
    std::array<char, 65536> buffer{};
    const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got > 0) into.append(buffer.data(), static_cast<std::size_t>(got));
    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) fd.reset();
    return got > 0;
}

}  // namespace

std::string CommandResult::all() const {
    return (timedOut ? "timed out" : "exit status " + std::to_string(status)) + "\nstdout: " + out + "\nstderr: " + err;
}

Child::Child(const Command& command) {
    Pipe input, out, err;
    UniqueFd file, network;
    if (command.network != 0) network = openPidfd(command.network);
    if (!command.outputFile.empty()) {
        file.reset(::open(command.outputFile.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
        if (!file) throw std::runtime_error("open " + command.outputFile.string() + ": " + std::strerror(errno));
    }
    if (command.input.size() > 65536 || ::write(input.write.get(), command.input.data(), command.input.size()) < 0)
        throw std::runtime_error("input of " + command.argv.at(0) + " does not fit into a pipe");
    input.write.reset();
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error(std::string("fork: ") + std::strerror(errno));
    if (pid_ == 0)
        execute(command, network.get(), input.read.get(), file ? file.get() : out.write.get(), file ? file.get() : err.write.get());
    pidfd_ = openPidfd(pid_);
    out_ = std::move(out.read);
    err_ = std::move(err.read);
}

Child::~Child() {
    if (reaped_ || pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    reap();
}

void Child::signal(int number) const {
    if (!reaped_) ::kill(pid_, number);
}

bool Child::pump(int timeoutMs) {
    std::array<pollfd, 2> fds{pollfd{out_.get(), POLLIN, 0}, pollfd{err_.get(), POLLIN, 0}};
    if (!out_ && !err_) return false;
    if (::poll(fds.data(), fds.size(), timeoutMs) <= 0) return true;
    if (fds[0].revents != 0) drain(out_, result_.out);
    if (fds[1].revents != 0) drain(err_, result_.err);
    return true;
}

bool Child::waitForOutput(const std::string& text, const Deadline& deadline) {
    for (;;) {
        if (result_.out.find(text) != std::string::npos || result_.err.find(text) != std::string::npos) return true;
        if (deadline.passed() || !pump(deadline.remainingMs())) return false;
    }
}

const std::string& Child::readOut() {
    for (std::size_t before = std::string::npos; before != result_.out.size() && pump(0);) before = result_.out.size();
    return result_.out;
}

void Child::reap() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    reaped_ = true;
    result_.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// The program's own end counts, not that of what it left behind with its stdout: after the end, only what is already in
// the pipes is read.
CommandResult Child::wait(const Deadline& deadline) {
    while (!reaped_) {
        std::array<pollfd, 3> fds{pollfd{out_.get(), POLLIN, 0}, pollfd{err_.get(), POLLIN, 0}, pollfd{pidfd_.get(), POLLIN, 0}};
        const int ready = ::poll(fds.data(), fds.size(), deadline.remainingMs());
        if (ready == 0 && deadline.passed()) {
            result_.timedOut = true;
            ::kill(pid_, SIGKILL);
            reap();
        } else if (fds[0].revents != 0) {
            drain(out_, result_.out);
        } else if (fds[1].revents != 0) {
            drain(err_, result_.err);
        } else if (fds[2].revents != 0) {
            reap();
        }
    }
    for (auto* end : {&out_, &err_})
        if (*end) ::fcntl(end->get(), F_SETFL, O_NONBLOCK);
    while (out_ && drain(out_, result_.out)) {
    }
    while (err_ && drain(err_, result_.err)) {
    }
    return result_;
}

CommandResult run(const Command& command) { return Child{command}.wait(Deadline{command.patience}); }
CommandResult run(std::vector<std::string> argv) { return run(Command{.argv = std::move(argv)}); }

CommandResult mustRun(const Command& command) {
    CommandResult result = run(command);
    if (result.ok()) return result;
    std::string line;
    for (const auto& word : command.argv) line += word + ' ';
    throw std::runtime_error(line + "\n" + result.all());
}
CommandResult mustRun(std::vector<std::string> argv) { return mustRun(Command{.argv = std::move(argv)}); }

}  // namespace recap::test
