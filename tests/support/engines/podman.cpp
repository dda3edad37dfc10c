// SPDX-License-Identifier: Apache-2.0
#include "tests/support/engines/podman.hpp"

#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdio>
#include <stdexcept>

#include "tests/support/engines/image_archive.hpp"
#include "tests/support/engines/remains.hpp"
#include "tests/support/wait.hpp"

namespace recap::test {

namespace fs = std::filesystem;

namespace {

constexpr std::chrono::seconds kSlow{60};
constexpr const char* kImage = "recap-app:v1";

// Locks in files, for those in shared memory are the machine's; limits that a container's own root may set; runc, for crun refuses a
// machine with both cgroup hierarchies.
std::string configuration(const fs::path& folder) {
    const std::string at = folder.string();
    return "[containers]\nlog_driver = \"k8s-file\"\ndefault_ulimits = [\"nofile=1024:1024\", "
           "\"nproc=1024:1024\"]\n[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nlock_type = "
           "\"file\"\n"
           "runtime = \"runc\"\nstatic_dir = \"" +
           at + "/static\"\ntmp_dir = \"" + at + "/tmp\"\nvolume_path = \"" + at +
           "/volumes\"\n"
           "[network]\nnetwork_config_dir = \"" +
           at + "/networks\"\n";
}

}  // namespace

Podman::Podman(const fs::path& parent) : folder_("recap-podman", parent), cgroup_("recap-podman-" + std::to_string(::getpid())) {
    // It keeps caches there, whatever its roots are.
    for (const char* folder : {"/run/containers", "/var/lib/containers"})
        if (!fs::exists(folder)) made_.emplace_back(folder);
    writeFile(path("containers.conf"), configuration(folder_.path()));
    writeFile(path("storage.conf"), "[storage]\ndriver = \"overlay\"\ngraphroot = \"" + path("root").string() + "\"\nrunroot = \"" +
                                        path("run").string() + "\"\n");
    try {
        startService();
        writeImageArchive(path("app.tar"));
        podman({"load", "--quiet", "--input", path("app.tar").string()});
    } catch (...) {
        stop();
        throw;
    }
}

Podman::~Podman() {
    try {
        for (const auto& left : stop()) std::fprintf(stderr, "podman left behind: %s\n", left.c_str());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "podman's end: %s\n", error.what());
    }
}

std::map<std::string, std::string> Podman::environment() const {
    return {{"CONTAINERS_CONF", path("containers.conf").string()}, {"CONTAINERS_STORAGE_CONF", path("storage.conf").string()}};
}

std::vector<std::string> Podman::command(std::vector<std::string> verb) const {
    verb.insert(verb.begin(), "podman");
    return verb;
}

void Podman::startService() {
    service_ = std::make_unique<Child>(
        Command{.argv = command({"system", "service", "--time=0", endpoint()}), .env = environment(), .outputFile = path("log")});
    const auto ended = [&] { return waitForExit(service_->pidfd(), Deadline(std::chrono::milliseconds(0))); };
    const auto serves = [&] { return test::run(Command{.argv = {"podman", "--remote", "--url", endpoint(), "version"}}).ok(); };
    if (!waitUntil([&] { return ended() || (fs::exists(socket()) && serves()); }, Deadline(kSlow)) || ended())
        throw std::runtime_error("podman does not serve:\n" + readFile(path("log")));
}

CommandResult Podman::podman(std::vector<std::string> verb) const {
    std::vector<std::string> argv{"podman", "--remote", "--url", endpoint()};
    argv.insert(argv.end(), verb.begin(), verb.end());
    return mustRun(Command{.argv = argv});
}

pid_t Podman::run(const std::string& name, const std::map<std::string, std::string>& labels, const std::vector<std::string>& options) {
    std::vector<std::string> verb{"run", "--detach", "--network=none", "--cgroup-parent=/" + cgroup_, "--name=" + name};
    for (const auto& [key, value] : labels) verb.push_back("--label=" + key + "=" + value);
    verb.insert(verb.end(), options.begin(), options.end());
    verb.emplace_back(kImage);
    podman(verb);
    return pidOf(name);
}

pid_t Podman::pidOf(const std::string& name) const {
    return std::stoi(podman({"inspect", "--type=container", "--format={{.State.Pid}}", name}).out);
}

void Podman::remove(const std::string& name) { podman({"rm", "--force", "--time=0", "--volumes", name}); }

std::vector<std::string> Podman::stop() {
    if (std::exchange(stopped_, true)) return {};
    if (service_ && fs::exists(socket())) podman({"rm", "--all", "--force", "--time=0", "--volumes"});
    if (service_) {
        service_->signal(SIGTERM);
        service_->wait(Deadline(kSlow));
        service_.reset();
    }
    while (::umount2(path("root/overlay").c_str(), MNT_DETACH) == 0) continue;  // which podman leaves to its next command
    std::error_code ignored;
    for (const auto& folder : made_) fs::remove_all(folder, ignored);
    return clearRemains(folder_.path(), cgroup_);
}

}  // namespace recap::test
