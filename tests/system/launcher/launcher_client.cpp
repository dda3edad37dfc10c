// SPDX-License-Identifier: Apache-2.0
#include "tests/system/launcher/launcher_client.hpp"

#include <elf.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <stdexcept>

#include "tests/support/environment.hpp"
#include "tests/support/proc.hpp"

namespace recap::test {

namespace fs = std::filesystem;
using namespace launcher;

namespace {

sockaddr_un addressOf(const fs::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.string().size() >= sizeof address.sun_path) throw std::runtime_error("socket path too long: " + path.string());
    std::strcpy(address.sun_path, path.c_str());
    return address;
}

UniqueFd listenForDatagrams(const fs::path& path) {
    UniqueFd fd{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    const sockaddr_un address = addressOf(path);
    if (!fd || ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        throw std::runtime_error("bind " + path.string() + ": " + std::strerror(errno));
    return fd;
}

std::string receiveDatagram(int fd) {
    std::array<char, 65536> buffer{};
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    return got > 0 ? std::string(buffer.data(), static_cast<std::size_t>(got)) : std::string{};
}

std::string fromHex(const std::string& hex) {
    std::string bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    return bytes;
}

// protocol.hpp, "ImageRecord"
std::string imageRecord(const std::string& digest, const std::vector<std::string>& layers, std::uint32_t machine) {
    std::string bytes = "RIMG";
    for (const std::uint32_t number : {kImageRecordVersion, machine, static_cast<std::uint32_t>(layers.size())})
        for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<char>(number >> (8 * i)));
    bytes += fromHex(digest);
    for (const std::string& layer : layers) bytes += fromHex(layer);
    return bytes;
}

}  // namespace

LauncherClient::LauncherClient(const fs::path& socket) : socket_(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    const sockaddr_un address = addressOf(socket);
    if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        throw std::runtime_error("connect " + socket.string() + ": " + std::strerror(errno));
}

Message LauncherClient::receive(const Deadline& deadline) {
    if (!waitReadable(socket_.get(), deadline)) throw std::runtime_error("recap-launcher says nothing");
    auto message = receiveMessage(socket_.get());
    if (!message) throw std::runtime_error("recap-launcher: " + message.error().message);
    return std::move(*message);
}

Result<Message> LauncherClient::exchange(const std::string& bytes, const std::vector<int>& fds) {
    if (auto sent = send(bytes, fds); !sent) return forward(std::move(sent));
    return reply();
}

Result<void> LauncherClient::send(const std::string& bytes, const std::vector<int>& fds) { return sendMessage(socket_.get(), bytes, fds); }

Result<Message> LauncherClient::reply() {
    const Deadline deadline{kPatience};
    for (;;) {
        Message message = receive(deadline);
        auto header = decodeHeader(message.bytes);
        if (!header) return forward(std::move(header));
        if (header->verb != Verb::Event) return message;
        keep(decode<RunEvent>(message.bytes).value());
    }
}

// The end also answers for a phase before it, and stays to be waited for.
RunEvent LauncherClient::waitFor(const std::string& runId, RunPhase phase) {
    const Deadline deadline{kPatience};
    for (;;) {
        auto& events = events_[runId];
        for (auto event = events.begin(); event != events.end(); ++event) {
            if (event->phase != phase && event->phase != RunPhase::Finished) continue;
            const RunEvent found = *event;
            if (found.phase == phase) events.erase(event);
            return found;
        }
        Message message = receive(deadline);
        const auto header = decodeHeader(message.bytes);
        if (header && header->verb == Verb::Event) keep(decode<RunEvent>(message.bytes).value());
    }
}

void LauncherClient::keep(RunEvent event) { events_[event.report.runId].push_back(std::move(event)); }

void LauncherClient::hangUp() { ::shutdown(socket_.get(), SHUT_RDWR); }

bool LauncherClient::closed() {
    if (!waitReadable(socket_.get(), Deadline{kPatience})) return false;
    const auto message = receiveMessage(socket_.get());
    return !message && message.error().code == Errc::Unavailable;
}

OwnLauncher::OwnLauncher(const Ceiling& ceiling, LauncherPrograms programs) : programs_(std::move(programs)) {
    static int count = 0;  // a test may have two
    cgroup_ = "recap-test-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
    if (programs_.launcher.empty()) programs_.launcher = binDir() / "recap-launcher";
    if (programs_.collector.empty()) programs_.collector = binDir() / "recap-collect";
    makeStore();
    writeFile(folder_.path() / "ceiling.bin", encodeCeiling(ceiling));
    fs::create_directory(folder_.path() / "run");
    fs::create_directory(folder_.path() / "libexec");  // the collector runs as the capsule's user, who need not reach the build
    fs::copy_file(programs_.collector, folder_.path() / "libexec/recap-collect");
    journal_ = listenForDatagrams(folder_.path() / "journal.sock");
    notify_ = listenForDatagrams(folder_.path() / "notify.sock");
    start();
}

OwnLauncher::~OwnLauncher() {
    if (child_) {
        child_->signal(SIGTERM);
        child_->wait(Deadline{kPatience});
    }
    for (const fs::path& root : cgroupRoots()) {
        std::error_code ignored;
        // Of one that was killed and never swept up after itself; who asks what was left has asked before.
        for (const fs::path& folder : {root / "c", root})
            for (const auto& entry : fs::directory_iterator(folder, ignored))
                if (entry.is_directory(ignored)) ::rmdir(entry.path().c_str());
        for (const char* below : {"c", "supervisor", ""}) ::rmdir((root / below).c_str());
        fs::remove(root, ignored);
    }
}

void OwnLauncher::makeStore() {
    fs::create_directory(store());
    ::chmod(store().c_str(), 0700);
    for (const char* folder : {"layers", "images", "admitted", "incoming"}) {
        fs::create_directory(store() / folder);
        ::chmod((store() / folder).c_str(), 0700);
    }
    const fs::path root = folderOfLayer(layer());
    fs::create_directories(root / "tmp");
    fs::create_directories(root / "etc");
    ::chmod((root / "tmp").c_str(), 01777);
    fs::copy_file(binDir().parent_path() / "tests" / "recap-test-payload", root / "payload");
    writeFile(root / "script", "#!/payload\n");
    ::chmod((root / "script").c_str(), 0755);
    fs::create_symlink("/proc/self/exe", root / "magic");
    fs::create_symlink("payload", root / "alias");
    addImage(digest(), true, EM_X86_64);
}

void OwnLauncher::addImage(const std::string& digest, const std::vector<std::string>& layers, bool admitted, std::uint32_t machine) {
    writeFile(store() / "images" / digest, imageRecord(digest, layers, machine));
    if (admitted) writeFile(store() / "admitted" / digest, "");
}

void OwnLauncher::start() {
    while (!receiveDatagram(notify_.get()).empty()) {
    }
    const fs::path at = folder_.path();
    std::vector<std::string> argv = {programs_.launcher.string(),
                                     "--socket",
                                     socket().string(),
                                     "--admit-socket",
                                     admitSocket().string(),
                                     "--store",
                                     store().string(),
                                     "--cgroup-root",
                                     (unifiedCgroups() / cgroup_).string(),
                                     "--ceiling",
                                     (at / "ceiling.bin").string(),
                                     "--peer-user",
                                     "root",
                                     "--libexec",
                                     (at / "libexec").string(),
                                     "--journal-socket",
                                     (at / "journal.sock").string(),
                                     "--run-dir",
                                     (at / "run").string()};
    argv.insert(argv.end(), programs_.options.begin(), programs_.options.end());
    auto env = programs_.env;
    env["NOTIFY_SOCKET"] = (at / "notify.sock").string();
    child_ = std::make_unique<Child>(Command{.argv = argv, .env = env, .outputFile = at / "output"});
    const Deadline deadline{kPatience};
    for (std::string news; news.find("READY=1") == std::string::npos; news = receiveDatagram(notify_.get()))
        if (waitAny({notify_.get(), child_->pidfd()}, deadline) != notify_.get())
            throw std::runtime_error("recap-launcher does not start:\n" + output());
}

void OwnLauncher::killHard() {
    child_->signal(SIGKILL);
    child_->wait(Deadline{kPatience});
    child_.reset();
}

void OwnLauncher::setCeiling(const Ceiling& ceiling) {
    writeFile(folder_.path() / "ceiling.bin", encodeCeiling(ceiling));
    child_->signal(SIGHUP);
}

std::string OwnLauncher::output() { return readFile(folder_.path() / "output"); }

std::vector<fs::path> OwnLauncher::cgroupRoots() const {
    std::vector<fs::path> roots;
    if (fs::exists(unifiedCgroups() / cgroup_)) roots.push_back(unifiedCgroups() / cgroup_);
    for (const auto& hierarchy : fs::directory_iterator("/sys/fs/cgroup"))
        if (hierarchy.path() != unifiedCgroups() && fs::exists(hierarchy.path() / cgroup_)) roots.push_back(hierarchy.path() / cgroup_);
    return roots;
}

std::vector<std::string> OwnLauncher::journal() {
    std::vector<std::string> records;
    for (std::string record; !(record = receiveDatagram(journal_.get())).empty();) records.push_back(record);
    return records;
}

std::string freshRunId() {
    static unsigned count = 0;
    constexpr std::string_view kDigits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    std::string id = "01" + std::string(24, '0');
    std::uint64_t rest = static_cast<std::uint64_t>(::getpid()) << 20 | ++count;
    for (std::size_t at = id.size(); rest != 0; rest /= 32) id[--at] = kDigits[rest % 32];
    return id;
}

Plan planFor(LauncherClient& client, const OwnLauncher& launcher, pid_t target, std::vector<std::string> words) {
    const UniqueFd pidfd = openPidfd(target);
    auto facts = client.ask<TargetFacts>(Verb::Inspect, Empty{}, {pidfd.get()});
    if (!facts) throw std::runtime_error("INSPECT: " + facts.error().message);
    Plan plan;
    plan.runId = freshRunId();
    plan.timeoutUsec = 20'000'000;
    plan.graceUsec = 200'000;
    plan.capsule = "test";
    plan.target = "test:" + std::to_string(target);
    plan.startTime = facts->startTime;
    plan.cgroup = facts->cgroup;
    plan.expected = facts->namespaces;
    plan.namespaces = kNsNet | kNsIpc | kNsUts;
    plan.processes = Processes::Observe;
    plan.imageDigest = launcher.digest();
    plan.layers = {launcher.layer()};
    plan.executable = "/payload";
    plan.argv = {"payload"};
    plan.argv.insert(plan.argv.end(), words.begin(), words.end());
    plan.env = {"PATH=/"};
    plan.workdir = "/";
    plan.uid = facts->uid;
    plan.gid = facts->gid;
    plan.noFile = 256;
    plan.limits = {.memory = 64u << 20, .cpuMilli = 1000, .pids = 64, .scratch = 8u << 20};
    plan.logMax = 1u << 20;
    plan.filter = {0x7fff'0000'0000'0006};  // BPF_RET | BPF_K, SECCOMP_RET_ALLOW: the ceiling's filter alone narrows
    return plan;
}

Result<UniqueFd> startPlan(LauncherClient& client, const Plan& plan, pid_t target) {
    const UniqueFd pidfd = openPidfd(target);
    std::vector<UniqueFd> back;
    auto started = client.ask<Started>(Verb::Start, plan, {pidfd.get()}, &back);
    if (!started) return forward(std::move(started));
    return back.empty() ? UniqueFd{} : std::move(back.front());
}

void demultiplex(const std::string& frames, std::string& out, std::string& err) {
    for (std::size_t at = 0; at + 5 <= frames.size();) {
        std::uint32_t length = 0;
        for (std::size_t i = 0; i < 4; ++i) length |= static_cast<std::uint32_t>(static_cast<unsigned char>(frames[at + 1 + i])) << (8 * i);
        (frames[at] == 1 ? out : err).append(frames, at + 5, length);
        at += 5 + length;
    }
}

Finished finish(LauncherClient& client, const std::string& runId, int log) {
    Finished finished;
    finished.report = client.waitFor(runId, RunPhase::Finished).report;
    struct stat size {};
    if (log >= 0 && ::fstat(log, &size) == 0) {
        std::string frames(static_cast<std::size_t>(size.st_size), '\0');
        if (::pread(log, frames.data(), frames.size(), 0) == size.st_size) demultiplex(frames, finished.out, finished.err);
    }
    return finished;
}

Finished runPlan(LauncherClient& client, const Plan& plan, pid_t target) {
    auto log = startPlan(client, plan, target);
    if (!log) throw std::runtime_error("START: " + log.error().message);
    Finished finished = finish(client, plan.runId, log->get());
    if (auto acked = client.ask<Empty>(Verb::Ack, RunRef{plan.runId}); !acked) throw std::runtime_error("ACK: " + acked.error().message);
    return finished;
}

WatchRequest watchFor(LauncherClient& client, pid_t target, WatchKind kind, std::string path) {
    const UniqueFd pidfd = openPidfd(target);
    auto facts = client.ask<TargetFacts>(Verb::Inspect, Empty{}, {pidfd.get()});
    if (!facts) throw std::runtime_error("INSPECT: " + facts.error().message);
    WatchRequest watch;
    watch.target = "test:" + std::to_string(target);
    watch.startTime = facts->startTime;
    watch.cgroup = facts->cgroup;
    watch.mounts = facts->namespaces[kNamespaces - 1];
    watch.kind = kind;
    watch.path = std::move(path);
    return watch;
}

Result<WatchAnswer> askWatch(LauncherClient& client, const WatchRequest& watch, pid_t target) {
    const UniqueFd pidfd = openPidfd(target);
    std::vector<UniqueFd> fds;
    auto what = client.ask<Watched>(Verb::Watch, watch, {pidfd.get()}, &fds);
    if (!what) return forward(std::move(what));
    if (fds.size() != 1) throw std::runtime_error("WATCH was answered with " + std::to_string(fds.size()) + " descriptors");
    return WatchAnswer{*what, std::move(fds[0])};
}

std::vector<Change> changes(int inotify, const Deadline& deadline) {
    std::vector<Change> found;
    if (!waitReadable(inotify, deadline)) return found;
    alignas(inotify_event) char buffer[8192];
    const ssize_t size = ::read(inotify, buffer, sizeof buffer);
    for (ssize_t at = 0; at < size;) {
        inotify_event event;
        std::memcpy(&event, buffer + at, sizeof event);
        found.push_back({event.mask, event.len > 0 ? std::string(buffer + at + sizeof event) : std::string()});
        at += static_cast<ssize_t>(sizeof event + event.len);
    }
    return found;
}

}  // namespace recap::test
