// SPDX-License-Identifier: Apache-2.0
#include "tests/support/micro_container.hpp"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "tests/support/files.hpp"
#include "tests/support/proc.hpp"
#include "tests/support/rootfs.hpp"
#include "tests/support/wait.hpp"

namespace recap::test {

namespace fs = std::filesystem;

namespace {

std::string freshName(const std::string& kind) {
    static int count = 0;  // one process starts containers one after another
    return "recap-" + kind + "-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
}

void fill(Rootfs& root, const std::string& kind) {
    if (kind == "nginx") return fillNginx(root);
    if (kind == "busybox") return fillBusybox(root);
    if (kind == "debian") return fillDebian(root);
    if (kind == "scratch") return fillScratch(root);
    throw std::runtime_error("no container kind '" + kind + "': nginx, busybox, debian or scratch");
}

std::vector<std::string> operator+(std::vector<std::string> head, const std::vector<std::string>& tail) {
    head.insert(head.end(), tail.begin(), tail.end());
    return head;
}

}  // namespace

std::vector<std::string> runtimeCommand(const std::string& runtime, const fs::path& root) {
    const std::vector<std::string> command{runtime, "--root", root.string()};
    if (runtime != "crun" || !fs::exists("/sys/fs/cgroup/unified")) return command;
    return std::vector<std::string>{"unshare", "-m", "--propagation", "private", "sh", "-c", "umount /sys/fs/cgroup/unified && exec \"$@\"",
                                    "crun"} +
           command;
}

MicroContainer::MicroContainer(ContainerOptions options, const fs::path& parent) : options_(std::move(options)) {
    if (options_.name.empty()) options_.name = freshName(options_.kind);
    if (parent.empty()) {
        folder_ = TempDir(options_.name).release();
    } else {
        folder_ = parent / options_.name;
        if (!fs::create_directories(folder_)) throw std::runtime_error(folder_.string() + " exists already: end that container first");
    }
    rootfs_ = folder_ / "rootfs";
    if (options_.runtimeRoot.empty()) options_.runtimeRoot = folder_ / "state";
    cgroup_ = "/" + options_.name;
    try {
        start();
    } catch (...) {
        end(folder_);
        throw;
    }
}

MicroContainer::~MicroContainer() {
    if (!folder_.empty()) end(folder_);
}

void MicroContainer::start() {
    Rootfs root{rootfs_};
    fill(root, options_.kind);
    for (const Volume& volume : options_.volumes) root.folder(volume.path);
    writeFile(folder_ / "config.json", ociSpec(options_, cgroup_));
    writeFile(folder_ / "container.json",
              nlohmann::json{{"name", options_.name}, {"runtime", options_.runtime}, {"root", options_.runtimeRoot.string()}}.dump());
    writeFile(folder_ / "log", "");
    ::chmod((folder_ / "log").c_str(), 0666);  // a container's user opens it anew by /dev/stdout
    const auto command =
        runtimeCommand(options_.runtime, options_.runtimeRoot) +
        std::vector<std::string>{"run", "-d", "-b", folder_.string(), "--pid-file", (folder_ / "pid").string(), options_.name};
    const CommandResult started = run(Command{.argv = command, .outputFile = folder_ / "log"});
    if (!started.ok()) throw std::runtime_error("start container " + options_.name + ":\n" + log());
    pid_ = std::stoi(readFile(folder_ / "pid"));
    if (!options_.argv.empty()) return;  // a test's own program: the test knows when it is ready
    if (options_.kind == "nginx")
        waitUntilServing();
    else
        waitUntilAsleep();
}

// nginx writes its pid file once its sockets listen, and starts its one worker after that.
void MicroContainer::waitUntilServing() const {
    try {
        if (waitForPath("/proc/" + std::to_string(pid_) + "/root/run/nginx.pid", Deadline{kPatience}) &&
            waitUntil([&] { return !childrenOf(pid_).empty(); }, Deadline{kPatience}))
            return;
    } catch (const std::runtime_error&) {  // it has ended, and its folders with it
    }
    throw std::runtime_error("nginx in " + options_.name + " does not serve:\n" + log());
}

// The shell has started all of its sleeps and become one.
void MicroContainer::waitUntilAsleep() const {
    const std::string last = options_.kind == "scratch" ? "app" : "sleep";
    const auto asleep = [&](pid_t pid) {
        const auto process = processOf(pid);
        return process && process->name == last;
    };
    const auto ready = [&] {
        const auto children = childrenOf(pid_);
        return asleep(pid_) && std::all_of(children.begin(), children.end(), asleep);
    };
    if (!waitUntil(ready, Deadline{kPatience})) throw std::runtime_error(options_.name + " does not come to rest:\n" + log());
}

std::string MicroContainer::log() const { return readFile(folder_ / "log"); }

HttpAnswer MicroContainer::get(const std::string& path) const { return httpGet(pid_, 8080, path); }

CommandResult MicroContainer::exec(const std::vector<std::string>& argv) const {
    return run(
        Command{.argv = runtimeCommand(options_.runtime, options_.runtimeRoot) + std::vector<std::string>{"exec", options_.name} + argv});
}

void MicroContainer::kill() {
    const UniqueFd pidfd = openPidfd(pid_);
    ::kill(pid_, SIGKILL);
    if (!waitForExit(pidfd.get(), Deadline{kPatience})) throw std::runtime_error("container " + options_.name + " does not end");
}

fs::path MicroContainer::detach() { return std::exchange(folder_, {}); }

void MicroContainer::end(const fs::path& folder) {
    std::error_code ignored;
    if (fs::exists(folder / "container.json")) {
        const auto record = nlohmann::json::parse(readFile(folder / "container.json"));
        const auto runtime = runtimeCommand(record.at("runtime"), std::string(record.at("root")));
        run(Command{.argv = runtime + std::vector<std::string>{"delete", "--force", record.at("name")}});
    }
    fs::remove_all(folder, ignored);
}

}  // namespace recap::test
