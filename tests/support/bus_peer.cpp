// SPDX-License-Identifier: Apache-2.0
#include "tests/support/bus_peer.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

namespace recap::test {

namespace {

const std::string kPaths = "/org/recap1/run/";

sdbus::Error refusal(const char* name, const std::string& message) { return {std::string("org.recap1.Error.") + name, message}; }

// What `artifacts` lists and opens.
const std::map<std::string, std::string> kArtifacts{{"report.txt", "hello"}, {"sub/capture.pcap", std::string("\xd4\xc3\xb2\xa1", 4)}};

sdbus::UnixFd pipeWith(const std::string& text) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw refusal("Io", "pipe");
    if (::write(ends[1], text.data(), text.size()) < 0) std::perror("pipe");
    ::close(ends[1]);
    return sdbus::UnixFd(ends[0], sdbus::adopt_fd);
}

}  // namespace

PeerRun::PeerRun(PeerManager& manager, sdbus::IConnection& connection, std::string id, std::string capsule, std::string target,
                 std::vector<std::string> args, Options options)
    : AdaptorInterfaces(connection, kPaths + id),
      manager_(manager),
      id_(std::move(id)),
      capsule_(std::move(capsule)),
      target_(std::move(target)),
      args_(std::move(args)),
      options_(std::move(options)),
      log_(static_cast<int>(::memfd_create("log", MFD_CLOEXEC))) {
    registerAdaptor();
}

PeerRun::~PeerRun() {
    if (const pid_t pid = pid_; pid > 0 && !ended_) ::kill(pid, SIGKILL);
    if (life_.joinable()) life_.join();
    unregisterAdaptor();
}

void PeerRun::begin() {
    life_ = std::thread([this] { live(); });
}

pid_t PeerRun::spawn() {
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    const char* names[] = {"stdin", "stdout", "stderr"};
    sdbus::UnixFd copies[3];  // a Variant gives out copies only
    for (int stream = 0; stream < 3; ++stream) {
        if (const auto given = options_.find(names[stream]); given != options_.end()) {
            copies[stream] = given->second.get<sdbus::UnixFd>();
            ::posix_spawn_file_actions_adddup2(&actions, copies[stream].get(), stream);
        } else if (stream == 1) {
            ::posix_spawn_file_actions_adddup2(&actions, log_.get(), stream);
        } else {
            ::posix_spawn_file_actions_addopen(&actions, stream, "/dev/null", O_RDWR, 0);
        }
    }
    std::string shell = "/bin/sh", c = "-c", script = args_.empty() ? "exit 0" : args_[0];
    char* argv[] = {shell.data(), c.data(), script.data(), nullptr};
    pid_t pid = -1;
    const int r = ::posix_spawn(&pid, "/bin/sh", &actions, nullptr, argv, environ);
    ::posix_spawn_file_actions_destroy(&actions);
    return r == 0 ? pid : -1;
}

void PeerRun::live() {
    if (capsule_ == "denied") return finish("denied", 0, "capability CAP_SYS_ADMIN: the ceiling's key 'capabilities' does not allow it");
    if (capsule_ == "gone") return finish("target-gone", 137, "target " + target_ + " ended");
    if (capsule_ == "not-started") return finish("not-started", std::stoi(args_.at(0)), "no program 'frob' in image recap/x:1");
    const auto timeout = options_.find("timeout");
    const int patience = timeout == options_.end() ? -1 : static_cast<int>(timeout->second.get<uint64_t>() / 1000);
    const pid_t pid = spawn();
    if (pid < 0) return finish("not-started", 0, "posix_spawn failed");
    {
        const std::lock_guard guard(lock_);
        pid_ = pid;
        if (asked_ != 0) ::kill(pid, asked_);  // before there was anything to signal
    }
    options_.clear();  // the descriptors with it: their ends must show
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    pollfd waiting{pidfd.get(), POLLIN, 0};
    const bool late = ::poll(&waiting, 1, patience) == 0;
    if (late) ::kill(pid, SIGKILL);
    int status = 0;
    ::waitpid(pid, &status, 0);
    const int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    if (late) return finish("timed-out", code, "");
    finish(asked_ != 0 || WIFSIGNALED(status) ? "killed" : code == 0 ? "succeeded" : "failed", code, "");
}

