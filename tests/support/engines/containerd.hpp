// SPDX-License-Identifier: Apache-2.0
// A real containerd of a test's own: its own root, state and socket, in a namespace of names that no other test has.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/support/command.hpp"
#include "tests/support/files.hpp"

namespace recap::test {

class Containerd {
public:
    // Serving, with the test's image in its first namespace. `parent`: where its folder is made.
    explicit Containerd(const std::filesystem::path& parent = {});
    Containerd(const Containerd&) = delete;
    Containerd& operator=(const Containerd&) = delete;
    ~Containerd();  // ends its containers, then itself

    std::string endpoint() const { return "unix://" + socket().string(); }
    std::filesystem::path socket() const { return folder_.path() / "containerd.sock"; }
    const std::string& nameSpace() const { return first_; }
    std::string nameSpace(const std::string& suffix) const { return first_ + "-" + suffix; }  // another one, not yet made

    // `archive` into a namespace; and the test's image, which every run() needs.
    void import(const std::string& nameSpace, const std::filesystem::path& archive);
    void useNamespace(const std::string& nameSpace);

    // Starts a container of the test's image and answers its first process, once it runs. `options` are ctr run's, `command` is the
    // container's.
    pid_t run(const std::string& nameSpace, const std::string& id, const std::map<std::string, std::string>& labels = {},
              const std::vector<std::string>& options = {}, const std::vector<std::string>& command = {});
    pid_t pidOf(const std::string& nameSpace, const std::string& id) const;
    void end(const std::string& nameSpace, const std::string& id);  // and forgets it
    void endAll();
    CommandResult ctr(const std::string& nameSpace, std::vector<std::string> verb) const;  // throws unless it succeeds

    void killDaemon();  // its containers live on
    void startDaemon();

    // Ends containers and the daemon. What is still there of them then.
    std::vector<std::string> stop();

private:
    std::filesystem::path path(const char* name) const { return folder_.path() / name; }

    TempDir folder_;
    std::string first_;
    std::set<std::string> namespaces_;
    std::unique_ptr<Child> daemon_;
    bool stopped_ = false;
};

}  // namespace recap::test
