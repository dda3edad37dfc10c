// SPDX-License-Identifier: Apache-2.0
// recap-schedule: makes systemd timers of what recapd wrote into its schedule file. recapd may start nothing, and so a unit of root's
// runs this when the file changes and at boot. It believes the file in nothing: each line is checked, its calendar by systemd itself,
// and what a timer then does is only to call RunScheduled for a capsule of that name. A line that is wrong harms no other.
#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "daemon/helpers/schedule_lines.hpp"
#include "sdk/base/unique_fd.hpp"
#include "sdk/manifest/files.hpp"
#include "sdk/manifest/values.hpp"

namespace {

using namespace recap;
using namespace recap::helpers;
using Names = std::vector<std::string>;

constexpr const char* kDropIn = "50-recap-schedule.conf";
constexpr std::string_view kPrefix = "recap-capsule@", kSuffix = ".timer.d";

struct Places {
    std::string state = "/var/lib/recap/state";
    std::string owner = "recap";
    std::string units = "/run/systemd/system";
    std::string systemctl = "/usr/bin/systemctl";
    std::string analyze = "/usr/bin/systemd-analyze";
};

// In the journal at the level that its first characters say (sd-daemon(3)).
void say(const char* level, const std::string& text) { std::fprintf(stderr, "%s%s\n", level, text.c_str()); }
void warn(const std::string& text) { say("<4>", text); }

// What it ended with; nothing: it could not be started, or was killed.
std::optional<int> run(const Names& words, bool quiet = false) {
    std::vector<char*> argv;
    for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    posix_spawn_file_actions_t files;
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (quiet) ::posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    pid_t child = 0;
    const int error = ::posix_spawn(&child, argv.front(), &files, nullptr, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&files);
    if (error != 0) {
        warn(words.front() + " could not be started: " + ::strerrordesc_np(error));
        return {};
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    return WIFEXITED(status) ? std::optional(WEXITSTATUS(status)) : std::nullopt;
}

Result<std::string> readAll(int fd) {
    std::string text(kMostScheduleBytes + 1, '\0');
    std::size_t have = 0;
    while (have < text.size()) {
        const ssize_t got = ::read(fd, text.data() + have, text.size() - have);
        if (got < 0 && errno != EINTR) return failErrno("read it");
        if (got == 0) break;
        if (got > 0) have += static_cast<std::size_t>(got);
    }
    text.resize(have);
    return text;
}

// Nobody but recapd's user may have had a hand in it: its folder is that user's alone.
Result<void> checkOwner(int fd, uid_t owner, mode_t kind) {
    struct stat file {};
    if (::fstat(fd, &file) != 0) return failErrno("look at it");
    if ((file.st_mode & S_IFMT) != kind) return fail(Errc::InvalidArgument, "it is not of the right kind");
    if (file.st_uid != owner) return fail(Errc::InvalidArgument, "it belongs to user " + std::to_string(file.st_uid));
    if ((file.st_mode & 022) != 0) return fail(Errc::InvalidArgument, "others may write it");
    return {};
}

// What recapd wants; nothing at all where there is no file.
Result<ScheduleFile> readFile(const UniqueFd& state, uid_t owner) {
    const UniqueFd fd(::openat(state.get(), "schedule", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!fd && errno == ENOENT) return ScheduleFile{};
    if (!fd) return failErrno("open it");
    if (auto checked = checkOwner(fd.get(), owner, S_IFREG); !checked) return tl::unexpected(checked.error());
    auto text = readAll(fd.get());
    if (!text) return tl::unexpected(text.error());
    return readSchedule(*text);
}

// Of recapd's own file about a capsule: its text, and as its time when its timer ran it last. A wrong one makes for a wrong first turn
// and no more.
Turns turnsOf(const UniqueFd& state, const std::string& capsule) {
    const UniqueFd fd(::openat(state.get(), ("enabled/" + capsule).c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    struct stat file {};
    if (!fd || ::fstat(fd.get(), &file) != 0 || !S_ISREG(file.st_mode) || file.st_mtim.tv_sec < 0) return {};
    const auto text = readAll(fd.get());
    const auto seconds = static_cast<std::uint64_t>(file.st_mtim.tv_sec), rest = static_cast<std::uint64_t>(file.st_mtim.tv_nsec);
    return {text ? sinceIn(*text) : 0, seconds * 1'000'000 + rest / 1000};
}

std::uint64_t realtime() {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

struct Calendars {
    std::set<std::string> wrong;    // systemd does not take them
    std::set<std::string> unasked;  // systemd has not said whether it does
};

// All are asked about at once, and where one is wrong each half, and so on: there may be thousands.
void ask(const Places& places, std::span<const std::string> calendars, Calendars& answers) {
    if (calendars.empty()) return;
    Names words{places.analyze, "calendar", "--"};
    words.insert(words.end(), calendars.begin(), calendars.end());
    const auto status = run(words, true);
    if (status == EXIT_SUCCESS) return;
    if (status != EXIT_FAILURE) {
        answers.unasked.insert(calendars.begin(), calendars.end());
    } else if (calendars.size() == 1) {
        answers.wrong.insert(calendars.front());
    } else {
        const auto half = calendars.size() / 2;
        ask(places, calendars.first(half), answers);
        ask(places, calendars.subspan(half), answers);
    }
}

// Those that systemd has not answered for.
std::set<std::string> checkCalendars(const Places& places, ScheduleFile& file) {
    std::set<std::string> different;
    for (const auto& entry : file.entries)
        if (!entry.calendar.empty()) different.insert(entry.calendar);
    Calendars answers;
    ask(places, Names(different.begin(), different.end()), answers);
    std::erase_if(file.entries, [&](const ScheduleEntry& entry) {
        if (!answers.wrong.contains(entry.calendar)) return false;
        file.problems.push_back("line " + std::to_string(entry.line) + ": systemd takes no calendar '" + entry.calendar + "'");
        return true;
    });
    return std::move(answers.unasked);
}

std::filesystem::path folderOf(const Places& places, const std::string& capsule) {
    return std::filesystem::path(places.units) / (std::string(kPrefix) + capsule + std::string(kSuffix));
}
std::string timerOf(const std::string& capsule) { return std::string(kPrefix) + capsule + ".timer"; }

// The timers that an earlier turn of this made, and of which lines.
std::map<std::string, std::string> madeBefore(const Places& places) {
    std::map<std::string, std::string> made;
    std::error_code error;
    for (std::filesystem::directory_iterator it(places.units, error), end; !error && it != end; it.increment(error)) {
        const std::string name = it->path().filename().string();
        if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) continue;
        const auto capsule = name.substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size());
        if (!manifest::checkName(capsule).empty()) continue;
        if (const auto text = manifest::readText(it->path() / kDropIn)) made[capsule] = lineIn(*text);
    }
    return made;
}

bool systemctl(const Places& places, const Names& options, const Names& capsules) {
    if (capsules.empty()) return true;
    Names words{places.systemctl};
    words.insert(words.end(), options.begin(), options.end());
    words.emplace_back("--");
    for (const auto& capsule : capsules) words.push_back(timerOf(capsule));
    return run(words) == EXIT_SUCCESS;
}

bool writeDropIn(const Places& places, const ScheduleEntry& entry, std::uint64_t wait) {
    const auto folder = folderOf(places, entry.capsule);
    Result<void> written;
    if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST)
        written = failErrno("mkdir " + folder.string());
    else
        written = manifest::writeText(folder / kDropIn, dropInOf(entry, wait), 0644);
    if (!written) warn("capsule '" + entry.capsule + "': " + written.error().message);
    return written.has_value();
}

void removeDropIn(const Places& places, const std::string& capsule) {
    const auto folder = folderOf(places, capsule);
    ::unlink((folder / kDropIn).c_str());
    ::rmdir(folder.c_str());  // unless the administrator has something of his own there
}

// What a disabled capsule left: its timer, and when that last elapsed, which is no missed turn of a later one's.
bool removeGone(const Places& places, const Names& gone) {
    const bool stopped = systemctl(places, {"stop"}, gone);
    if (!gone.empty()) systemctl(places, {"clean", "--what=state"}, gone);
    for (const auto& capsule : gone) removeDropIn(places, capsule);
    return stopped;
}

// Where systemd has not said whether it takes a calendar, the timer stays, or is not there, as it was.
bool apply(const Places& places, const UniqueFd& state, const ScheduleFile& file, const std::set<std::string>& unasked) {
    auto before = madeBefore(places);
    Names changed, same, gone;
    bool good = true;
    for (const auto& entry : file.entries) {
        const auto made = before.extract(entry.capsule);
        if (!made.empty() && made.mapped() == lineOf(entry)) {
            same.push_back(entry.capsule);
        } else if (unasked.contains(entry.calendar)) {
            good = false;
        } else if (writeDropIn(places, entry, firstWaitUsec(entry, turnsOf(state, entry.capsule), realtime()))) {
            changed.push_back(entry.capsule);
        } else {
            good = false;
        }
    }
    for (const auto& [capsule, line] : before) gone.push_back(capsule);
    good = removeGone(places, gone) && good;
    if (!changed.empty() || !gone.empty()) good = run({places.systemctl, "daemon-reload"}) == EXIT_SUCCESS && good;
    // Without waiting: a calendar's timer waits for the clock to be right, which this must not.
    good = systemctl(places, {"--no-block", "restart"}, changed) && good;
    good = systemctl(places, {"--no-block", "start"}, same) && good;
    if (!changed.empty() || !gone.empty())
        say("<6>", std::to_string(file.entries.size()) + " timers, " + std::to_string(changed.size()) + " of them new or changed, " +
                       std::to_string(gone.size()) + " removed");
    return good;
}

int schedule(const Places& places) {
    const auto complain = [&](const std::string& why) {
        say("<3>", places.state + "/schedule: " + why + "; timers stay as they are");
        return EXIT_FAILURE;
    };
    const UniqueFd state(::open(places.state.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!state && errno != ENOENT) return complain(::strerrordesc_np(errno));
    // First of all: what changes from now on is for the next turn. And whatever is wrong here, or the path unit starts this without end.
    if (state && ::unlinkat(state.get(), "schedule.changed", 0) != 0 && errno != ENOENT)
        return complain(std::string("take away schedule.changed: ") + ::strerrordesc_np(errno));
    const passwd* owner = ::getpwnam(places.owner.c_str());
    if (owner == nullptr) return complain("this host has no user '" + places.owner + "'");
    if (state) {
        if (const auto checked = checkOwner(state.get(), owner->pw_uid, S_IFDIR); !checked) return complain(checked.error().message);
    }
    auto file = state ? readFile(state, owner->pw_uid) : Result<ScheduleFile>(ScheduleFile{});
    if (!file) return complain(file.error().message);
    const auto unasked = checkCalendars(places, *file);
    for (const auto& problem : file->problems) warn(places.state + "/schedule: " + problem);
    const bool applied = apply(places, state, *file, unasked);
    if (!unasked.empty()) {
        say("<3>", places.analyze + " could not be asked about " + std::to_string(unasked.size()) + " calendars, '" + *unasked.begin() +
                       "' among them; their timers stay as they are");
        return EXIT_FAILURE;
    }
    return applied && file->problems.empty() ? EXIT_SUCCESS : EXIT_FAILURE;
}

constexpr const char* kUsage =
    "recap-schedule - makes systemd timers of recapd's schedule\n\n"
    "  --state DIR            recapd's, with schedule and enabled/ (/var/lib/recap/state)\n"
    "  --owner USER           whose that is (recap)\n"
    "  --units DIR            where timers' drop-ins go (/run/systemd/system)\n"
    "  --systemctl PROGRAM, --systemd-analyze PROGRAM\n"
    "  --version, --help\n";

}  // namespace

int main(int argc, char** argv) {
    Places places;
    const option options[] = {{"state", required_argument, nullptr, 's'},
                              {"owner", required_argument, nullptr, 'o'},
                              {"units", required_argument, nullptr, 'u'},
                              {"systemctl", required_argument, nullptr, 'c'},
                              {"systemd-analyze", required_argument, nullptr, 'a'},
                              {"version", no_argument, nullptr, 'V'},
                              {"help", no_argument, nullptr, 'h'},
                              {}};
    int option = 0;
    while ((option = ::getopt_long(argc, argv, "", options, nullptr)) != -1) {
        switch (option) {
            case 's': places.state = optarg; break;
            case 'o': places.owner = optarg; break;
            case 'u': places.units = optarg; break;
            case 'c': places.systemctl = optarg; break;
            case 'a': places.analyze = optarg; break;
            case 'V': return std::puts("recap-schedule " RECAP_VERSION) < 0;
            case 'h': return std::fputs(kUsage, stdout) < 0;
            default: return std::fputs(kUsage, stderr), 2;
        }
    }
    if (optind != argc) return std::fputs(kUsage, stderr), 2;
    return schedule(places);
}
