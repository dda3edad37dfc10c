// SPDX-License-Identifier: Apache-2.0
#include "tests/support/engines/dockerd.hpp"

#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "tests/support/engines/image_archive.hpp"
#include "tests/support/engines/remains.hpp"
#include "tests/support/wait.hpp"

namespace recap::test {

namespace fs = std::filesystem;

namespace {

constexpr std::chrono::seconds kSlow{60};  // an engine's start on a busy machine

// What a machine without its rights and devices can't have is left out, and what writes outside of the folder.
std::string containerdConfiguration(const fs::path& folder) {
    const std::string at = folder.string();
    std::string disabled;
    for (const char* plugin : {"internal.v1.opt", "snapshotter.v1.btrfs", "snapshotter.v1.zfs", "snapshotter.v1.aufs",
                               "snapshotter.v1.devmapper", "grpc.v1.cri"})
        disabled += std::string(disabled.empty() ? "" : ", ") + "\"io.containerd." + plugin + "\"";
    return "version = 2\nroot = \"" + at + "/containerd\"\nstate = \"" + at + "/state\"\noom_score = 0\ndisabled_plugins = [" + disabled +
           "]\n[grpc]\naddress = \"" + at + "/containerd.sock\"\n[ttrpc]\naddress = \"" + at + "/containerd.sock.ttrpc\"\n";
}

// The end of a log that an engine wrote.
std::string tailOf(const fs::path& log) {
    const std::string text = readFile(log);
    return text.substr(text.size() - std::min<std::size_t>(text.size(), 4000));
}

}  // namespace

Dockerd::Dockerd(const fs::path& parent, bool remapsUsers)
    : folder_("recap-dockerd", parent), cgroup_("recap-dockerd-" + std::to_string(::getpid())), remapsUsers_(remapsUsers) {
    configure();
    try {
        startContainerd();
        startDaemon();
        writeImageArchive(path("app.tar"));
        docker({"load", "--quiet", "--input", path("app.tar").string()});
    } catch (...) {
        stop();
        throw;
    }
}

// The runtimes that have other names are runc all the same: what is looked at is what somebody makes of the name.
void Dockerd::configure() {
    using nlohmann::json;
    const json runc{{"path", "runc"}};
    json settings{{"deprecated-key-path", path("key.json").string()},  // an old one's, which it would put into /etc
                  {"runtimes", {{kIsolated, runc}, {kUnknown, runc}}}};
    if (remapsUsers_) settings["userns-remap"] = "daemon";
    writeFile(path("daemon.json"), settings.dump());
    writeFile(path("subordinate"), "daemon:" + std::to_string(kRemapped) + ":65536\n");
    fs::create_directory(path("bin"));
    for (const char* runtime : {kIsolated, kUnknown})
        fs::create_symlink("/usr/bin/containerd-shim-runc-v2", path("bin") / ("containerd-shim-" + std::string(runtime) + "-v2"));
}

Dockerd::~Dockerd() {
    try {
        for (const auto& left : stop()) std::fprintf(stderr, "dockerd left behind: %s\n", left.c_str());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "dockerd's end: %s\n", error.what());
    }
}

// Of its own beside dockerd, as a distribution has it: one that dockerd starts ends with it.
void Dockerd::startContainerd() {
    writeFile(path("containerd.toml"), containerdConfiguration(folder_.path()));
    std::vector<std::string> argv{"containerd", "--config", path("containerd.toml").string()};
    // dockerd takes subordinate numbers from these files only: they are others in a mount namespace of the two's own.
    const std::string files = path("subordinate").string();
    const std::string mounts = "mount --bind " + files + " /etc/subuid && mount --bind " + files + " /etc/subgid && exec \"$@\"";
    if (remapsUsers_) argv.insert(argv.begin(), {"unshare", "--mount", "--propagation", "slave", "sh", "-ec", mounts, "sh"});
    containerd_ = std::make_unique<Child>(
        Command{.argv = argv, .env = {{"PATH", path("bin").string() + ":" + std::getenv("PATH")}}, .outputFile = path("containerd.log")});
    if (!waitForPath(path("containerd.sock"), Deadline(kSlow)))
        throw std::runtime_error("containerd does not serve:\n" + tailOf(path("containerd.log")));
}

