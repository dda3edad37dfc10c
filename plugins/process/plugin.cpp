// SPDX-License-Identifier: Apache-2.0
// The process backend: containers of this machine without asking any engine. See README.md for what it sees and how.
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <recap/plugin.hpp>
#include <recap/proc.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <mutex>
#include <system_error>

#include "plugins/process/scanner.hpp"
#include "sdk/base/unique_fd.hpp"

namespace {

namespace plugin = recap::plugin;
using recap::UniqueFd;
using recap::process::Scanner;
using recap::process::ScanSettings;

const std::vector<std::string> kRoots{
    "/run/runc", "/run/crun", "/run/user/*/runc", "/run/user/*/crun", "/run/containerd/runc/*", "/run/docker/runtime-runc/*"};
const std::vector<std::string> kIgnore{"/system.slice/recapd.service", "/system.slice/system-recap\\x2dplugin\\x2dhost.slice"};
constexpr const char* kLauncher = "/system.slice/recap-launcher.service";

// Between two looks at /proc, however often a user's state folder changes.
constexpr std::chrono::milliseconds kShortest{100};

// One life of a target: its pidfd becomes readable when it ends.
struct Watched {
    plugin::Target target;
    UniqueFd pidfd;
};

// The pidfd first, then the start time again: so both are the same process's. Empty: that one has ended.
UniqueFd pin(const plugin::Target& target) {
    UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, target.pid, 0)));
    if (pidfd && plugin::startTimeOf(target.pid) != target.startTime) pidfd.reset();
    return pidfd;
}

// A path that could begin anywhere would be met by a cgroup that any user may make below its own.
std::vector<std::string> anchored(std::vector<std::string> paths, const std::string& key) {
    for (const auto& path : paths) {
        if (!path.starts_with('/'))
            throw plugin::Error(plugin::Code::Invalid,
                                "'" + key + "' has '" + path + "', which does not begin with '/'; a cgroup's whole path is wanted");
    }
    return paths;
}

class ProcessBackend {
public:
    explicit ProcessBackend(plugin::Settings& settings)
        : roots_(settings.list("roots").value_or(kRoots)),
          interval_(settings.duration("interval").value_or(std::chrono::seconds(2))),
          scanner_(ScanSettings{roots_, anchored(settings.list("ignore").value_or(kIgnore), "ignore"),
                                anchored({settings.text("launcher").value_or(kLauncher)}, "launcher").front()}),
          inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)),
          wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
        if (!inotify_ || !wake_) throw std::system_error(errno, std::generic_category(), "inotify or eventfd");
        if (interval_ < kShortest) throw plugin::Error(plugin::Code::Invalid, "'interval' is below 100ms");
    }

    void run(plugin::Sink& sink) {
        auto nextScan = Clock::now();
        auto earliest = nextScan;
        for (;;) {
            if (Clock::now() >= nextScan) {
                watchFolders();
                report(sink);
                nextScan = Clock::now() + interval_;
                earliest = Clock::now() + kShortest;
            }
            auto fds = waitList();
            if (!sink.wait(fds, std::chrono::ceil<std::chrono::milliseconds>(nextScan - Clock::now()))) return;
            if (fds[0].revents != 0 && drainInotify()) nextScan = std::min(nextScan, earliest);
            if (fds[1].revents != 0) drainWake();
            removeEnded(sink, {fds.begin() + 2, fds.end()});
        }
    }

    void find(plugin::Sink& sink, std::string_view id) {
        pid_t pid = 0;
        const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), pid);
        auto target = error == std::errc() && end == id.data() + id.size() && pid > 0 ? scanner_.process(pid) : findByName(id);
        UniqueFd pidfd = pin(target);
        if (!pidfd) throw plugin::Error(plugin::Code::NotFound, "process " + std::to_string(target.pid) + " has ended");
        const std::lock_guard lock(mutex_);
        const auto known = std::find_if(watched_.begin(), watched_.end(), [&](const Watched& one) { return sameLife(one.target, target); });
        if (known != watched_.end()) return sink.added(known->target);
        sink.added(target);
        watched_.push_back({target, std::move(pidfd)});
        found_.push_back(std::move(target));
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);
    }

