// SPDX-License-Identifier: Apache-2.0
// A client of recap-launcher's protocol that can also say wrong things, and a launcher of a test's own to say them to.
#pragma once

#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/launcher/ceiling.hpp"
#include "daemon/launcher/codec.hpp"
#include "daemon/launcher/transport.hpp"
#include "tests/support/command.hpp"
#include "tests/support/files.hpp"
#include "tests/support/wait.hpp"

namespace recap::test {

// Connected, blocking. Events that arrive between replies are kept.
class LauncherClient {
public:
    explicit LauncherClient(const std::filesystem::path& socket);

    template <class Answer, class Body>
    Result<Answer> ask(launcher::Verb verb, const Body& body, std::vector<int> fds = {}, std::vector<UniqueFd>* back = nullptr) {
        auto reply = exchange(launcher::encode(verb, ++sequence_, body), fds);
        if (!reply) return forward(std::move(reply));
        if (back != nullptr) *back = std::move(reply->fds);
        return launcher::decodeReply<Answer>(reply->bytes);
    }
    Result<launcher::Message> exchange(const std::string& bytes, const std::vector<int>& fds);  // any bytes; the next reply
    Result<void> send(const std::string& bytes, const std::vector<int>& fds);                   // to ask for several things at once
    Result<launcher::Message> reply();                                                          // the next one
    launcher::RunEvent waitFor(const std::string& runId, launcher::RunPhase phase);             // throws std::runtime_error after patience
    void hangUp();  // as the end of this process would; for another thread's use, too
    bool closed();  // the launcher hung up (within patience)

private:
    launcher::Message receive(const Deadline& deadline);
    void keep(launcher::RunEvent event);

    UniqueFd socket_;
    std::uint32_t sequence_ = 0;
    std::map<std::string, std::deque<launcher::RunEvent>> events_;  // by run
};

// Which launcher, where it is not the build's own, and how it is started.
struct LauncherPrograms {
    std::filesystem::path launcher = {};
    std::filesystem::path collector = {};
    std::map<std::string, std::string> env = {};
    std::vector<std::string> options = {};  // of its command line, beside where its things are
};

// recap-launcher as a child of the test: own store with one admitted image (the test payload at /payload), own cgroup root, own
// sockets and ceiling. Everything goes with it.
class OwnLauncher {
public:
    explicit OwnLauncher(const launcher::Ceiling& ceiling = {}, LauncherPrograms programs = {});
    ~OwnLauncher();

    void start();
    void killHard();                                    // SIGKILL, and its end
    void setCeiling(const launcher::Ceiling& ceiling);  // and tells it to read that; it may take a while
    pid_t pid() const { return child_->pid(); }
    std::filesystem::path socket() const { return folder_.path() / "launcher.sock"; }
    std::filesystem::path admitSocket() const { return folder_.path() / "admit.sock"; }
    std::filesystem::path store() const { return folder_.path() / "store"; }
    std::vector<std::filesystem::path> cgroupRoots() const;  // on every hierarchy that has it
    std::vector<std::string> journal();                      // records it has sent so far, as "KEY=VALUE" lines each
    std::string output();

    // The image that is there: digest and layers for a plan.
    std::string digest() const { return std::string(64, 'a'); }
    std::string layer() const { return std::string(64, 'b'); }
    void addImage(const std::string& digest, bool admitted, std::uint32_t machine) { addImage(digest, {layer()}, admitted, machine); }
    void addImage(const std::string& digest, const std::vector<std::string>& layers, bool admitted, std::uint32_t machine);
    std::filesystem::path folderOfLayer(const std::string& layer) const { return store() / "layers" / layer; }

private:
    void makeStore();

    LauncherPrograms programs_;

    TempDir folder_{"recap-launcher"};
    std::string cgroup_;
    UniqueFd journal_, notify_;
    std::unique_ptr<Child> child_;
};

// A plan that runs the payload with these words in the target's net, ipc and uts, with processes = observe; tests change what
// they are about. The facts come from INSPECT.
launcher::Plan planFor(LauncherClient& client, const OwnLauncher& launcher, pid_t target, std::vector<std::string> words);

struct Finished {
    launcher::Report report;
    std::string out;  // demultiplexed from the launcher's log
    std::string err;
};
// START, and then everything until the end; ACKs. Throws std::runtime_error where START is refused.
Finished runPlan(LauncherClient& client, const launcher::Plan& plan, pid_t target);
Result<UniqueFd> startPlan(LauncherClient& client, const launcher::Plan& plan, pid_t target);  // the log
Finished finish(LauncherClient& client, const std::string& runId, int log);

// A watch of this kind on what INSPECT says of the target; tests change what they are about.
launcher::WatchRequest watchFor(LauncherClient& client, pid_t target, launcher::WatchKind kind, std::string path = {});
struct WatchAnswer {
    launcher::Watched what;
    UniqueFd fd;
};
Result<WatchAnswer> askWatch(LauncherClient& client, const launcher::WatchRequest& watch, pid_t target);
// What an inotify has to say within `patience`: masks and names, all of what has come by then.
struct Change {
    std::uint32_t mask = 0;
    std::string name;
};
std::vector<Change> changes(int inotify, const Deadline& deadline);

void demultiplex(const std::string& frames, std::string& out, std::string& err);
std::string freshRunId();

}  // namespace recap::test
