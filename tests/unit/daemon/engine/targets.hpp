// SPDX-License-Identifier: Apache-2.0
// A table of targets without backends: a test tells it of processes that it makes, and sees what is heard of them.
#pragma once

#include <signal.h>
#include <sys/wait.h>

#include "fakes.hpp"

namespace recap::test {

class Child {
public:
    Child() : pid_(::fork()) {
        if (pid_ == 0) {
            ::pause();
            ::_exit(0);
        }
    }
    ~Child() { end(); }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    pid_t pid() const { return pid_; }
    void end() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        pid_ = 0;
    }

private:
    pid_t pid_;
};

struct Heard : TargetListener {
    std::vector<std::string> added, removed, changed;
    void targetAdded(const Target& target) override { added.push_back(target.id.text()); }
    void targetRemoved(const TargetId& id) override { removed.push_back(id.text()); }
    void targetChanged(const Target& target) override { changed.push_back(target.id.text() + " " + target.name); }
    std::vector<std::string> backends;
    void backendChanged(const BackendStatus& status) override { backends.push_back(status.name + " " + std::string(name(status.state))); }
};

struct TargetsTest : testing::Test {
    EventLoop loop = newLoop();
    ManualLauncher launcher;
    TargetTable table{loop.get(), launcher};
    Heard heard;
    TargetsTest() {
        table.listen(heard);
        table.state({"docker", "docker", BackendState::Ready, "", 0});
        table.state({"process", "process", BackendState::Ready, "", 0});
        table.state({"containerd", "containerd", BackendState::Waiting, "no socket at /run/containerd/containerd.sock", 0});
    }
    static Target target(const std::string& backend, const std::string& id, const std::string& name, pid_t pid = ::getpid()) {
        Target made;
        made.id = {backend, id};
        made.name = name;
        made.pid = pid;
        return made;
    }
    static TargetFacts factsOf(pid_t pid) {
        TargetFacts facts = Spine::facts();
        facts.startTime = pinProcess(pid).value().startTime;
        return facts;
    }
    std::string resolved(const std::string& text) const {
        const auto found = table.resolve(text);
        return found ? (*found)->id.text() : std::string(name(found.error().code)) + ": " + found.error().message;
    }
};

}  // namespace recap::test