void Dockerd::startDaemon() {
    std::vector<std::string> argv{"dockerd",
                                  "--config-file=" + path("daemon.json").string(),
                                  "--data-root=" + path("data").string(),
                                  "--exec-root=" + path("exec").string(),
                                  "--pidfile=" + path("pid").string(),
                                  "--host=" + endpoint(),
                                  "--containerd=" + path("containerd.sock").string(),
                                  std::string("--group=") + kGroup,
                                  "--cgroup-parent=/" + cgroup_};
    // Containers outlive the daemon, no network is touched, and no right is needed that a container of a machine lacks.
    for (const char* word : {"--live-restore", "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false",
                             "--ip-masq=false", "--storage-driver=overlay2", "--oom-score-adjust=0"})
        argv.emplace_back(word);
    if (remapsUsers_) argv.insert(argv.begin(), {"nsenter", "--mount", "--target", std::to_string(containerd_->pid())});
    daemon_ = std::make_unique<Child>(Command{.argv = argv, .outputFile = path("log")});
    const auto serves = [&] { return test::run({"docker", "--host", endpoint(), "version"}).ok(); };
    const auto ended = [&] { return waitForExit(daemon_->pidfd(), Deadline(std::chrono::milliseconds(0))); };
    if (!waitUntil([&] { return ended() || (fs::exists(socket()) && serves()); }, Deadline(kSlow)) || ended())
        throw std::runtime_error("dockerd does not serve:\n" + tailOf(path("log")));
}

void Dockerd::killDaemon() {
    daemon_->signal(SIGKILL);
    daemon_->wait(Deadline(kPatience));
    daemon_.reset();
    wasKilled_ = true;
    fs::remove(path("pid"));
}

CommandResult Dockerd::docker(std::vector<std::string> verb) const {
    std::vector<std::string> argv{"docker", "--host", endpoint()};
    argv.insert(argv.end(), verb.begin(), verb.end());
    return mustRun(Command{.argv = argv, .env = {{"DOCKER_CONFIG", path("client").string()}}});
}

pid_t Dockerd::run(const std::string& name, const std::map<std::string, std::string>& labels, const std::vector<std::string>& options,
                   const std::vector<std::string>& command) {
    std::vector<std::string> verb{"run", "--detach", "--network=none", "--name=" + name};
    for (const auto& [key, value] : labels) verb.push_back("--label=" + key + "=" + value);
    verb.insert(verb.end(), options.begin(), options.end());
    verb.emplace_back(kImage);
    verb.insert(verb.end(), command.begin(), command.end());
    docker(verb);
    return pidOf(name);
}

pid_t Dockerd::pidOf(const std::string& name) const {
    return std::stoi(docker({"inspect", "--type=container", "--format={{.State.Pid}}", name}).out);
}

void Dockerd::remove(const std::string& name) { docker({"rm", "--force", "--volumes", name}); }

std::vector<std::string> Dockerd::stop() {
    if (std::exchange(stopped_, true)) return {};
    if (!daemon_ && containerd_) startDaemon();  // killed, and its containers are still there
    for (const auto& id : lines(test::run({"docker", "--host", endpoint(), "ps", "--all", "--quiet"}).out)) remove(id);
    for (auto* child : {&daemon_, &containerd_}) {
        if (!*child) continue;
        (*child)->signal(SIGTERM);
        (*child)->wait(Deadline(kSlow));
        child->reset();
    }
    std::error_code ignored;
    if (wasKilled_) ::umount2(path("data").c_str(), MNT_DETACH);      // mounted anew by the next daemon, over what the killed one left
    ::umount2((path("exec") / "netns/default").c_str(), MNT_DETACH);  // of --network=host: dockerd keeps it for its next life
    for (const char* folder : {"/run/docker/plugins", "/run/docker", "/run/containerd/s", "/run/containerd"})
        fs::remove(folder, ignored);  // where they are empty
    return clearRemains(folder_.path(), cgroup_);
}

}  // namespace recap::test
