// SPDX-License-Identifier: Apache-2.0
// A real recap-launcher of one's own, and a client that speaks its protocol: for tests of the launcher without recapd.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "daemon/launcher/ceiling.hpp"
#include "daemon/launcher/codec.hpp"
#include "daemon/launcher/transport.hpp"
#include "tests/support/command.hpp"
#include "tests/support/files.hpp"

namespace recap::test {

struct LauncherOptions {
    launcher::Ceiling ceiling = {};
    bool useV1 = true;
};

// Ended (TERM) and cleaned away when it goes out of scope.
class LauncherProcess {
public:
    explicit LauncherProcess(const LauncherOptions& options = {});
    LauncherProcess(const LauncherProcess&) = delete;
    LauncherProcess& operator=(const LauncherProcess&) = delete;
    ~LauncherProcess();

    pid_t pid() const { return process_->pid(); }
    std::filesystem::path socket() const { return dir_.path() / "launcher.sock"; }
    std::filesystem::path store() const { return dir_.path() / "store"; }
    const std::filesystem::path& cgroupRoot() const { return cgroupRoot_; }
    std::vector<std::string> capsuleCgroups() const;  // names below every hierarchy
    // Puts an admitted image of one layer into the store: path in the image -> program to copy (mode 0755).
    std::string addImage(const std::vector<std::pair<std::string, std::filesystem::path>>& files, bool admitted = true);
    const std::string& layerOf(const std::string& digest) const { return layers_.at(digest); }
    void killHard();      // SIGKILL, and waits
    void startAgain();

private:
    void start();
    TempDir dir_;
    LauncherOptions options_;
    std::filesystem::path cgroupRoot_;
    std::unique_ptr<Child> process_;
    std::map<std::string, std::string> layers_;
};

class LauncherClient {
public:
    explicit LauncherClient(const std::filesystem::path& socket);

    // Sends a request and waits for its reply; events that come meanwhile are kept.
    template <class Answer, class Body>
    Result<Answer> call(launcher::Verb verb, const Body& body, const std::vector<int>& fds = {}) {
        send(launcher::encode(verb, ++sequence_, body), fds);
        last_ = receiveReply();
        return launcher::decodeReply<Answer>(last_.bytes);
    }
    std::vector<UniqueFd>& fds() { return last_.fds; }  // what came with the last reply
    launcher::TargetFacts inspect(pid_t pid);
    Result<launcher::Started> start(const launcher::Plan& plan, pid_t target, const std::vector<int>& stdio = {});
    launcher::Report waitForEnd(const std::string& runId);
    launcher::RunEvent nextEvent();
    std::string log(std::uint8_t stream);  // of the last started run, whole

private:
    void send(const std::string& bytes, const std::vector<int>& fds);
    launcher::Message receiveReply();
    launcher::Message receive();

    UniqueFd socket_;
    std::uint32_t sequence_ = 0;
    launcher::Message last_;
    std::deque<launcher::RunEvent> events_;
    UniqueFd log_;
};

// A plan for `argv` of an image of addImage() against what INSPECT said of the target: nothing joined, nothing shown, the target's
// identity, no capability, a filter that allows everything.
launcher::Plan planFor(const LauncherProcess& launcher, const std::string& digest, const launcher::TargetFacts& facts, std::vector<std::string> argv);
std::string newRunId();

}  // namespace recap::test