void PeerRun::finish(const std::string& outcome, int code, const std::string& detail) {
    {
        const std::lock_guard guard(lock_);
        outcome_ = outcome;
        detail_ = detail;
        code_ = code;
        ended_ = true;
    }
    manager_.tellFinished(kPaths + id_, outcome, code, row());
}

Options PeerRun::row() const {
    const std::lock_guard guard(lock_);
    const std::map<std::string, uint64_t> phases{{"received", 1000}, {"planned", 1500}, {"attached", 3500}, {"escaped", 9000}};
    Options row{{"id", id_},
                {"capsule", capsule_},
                {"target", target_},
                {"state", std::string(ended_ ? "finished" : "running")},
                {"outcome", outcome_},
                {"detail", detail_},
                {"exit-code", code_},
                {"escape", std::string(ended_ ? "clean" : "")},
                {"phases", phases},
                {"args", args_},
                {"started", uint64_t{1'700'000'000'000'000}}};
    if (outcome_ == "denied") row["error"] = std::string("Denied");
    return row;
}

void PeerRun::ask(int signal) {
    const std::lock_guard guard(lock_);
    asked_ = signal;
    if (pid_ > 0 && !ended_) ::kill(pid_, signal);
}

void PeerRun::Stop(sdbus::Result<>&& result, uint32_t, Options) {
    ask(SIGTERM);
    result.returnResults();
}
void PeerRun::Kill(sdbus::Result<>&& result, Options) {
    ask(SIGKILL);
    result.returnResults();
}
void PeerRun::Signal(sdbus::Result<>&& result, int32_t, Options) { result.returnError(refusal("NotSupported", "Signal is not supported")); }
void PeerRun::Attach(sdbus::Result<sdbus::UnixFd, sdbus::UnixFd, sdbus::UnixFd>&& result, Options) {
    result.returnError(refusal("NotSupported", "Attach is not supported by this version"));
}
void PeerRun::Detach(sdbus::Result<>&& result, Options) { result.returnError(refusal("NotSupported", "Detach is not supported")); }

void PeerRun::Resize(sdbus::Result<>&& result, uint32_t, uint32_t, Options) {
    result.returnError(refusal("NotSupported", "Resize is not supported"));
}
void PeerRun::GetDetails(sdbus::Result<Options>&& result, Options) { result.returnResults(row()); }

void PeerRun::GetOutput(sdbus::Result<std::vector<uint8_t>, bool>&& result, std::string stream, uint64_t offset, uint32_t max, Options) {
    std::vector<uint8_t> data(stream == "stdout" ? std::min<uint32_t>(max, 4096) : 0);  // small, so that readers have to ask again
    const ssize_t size = ::pread(log_.get(), data.data(), data.size(), static_cast<off_t>(offset));
    data.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    result.returnResults(data, ended_ && data.empty());
}
void PeerRun::OpenOutput(sdbus::Result<sdbus::UnixFd>&& result, Options options) {
    char buffer[4096];
    const bool out = !options.contains("stream") || options.at("stream").get<std::string>() == "stdout";
    const ssize_t size = out ? ::pread(log_.get(), buffer, sizeof buffer, 0) : 0;
    result.returnResults(pipeWith(std::string(buffer, static_cast<std::size_t>(size))));
}
void PeerRun::ListArtifacts(sdbus::Result<OptionRows>&& result, Options) {
    OptionRows rows;
    for (const auto& [name, text] : kArtifacts) rows.push_back({{"name", name}, {"size", uint64_t{text.size()}}, {"mode", uint32_t{0640}}});
    if (target_ == "hostile") rows.push_back({{"name", std::string("../escape")}, {"size", uint64_t{0}}, {"mode", uint32_t{0644}}});
    if (target_ == "short") rows.front()["size"] = uint64_t{999};
    result.returnResults(rows);
}
void PeerRun::OpenArtifact(sdbus::Result<sdbus::UnixFd>&& result, std::string name, Options) {
    const auto found = kArtifacts.find(name);
    result.returnResults(pipeWith(found == kArtifacts.end() ? "" : found->second));
}

PeerManager::PeerManager(sdbus::IConnection& connection) : AdaptorInterfaces(connection, "/org/recap1"), connection_(connection) {
    registerAdaptor();
}
PeerManager::~PeerManager() {
    runs_.clear();
    unregisterAdaptor();
}

void PeerManager::tellFinished(const std::string& path, const std::string& outcome, int code, const Options& details) {
    emitRunFinished(sdbus::ObjectPath(path), outcome, code, details);
}

template <class... Out>
void PeerManager::notSupported(sdbus::Result<Out...>& result, const char* what) {
    result.returnError(refusal("NotSupported", std::string(what) + " is not supported by this version"));
}

void PeerManager::Run(sdbus::Result<sdbus::ObjectPath>&& result, std::string capsule, std::string target, std::vector<std::string> args,
                      Options options) {
    if (capsule == "refused") return result.returnError(refusal("AccessDenied", "uid 0 may not run capsule 'refused'"));
    char id[27];
    std::snprintf(id, sizeof id, "01HZZZZZZZZZZZZZZZZZZZ%04zu", runs_.size());
    auto run = std::make_unique<PeerRun>(*this, connection_, id, capsule, target, std::move(args), std::move(options));
    result.returnResults(sdbus::ObjectPath(kPaths + id));
    if (capsule == "vanish") std::_Exit(0);
    run->begin();
    runs_[id] = std::move(run);
}

void PeerManager::RunSelected(sdbus::Result<sdbus::ObjectPath>&& result, std::string, Options, std::vector<std::string>, Options) {
    notSupported(result, "RunSelected");
}
void PeerManager::RunScheduled(sdbus::Result<sdbus::ObjectPath>&& result, std::string capsule, Options) {
    if (capsule != "sh") return result.returnError(refusal("Denied", "capsule '" + capsule + "' is not enabled"));
    result.returnResults(sdbus::ObjectPath("/org/recap1/batch/01HZZZZZZZZZZZZZZZZZZZBTCH"));
}
void PeerManager::Plan(sdbus::Result<Options>&& result, std::string capsule, std::string target, std::vector<std::string> args, Options) {
    if (capsule != "sh") return result.returnError(refusal("NotFound", "no capsule '" + capsule + "'"));
    args.insert(args.begin(), "sh");
    result.returnResults({{"capsule", capsule}, {"target", target}, {"argv", args}, {"namespaces", std::vector<std::string>{"net"}}});
}
OptionRows PeerManager::ListTargets(const Options& filter, const Options&) {
    const std::map<std::string, std::string> labels{{"app", "nginx"}, {"evil", "a\033[31m"}};
    OptionRows rows{{{"target", std::string("process:42")}, {"name", std::string("web\n")}, {"pid", uint32_t{42}}, {"labels", labels}}};
    if (filter.contains("backend") && filter.at("backend").get<std::string>() != "process") rows.clear();
    if (filter.contains("labels") && filter.at("labels").get<std::map<std::string, std::string>>().at("app") != "nginx") rows.clear();
    return rows;
}
void PeerManager::ListCapsules(sdbus::Result<OptionRows>&& result, Options) {
    result.returnResults(
        {{{"name", std::string("sh")}, {"version", std::string("1.0")}, {"digest", std::string(64, 'a')}, {"admitted", true}},
         {{"name", std::string("tired")},
          {"digest", std::string(64, 'a')},
          {"admitted", true},
          {"failures", uint32_t{11}},
          {"backed-off-until", uint64_t{1'800'000'000'000'000}}},
         {{"name", std::string("broken")}, {"problem", std::string("broken.toml:2:1: unknown key 'entyr'")}}});
}
void PeerManager::ListImages(sdbus::Result<OptionRows>&& result, Options) {
    result.returnResults(
        {{{"digest", std::string(64, 'a')}, {"references", std::vector<std::string>{"recap/sh:1.0"}}, {"size", uint64_t{1} << 20}}});
}
OptionRows PeerManager::ListBackends(const Options&) {
    return {
        {{"name", std::string("process")}, {"plugin", std::string("process")}, {"state", std::string("ready")}, {"targets", uint32_t{1}}}};
}
OptionRows PeerManager::ListPolicies(const Options&) { return {{{"name", std::string("default")}}}; }
void PeerManager::ListSchedule(sdbus::Result<OptionRows>&& result, Options) {
    const std::vector<std::uint64_t> upcoming{1796033700000000, 1796034600000000};
    result.returnResults({{{"capsule", std::string("sh")},
                           {"trigger", std::string("periodic")},
                           {"enabled", true},
                           {"enabler", uint32_t{1000}},
                           {"calendar", std::string("*:0/15")},
                           {"next", upcoming.front()},
                           {"upcoming", upcoming},
                           {"targets", uint32_t{2}}}});
}
std::tuple<OptionRows, std::string> PeerManager::ListRuns(const Options& filter, const Options& options) {
    OptionRows rows;
    for (auto one = runs_.rbegin(); one != runs_.rend(); ++one)
        if (!options.contains("before") || one->first < options.at("before").get<std::string>()) rows.push_back(one->second->row());
    if (options.contains("before") && options.at("before").get<std::string>() == "01HZZZZZZZZZZZZZZZZZZZ999B")  // an old one, of the ledger
        rows.insert(rows.begin(), {{"id", std::string("01HZZZZZZZZZZZZZZZZZZZ999A")}, {"outcome", std::string("lost")}});
    if (options.contains("limit") && rows.size() > options.at("limit").get<uint32_t>()) rows.resize(options.at("limit").get<uint32_t>());
    if (filter.contains("capsule") && filter.at("capsule").get<std::string>() != "sh") rows.clear();
    if (filter.contains("trigger") && filter.at("trigger").get<std::string>() != "on-demand") rows.clear();
    if (filter.contains("batch")) rows.clear();
    if (filter.contains("since") && filter.at("since").get<uint64_t>() >= filter.at("until").get<uint64_t>()) rows.clear();
    return {rows, ""};
}
void PeerManager::InstallCapsule(sdbus::Result<sdbus::ObjectPath>&& result, std::string toml, Options options) {
    if (toml.find("name") == std::string::npos)
        return result.returnError(refusal("InvalidArgument", "capsule.toml:1:1: no 'capsule.name'"));
    if (!options.contains("replace"))
        return result.returnError(refusal("AlreadyExists", "capsule 'sh' is installed; replace it with --replace"));
    result.returnResults(sdbus::ObjectPath("/org/recap1/capsule/sh"));
}
void PeerManager::RemoveCapsule(sdbus::Result<>&& result, std::string capsule, Options) {
    if (capsule != "sh") return result.returnError(refusal("NotFound", "no capsule '" + capsule + "'"));
    result.returnResults();
}
void PeerManager::EnableCapsule(sdbus::Result<>&& result, std::string capsule, Options options) {
    RemoveCapsule(std::move(result), std::move(capsule), std::move(options));
}
void PeerManager::DisableCapsule(sdbus::Result<>&& result, std::string capsule, Options options) {
    RemoveCapsule(std::move(result), std::move(capsule), std::move(options));
}
void PeerManager::ImportImage(sdbus::Result<std::string>&& result, sdbus::UnixFd archive, Options) {
    struct stat about {};
    if (::fstat(archive.get(), &about) != 0) return result.returnError(refusal("Io", "fstat"));
    if ((::fcntl(archive.get(), F_GETFL) & O_ACCMODE) != O_RDONLY) return result.returnError(refusal("InvalidArgument", "not read-only"));
    result.returnResults(std::string(64, S_ISDIR(about.st_mode) ? 'd' : 'f'));
}
void PeerManager::ImportImageFrom(sdbus::Result<std::string>&& result, std::string reference, Options options) {
    if (reference != "docker-daemon:tool:1") return notSupported(result, "ImportImageFrom");
    const auto text = [&](const char* key) { return options.contains(key) ? options.at(key).get<std::string>() : "none"; };
    if (text("backend") != "podman" || text("reference") != "recap/tool:1")
        return result.returnError(refusal("NotFound", "backend " + text("backend") + ", reference " + text("reference")));
    result.returnResults(std::string(64, 'e'));
}
void PeerManager::RemoveImage(sdbus::Result<>&& result, std::string, Options) { result.returnResults(); }
void PeerManager::ScanImage(sdbus::Result<>&& result, std::string, Options) { notSupported(result, "ScanImage"); }
OptionRows PeerManager::Doctor(const Options&) { return {{{"check", std::string("overlayfs")}, {"status", std::string("ok")}}}; }
void PeerManager::Reload(sdbus::Result<>&& result, Options) { result.returnResults(); }

}  // namespace recap::test

// Ready when it has printed its line; ends with the bus or by TERM.
int main() {
    auto connection = sdbus::createSystemBusConnection();
    recap::test::PeerManager manager(*connection);
    connection->requestName("org.recap1");
    std::puts("ready");
    std::fflush(stdout);
    connection->enterEventLoop();
}