private:
    using Clock = std::chrono::steady_clock;

    static bool sameLife(const plugin::Target& a, const plugin::Target& b) { return a.pid == b.pid && a.startTime == b.startTime; }

    plugin::Target findByName(std::string_view name) const {
        for (auto& target : scanner_.scan()) {
            if (target.name == name) return std::move(target);
        }
        throw plugin::Error(plugin::Code::NotFound, "no container '" + std::string(name) + "', and it is no pid");
    }

    // What scan() has, and what was found on request and lives on. The lock keeps a search from falling between the two.
    void report(plugin::Sink& sink) {
        auto targets = scanner_.scan();
        const std::lock_guard lock(mutex_);
        for (auto& target : found_) {
            const bool scanned = std::any_of(targets.begin(), targets.end(), [&](const auto& one) { return sameLife(one, target); });
            if (scanned) continue;
            const auto now = recap::process::readProcess(target.pid);  // which may have moved
            if (now && now->startTime == target.startTime && !now->zombie) target.cgroup = now->cgroup;
            targets.push_back(target);
        }
        std::vector<Watched> watched;
        for (auto& target : targets) {
            const auto known =
                std::find_if(watched_.begin(), watched_.end(), [&](const Watched& one) { return sameLife(one.target, target); });
            UniqueFd pidfd = known == watched_.end() ? pin(target) : std::move(known->pidfd);
            if (pidfd) watched.push_back({std::move(target), std::move(pidfd)});
        }
        watched_ = std::move(watched);
        std::vector<plugin::Target> alive;
        for (const auto& one : watched_) alive.push_back(one.target);
        sink.snapshot(alive);
    }

    std::vector<pollfd> waitList() {
        std::vector<pollfd> fds{{inotify_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
        const std::lock_guard lock(mutex_);
        for (const auto& one : watched_) fds.push_back({one.pidfd.get(), POLLIN, 0});
        return fds;
    }

    void removeEnded(plugin::Sink& sink, const std::vector<pollfd>& pidfds) {
        const std::lock_guard lock(mutex_);
        for (const auto& ready : pidfds) {
            if (ready.revents == 0) continue;
            const auto ended =
                std::find_if(watched_.begin(), watched_.end(), [&](const Watched& one) { return one.pidfd.get() == ready.fd; });
            if (ended == watched_.end()) continue;
            sink.removed(ended->target.id);
            std::erase_if(found_, [&](const auto& target) { return sameLife(target, ended->target); });
            watched_.erase(ended);
        }
    }

    // Folders come and go with containers; watching one twice is the same watch.
    void watchFolders() {
        for (const auto& folder : recap::process::ociFolders(roots_)) {
            ::inotify_add_watch(inotify_.get(), folder.c_str(),
                                IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ONLYDIR | IN_DONT_FOLLOW);
        }
    }

    bool drainInotify() {
        std::array<char, 16384> buffer;
        bool any = false;
        while (::read(inotify_.get(), buffer.data(), buffer.size()) > 0) any = true;
        return any;
    }
    void drainWake() {
        std::uint64_t count = 0;
        [[maybe_unused]] const auto got = ::read(wake_.get(), &count, sizeof count);
    }

    std::vector<std::string> roots_;
    std::chrono::milliseconds interval_;
    Scanner scanner_;
    UniqueFd inotify_;
    UniqueFd wake_;
    std::mutex mutex_;
    std::vector<Watched> watched_;       // every target told, with its pidfd
    std::vector<plugin::Target> found_;  // told because asked for
};

}  // namespace

RECAP_BACKEND_PLUGIN(ProcessBackend, "process", RECAP_VERSION);
