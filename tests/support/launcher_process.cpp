// SPDX-License-Identifier: Apache-2.0
#include "tests/support/launcher_process.hpp"

#include <elf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "daemon/launcher/store.hpp"
#include "tests/support/environment.hpp"
#include "tests/support/wait.hpp"

namespace recap::test {

namespace fs = std::filesystem;
using namespace launcher;  // NOLINT(google-build-using-namespace): the protocol's names, in the one file that speaks it

namespace {

fs::path unifiedHierarchy() { return fs::exists("/sys/fs/cgroup/unified/cgroup.procs") ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup"; }

std::string uniqueName() {
    static std::atomic<unsigned> count{0};
    return "recap-test-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
}

std::string hexOf(const std::string& text) {
    std::string hex(64, '0');
    const std::string number = std::to_string(std::hash<std::string>{}(text));
    hex.replace(0, number.size(), number);
    return hex;
}

void removeCgroups(const fs::path& relative) {
    for (const auto& hierarchy : fs::directory_iterator("/sys/fs/cgroup")) {
        if (!hierarchy.is_directory()) continue;
        for (const char* below : {"c", "supervisor", ""}) ::rmdir((hierarchy.path() / relative / below).c_str());
    }
    for (const char* below : {"c", "supervisor", ""}) ::rmdir(("/sys/fs/cgroup" / relative / below).c_str());
}

}  // namespace

LauncherProcess::LauncherProcess(const LauncherOptions& options) : options_(options), cgroupRoot_(unifiedHierarchy() / uniqueName()) {
    fs::create_directory(store());
    fs::permissions(store(), fs::perms::owner_all);
    writeFile(dir_.path() / "ceiling.bin", encodeCeiling(options.ceiling));
    fs::permissions(dir_.path() / "ceiling.bin", fs::perms::owner_read);
    start();
}

void LauncherProcess::start() {
    const auto path = [this](const char* name) { return (dir_.path() / name).string(); };
    process_ = std::make_unique<Child>(Command{.argv = {(binDir() / "recap-launcher").string(), "--socket", path("launcher.sock"), "--admit-socket", path("admit.sock"),
                                                        "--store", path("store"), "--cgroup-root", cgroupRoot_.string(), "--cgroup-v1", options_.useV1 ? "auto" : "off",
                                                        "--ceiling", path("ceiling.bin"), "--peer-user", "0", "--libexec", binDir().string(), "--journal-socket", "",
                                                        "--run-dir", path("run")}});
    const Deadline deadline(kPatience);
    const auto answers = [this] {
        try {
            LauncherClient probe(socket());
            return true;
        } catch (const std::runtime_error&) {
            return false;
        }
    };
    if (!waitUntil([&] { return answers() || waitForExit(process_->pidfd(), Deadline(std::chrono::milliseconds(0))); }, deadline) || !answers())
        throw std::runtime_error("recap-launcher does not serve: " + process_->wait(deadline).all());
}

LauncherProcess::~LauncherProcess() {
    if (process_) {
        process_->signal(SIGTERM);
        process_->wait(Deadline(kPatience));
    }
    removeCgroups(cgroupRoot_.filename());
}

void LauncherProcess::killHard() {
    process_->signal(SIGKILL);
    process_->wait(Deadline(kPatience));
}

void LauncherProcess::startAgain() { start(); }

std::vector<std::string> LauncherProcess::capsuleCgroups() const {
    std::vector<std::string> found;
    const auto collect = [&](const fs::path& folder, bool unified) {
        std::error_code absent;
        for (const auto& entry : fs::directory_iterator(unified ? folder / "c" : folder, absent))
            if (entry.is_directory() && (unified || (entry.path().filename() != "c" && entry.path().filename() != "supervisor"))) found.push_back(entry.path());
    };
    collect(cgroupRoot_, true);
    if (unifiedHierarchy() == "/sys/fs/cgroup") return found;
    for (const char* controller : {"memory", "cpu", "pids"}) collect(fs::path("/sys/fs/cgroup") / controller / cgroupRoot_.filename(), false);
    return found;
}

std::string LauncherProcess::addImage(const std::vector<std::pair<std::string, fs::path>>& files, bool admitted) {
    std::string all;
    for (const auto& [path, source] : files) all += path + "=" + source.string() + ";";
    const std::string digest = hexOf("image " + all);
    const std::string layer = hexOf("layer " + all);
    layers_[digest] = layer;
    const fs::path root = store() / "layers" / layer;
    for (const char* folder : {"bin", "tmp"}) fs::create_directories(root / folder);
    fs::permissions(root / "tmp", fs::perms::all | fs::perms::sticky_bit);
    for (const auto& [path, source] : files) {
        fs::create_directories((root / path.substr(1)).parent_path());
        fs::copy_file(source, root / path.substr(1));
        fs::permissions(root / path.substr(1), static_cast<fs::perms>(0755));
    }
    writeFile(store() / "images" / digest, encodeRecord({digest, EM_X86_64, {layer}}));
    if (admitted) writeFile(store() / "admitted" / digest, "");
    return digest;
}

LauncherClient::LauncherClient(const fs::path& path) {
    socket_.reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) throw std::runtime_error("connect " + path.string());
    if (auto hello = call<Hello>(Verb::Hello, Hello{}); !hello) throw std::runtime_error("HELLO: " + hello.error().message);
}

void LauncherClient::send(const std::string& bytes, const std::vector<int>& fds) {
    if (auto sent = sendMessage(socket_.get(), bytes, fds); !sent) throw std::runtime_error("send: " + sent.error().message);
}

Message LauncherClient::receive() {
    if (!waitReadable(socket_.get(), Deadline(kPatience))) throw std::runtime_error("recap-launcher does not answer");
    auto message = receiveMessage(socket_.get());
    if (!message) throw std::runtime_error("receive: " + message.error().message);
    return std::move(*message);
}

Message LauncherClient::receiveReply() {
    for (;;) {
        Message message = receive();
        auto header = decodeHeader(message.bytes);
        if (!header) throw std::runtime_error(header.error().message);
        if (header->verb != Verb::Event) return message;
        events_.push_back(decode<RunEvent>(message.bytes).value());
    }
}

RunEvent LauncherClient::nextEvent() {
    if (events_.empty()) events_.push_back(decode<RunEvent>(receive().bytes).value());
    RunEvent event = events_.front();
    events_.pop_front();
    return event;
}

TargetFacts LauncherClient::inspect(pid_t pid) {
    UniqueFd pidfd = openPidfd(pid);
    auto facts = call<TargetFacts>(Verb::Inspect, Empty{}, {pidfd.get()});
    if (!facts) throw std::runtime_error("INSPECT: " + facts.error().message);
    return *facts;
}

Result<Started> LauncherClient::start(const Plan& plan, pid_t target, const std::vector<int>& stdio) {
    UniqueFd pidfd = openPidfd(target);
    std::vector<int> fds{pidfd.get()};
    fds.insert(fds.end(), stdio.begin(), stdio.end());
    auto started = call<Started>(Verb::Start, plan, fds);
    if (!last_.fds.empty()) log_ = std::move(last_.fds[0]);
    return started;
}

Report LauncherClient::waitForEnd(const std::string& runId) {
    for (;;) {
        const RunEvent event = nextEvent();
        if (event.phase == RunPhase::Finished && event.report.runId == runId) return event.report;
    }
}

std::string LauncherClient::log(std::uint8_t stream) {
    std::string whole;
    char buffer[4096];
    ssize_t size = 0;
    for (off_t at = 0; (size = ::pread(log_.get(), buffer, sizeof(buffer), at)) > 0; at += size) whole.append(buffer, static_cast<std::size_t>(size));
    std::string text;
    for (std::size_t at = 0; at + 5 <= whole.size();) {
        std::uint32_t length = 0;
        std::memcpy(&length, whole.data() + at + 1, 4);
        if (static_cast<std::uint8_t>(whole[at]) == stream) text += whole.substr(at + 5, length);
        at += 5 + length;
    }
    return text;
}

std::string newRunId() {
    static std::atomic<unsigned> count{0};
    std::string id = std::to_string(::getpid()) + "0" + std::to_string(++count);
    return std::string(kRunIdLength - id.size(), '0') + id;
}

Plan planFor(const LauncherProcess& launcher, const std::string& digest, const TargetFacts& facts, std::vector<std::string> argv) {
    Plan plan;
    plan.runId = newRunId();
    plan.timeoutUsec = 20000000;
    plan.graceUsec = 1000000;
    plan.capsule = "test";
    plan.target = "process:" + std::to_string(facts.pid);
    plan.startTime = facts.startTime;
    plan.cgroup = facts.cgroup;
    plan.expected = facts.namespaces;
    plan.imageDigest = digest;
    plan.layers = {launcher.layerOf(digest)};
    plan.executable = "/bin/" + fs::path(argv.at(0)).filename().string();
    plan.argv = std::move(argv);
    plan.env = {"PATH=/bin"};
    plan.workdir = "/";
    plan.uid = facts.uid;
    plan.gid = facts.gid;
    plan.groups = facts.groups;
    plan.limits = {64 << 20, 1000, 64, 16 << 20};
    plan.logMax = 1 << 20;
    const sock_filter allow{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
    std::uint64_t raw = 0;
    std::memcpy(&raw, &allow, sizeof(raw));
    plan.filter = {raw};
    return plan;
}

}  // namespace recap::test
