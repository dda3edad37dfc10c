// SPDX-License-Identifier: Apache-2.0
#include "tests/support/engines/containerd.hpp"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <sstream>
#include <stdexcept>

#include "tests/support/engines/image_archive.hpp"
#include "tests/support/engines/remains.hpp"
#include "tests/support/wait.hpp"

namespace recap::test {

namespace fs = std::filesystem;

namespace {

constexpr const char* kImage = "docker.io/library/recap-app:v1";
constexpr std::chrono::seconds kSlow{60};  // an engine's start on a busy machine

// What a machine without its rights and devices can't have is left out; the container runtime interface is not needed.
std::string configuration(const fs::path& folder) {
    const std::string at = folder.string();
    std::string disabled;
    for (const char* plugin : {"internal.v1.opt", "snapshotter.v1.btrfs", "snapshotter.v1.zfs", "snapshotter.v1.aufs",
                               "snapshotter.v1.devmapper", "grpc.v1.cri"})
        disabled += std::string(disabled.empty() ? "" : ", ") + "\"io.containerd." + plugin + "\"";
    return "version = 2\nroot = \"" + at + "/root\"\nstate = \"" + at + "/state\"\noom_score = 0\ndisabled_plugins = [" + disabled + "]\n" +
           "[grpc]\naddress = \"" + at + "/containerd.sock\"\n[ttrpc]\naddress = \"" + at + "/containerd.sock.ttrpc\"\n";
}

std::string freshNamespace() {
    static int count = 0;  // engines of one test program have containers of one name
    return "recap-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
}

}  // namespace

Containerd::Containerd(const fs::path& parent) : folder_("recap-containerd", parent), first_(freshNamespace()) {
    writeFile(path("config.toml"), configuration(folder_.path()));
    startDaemon();
    try {
        writeImageArchive(path("app.tar"));
        useNamespace(first_);
    } catch (...) {
        stop();
        throw;
    }
}

Containerd::~Containerd() {
    try {
        for (const auto& left : stop()) std::fprintf(stderr, "containerd left behind: %s\n", left.c_str());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "containerd's end: %s\n", error.what());
    }
}

void Containerd::startDaemon() {
    daemon_ = std::make_unique<Child>(Command{.argv = {"containerd", "-c", path("config.toml").string()}, .outputFile = path("log")});
    const auto serves = [&] { return recap::test::run({"ctr", "-a", socket().string(), "--connect-timeout", "1s", "version"}).ok(); };
    const bool up =
        waitUntil([&] { return waitForExit(daemon_->pidfd(), Deadline(std::chrono::milliseconds(0))) || serves(); }, Deadline(kSlow));
    if (!up || !serves()) throw std::runtime_error("containerd does not serve: " + readFile(path("log")));
}

void Containerd::killDaemon() {
    daemon_->signal(SIGKILL);
    daemon_->wait(Deadline(kPatience));
    daemon_.reset();
}

CommandResult Containerd::ctr(const std::string& nameSpace, std::vector<std::string> verb) const {
    std::vector<std::string> argv{"ctr", "-a", socket().string(), "-n", nameSpace};
    argv.insert(argv.end(), verb.begin(), verb.end());
    return mustRun(Command{.argv = argv});
}

void Containerd::import(const std::string& nameSpace, const fs::path& archive) {
    namespaces_.insert(nameSpace);
    ctr(nameSpace, {"images", "import", archive.string()});
}

void Containerd::useNamespace(const std::string& nameSpace) { import(nameSpace, path("app.tar")); }

pid_t Containerd::run(const std::string& nameSpace, const std::string& id, const std::map<std::string, std::string>& labels,
                      const std::vector<std::string>& options, const std::vector<std::string>& command) {
    std::vector<std::string> verb{"run", "-d", "--null-io", "--runc-root", path("runc").string()};
    for (const auto& [key, value] : labels) {
        verb.emplace_back("--label");
        verb.push_back(key + "=" + value);
    }
    verb.insert(verb.end(), options.begin(), options.end());
    verb.insert(verb.end(), {kImage, id});
    verb.insert(verb.end(), command.begin(), command.end());
    ctr(nameSpace, verb);
    return pidOf(nameSpace, id);
}

pid_t Containerd::pidOf(const std::string& nameSpace, const std::string& id) const {
    std::istringstream text(ctr(nameSpace, {"tasks", "ls"}).out);
    for (std::string line; std::getline(text, line);) {
        std::istringstream fields(line);
        std::string name;
        pid_t pid = 0;
        if (fields >> name >> pid && name == id) return pid;
    }
    throw std::runtime_error("containerd: no task " + nameSpace + "/" + id);
}

void Containerd::end(const std::string& nameSpace, const std::string& id) {
    ctr(nameSpace, {"tasks", "rm", "-f", id});
    ctr(nameSpace, {"containers", "rm", id});
}

void Containerd::endAll() {
    for (const auto& nameSpace : namespaces_) {
        for (const auto& id : lines(ctr(nameSpace, {"containers", "ls", "-q"}).out)) {
            recap::test::run({"ctr", "-a", socket().string(), "-n", nameSpace, "tasks", "rm", "-f", id});
            ctr(nameSpace, {"containers", "rm", id});
        }
    }
}

std::vector<std::string> Containerd::stop() {
    if (std::exchange(stopped_, true)) return {};
    if (!daemon_) startDaemon();  // killed, and its containers are still there
    endAll();
    daemon_->signal(SIGTERM);
    daemon_->wait(Deadline(kPatience));
    daemon_.reset();
    std::vector<std::string> left;
    for (const auto& nameSpace : namespaces_) {  // runc removes a container's own cgroup, below that
        for (auto& one : clearRemains(folder_.path(), nameSpace)) left.push_back(std::move(one));
    }
    return left;
}

}  // namespace recap::test
