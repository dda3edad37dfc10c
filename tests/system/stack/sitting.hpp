// SPDX-License-Identifier: Apache-2.0
// A person at a terminal: what is typed, seen and waited for there.
#pragma once

#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include <cstring>

#include "tests/system/stack/stack.hpp"

namespace recap::test {

// recapctl in the foreground of a terminal of its own, whose other side is here.
class Sitting {
public:
    explicit Sitting(std::vector<std::string> words) {
        int master = -1, slave = -1;
        const winsize size{30, 90, 0, 0};
        if (::openpty(&master, &slave, nullptr, nullptr, &size) != 0) throw std::runtime_error("openpty");
        master_.reset(master);
        slave_.reset(slave);
        before_ = mode();
        words.insert(words.begin(), "recapctl");
        pid_ = ::fork();
        if (pid_ == 0) {
            std::vector<char*> argv;
            for (auto& word : words) argv.push_back(word.data());
            argv.push_back(nullptr);
            ::login_tty(slave);
            ::closefrom(3);
            ::execvp(argv[0], argv.data());
            ::_exit(127);
        }
        ::fcntl(master, F_SETFD, FD_CLOEXEC);
        ::fcntl(slave, F_SETFD, FD_CLOEXEC);
    }
    ~Sitting() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
    Sitting(const Sitting&) = delete;
    Sitting& operator=(const Sitting&) = delete;

    void type(std::string_view keys) { ASSERT_EQ(::write(master_.get(), keys.data(), keys.size()), static_cast<ssize_t>(keys.size())); }
    bool sees(const std::string& text) {  // from what was seen last on
        const Deadline deadline{kPatience};
        for (auto found = seen_.find(text, at_);; found = seen_.find(text, at_)) {
            if (found != std::string::npos) at_ = found + text.size();
            if (found != std::string::npos) return true;
            if (!more(deadline)) return false;
        }
    }
    void resize(unsigned short rows, unsigned short columns) {
        const winsize size{rows, columns, 0, 0};
        ASSERT_EQ(::ioctl(master_.get(), TIOCSWINSZ, &size), 0);
    }
    void signal(int number) { ::kill(pid_, number); }
    bool stops() {
        int status = 0;
        return waitUntil([&] { return ::waitpid(pid_, &status, WUNTRACED | WNOHANG) == pid_; }, Deadline{kPatience}) && WIFSTOPPED(status);
    }
    int ends() {  // its status, as a shell says it
        int status = 0;
        if (!waitUntil([&] { return drained() && ::waitpid(pid_, &status, WNOHANG) == pid_; }, Deadline{kPatience})) return -1;
        pid_ = 0;
        drained();
        return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    bool isRaw() const { return (mode().c_lflag & (ICANON | ECHO | ISIG)) == 0; }
    bool becomesRaw() const {
        return waitUntil([&] { return isRaw(); }, Deadline{kPatience});
    }
    bool isAsBefore() const {
        const termios now = mode();
        return now.c_iflag == before_.c_iflag && now.c_oflag == before_.c_oflag && now.c_cflag == before_.c_cflag &&
               now.c_lflag == before_.c_lflag && std::memcmp(now.c_cc, before_.c_cc, sizeof now.c_cc) == 0;
    }
    const std::string& seen() const { return seen_; }

private:
    termios mode() const {
        termios mode{};
        ::tcgetattr(slave_.get(), &mode);
        return mode;
    }
    bool more(const Deadline& deadline) {
        char buffer[4096];
        if (!waitReadable(master_.get(), deadline)) return false;
        const ssize_t size = ::read(master_.get(), buffer, sizeof buffer);
        if (size > 0) seen_.append(buffer, static_cast<std::size_t>(size));
        return size > 0;
    }
    bool drained() {  // it may be waiting for room
        while (more(Deadline{std::chrono::milliseconds(0)})) continue;
        return true;
    }

    UniqueFd master_, slave_;
    termios before_{};
    pid_t pid_ = 0;
    std::string seen_;
    std::size_t at_ = 0;
};

}  // namespace recap::test
