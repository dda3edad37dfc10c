// SPDX-License-Identifier: Apache-2.0
#include "daemon/triggers/calendars.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <optional>

namespace recap {
namespace {

constexpr std::size_t kAtATime = 32;  // whose times fit into a pipe with nobody reading
constexpr std::size_t kRemembered = 4096;
constexpr std::uint64_t kPatienceUsec = 10'000'000;

// "Mon 2026-11-30 23:00:00 UTC"; nothing: it is no such time, or one of another zone.
std::optional<std::uint64_t> utcTime(const std::string& text) {
    std::tm parts{};
    const char* end = ::strptime(text.c_str(), "%a %Y-%m-%d %H:%M:%S UTC", &parts);
    if (end == nullptr || *end != '\0') return {};
    const std::time_t seconds = ::timegm(&parts);
    return seconds < 0 ? std::nullopt : std::optional(static_cast<std::uint64_t>(seconds) * 1'000'000);
}

// "   Next elapse: VALUE" as its two parts.
std::pair<std::string_view, std::string> keyAndValue(std::string_view line) {
    const auto colon = line.find(": ");
    if (colon == line.npos) return {};
    auto key = line.substr(0, colon);
    key.remove_prefix(std::min(key.find_first_not_of(' '), key.size()));
    return {key, std::string(line.substr(colon + 2))};
}

std::string drained(int fd) {
    std::string text;
    char part[4096];
    for (ssize_t got = 0; (got = ::read(fd, part, sizeof part)) > 0;) text.append(part, static_cast<std::size_t>(got));
    return text;
}

std::string lastLine(std::string text) {
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text.substr(text.rfind('\n') + 1);
}

struct Spawning {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    Spawning() {
        ::posix_spawn_file_actions_init(&files);
        ::posix_spawnattr_init(&attributes);
    }
    ~Spawning() {
        ::posix_spawn_file_actions_destroy(&files);
        ::posix_spawnattr_destroy(&attributes);
    }
    Spawning(const Spawning&) = delete;
    Spawning& operator=(const Spawning&) = delete;
};

// With nothing of the loop's: no signals blocked, no descriptor but its output.
int spawn(const std::vector<std::string>& words, int output, pid_t& child) {
    Spawning with;
    sigset_t none;
    ::sigemptyset(&none);
    ::posix_spawnattr_setsigmask(&with.attributes, &none);
    ::posix_spawnattr_setflags(&with.attributes, POSIX_SPAWN_SETSIGMASK);
    ::posix_spawn_file_actions_addopen(&with.files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&with.files, output, STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&with.files, output, STDERR_FILENO);
    // Not all are closed by themselves: sdbus-c++ copies what callers hand in for their runs with dup(2).
    ::posix_spawn_file_actions_addclosefrom_np(&with.files, STDERR_FILENO + 1);
    std::vector<char*> argv;
    for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    std::vector<char*> environment;
    std::string locale = "LC_ALL=C.UTF-8", zone = "TZ=";
    environment.push_back(locale.data());
    if (const char* set = std::getenv("TZ")) environment.push_back((zone += set).data());
    environment.push_back(nullptr);
    return ::posix_spawn(&child, words.front().c_str(), &with.files, &with.attributes, argv.data(), environment.data());
}

}  // namespace

Result<std::vector<CalendarTimes>> readCalendarTimes(std::string_view printed, std::size_t calendars) {
    std::vector<CalendarTimes> all;
    bool wantsUtc = false;  // of a time in another zone the next line says it
    while (!printed.empty()) {
        const auto line = printed.substr(0, printed.find('\n'));
        printed.remove_prefix(std::min(line.size() + 1, printed.size()));
        const auto [key, value] = keyAndValue(line);
        const bool first = key == "Next elapse";
        if (first) all.emplace_back();
        if (all.empty() || (first && value == "never")) continue;
        if (!first && !key.starts_with("Iter. #") && !(wantsUtc && key == "(in UTC)")) continue;
        const auto time = utcTime(value);
        wantsUtc = !time;
        if (time) all.back().push_back(*time);
    }
    if (all.size() == calendars) return all;
    return fail(Errc::Internal, "systemd-analyze printed the times of " + std::to_string(all.size()) + " calendars and was asked about " +
                                    std::to_string(calendars));
}

Calendars::~Calendars() {
    if (child_ == 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
}

void Calendars::ask(const std::vector<std::string>& calendars, Then then) {
    auto question = std::make_shared<Question>();
    question->then = std::move(then);
    Job fresh;
    const std::uint64_t now = microseconds(CLOCK_REALTIME);
    for (const auto& calendar : calendars) {
        const auto known = known_.find(calendar);
        if (known != known_.end() && (known->second.empty() || known->second.front() > now)) {
            question->answers.insert_or_assign(calendar, known->second);
            continue;
        }
        auto& waiting = waiting_[calendar];
        if (!waiting.empty() && waiting.back() == question) continue;
        if (waiting.empty()) fresh.push_back(calendar);
        waiting.push_back(question);
        ++question->open;
    }
    if (question->open == 0) return question->then(question->answers);
    for (std::size_t at = 0; at < fresh.size(); at += kAtATime) {
        const auto begin = fresh.begin() + static_cast<std::ptrdiff_t>(at);
        jobs_.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(std::min(kAtATime, fresh.size() - at)));
    }
    if (child_ == 0) next();
}

void Calendars::next() {
    while (child_ == 0 && !jobs_.empty()) {
        if (const auto started = start(jobs_.front()); !started) {
            const Job job = std::move(jobs_.front());
            jobs_.pop_front();
            for (const auto& calendar : job) settle(calendar, tl::unexpected(started.error()));
        }
    }
}

Result<void> Calendars::start(const Job& job) {
    const auto failed = [&](int error) {
        return fail(Errc::Unavailable, program_ + ", which knows calendars, could not be started: " + ::strerrordesc_np(error));
    };
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return failed(errno);
    UniqueFd read(ends[0]);
    const UniqueFd write(ends[1]);
    std::vector<std::string> words{program_, "calendar", "--iterations=5", "--"};
    words.insert(words.end(), job.begin(), job.end());
    pid_t child = 0;
    if (const int error = spawn(words, write.get(), child); error != 0) return failed(error);
    child_ = child;
    output_ = std::move(read);
    pidfd_ = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
    sd_event_source* source = nullptr;
    if (sd_event_add_io(loop_, &source, pidfd_.get(), EPOLLIN, onEnd, this) >= 0) end_.reset(source);
    if (sd_event_add_time_relative(loop_, &source, CLOCK_MONOTONIC, kPatienceUsec, 0, onLate, this) >= 0) late_.reset(source);
    if (end_ && late_) return {};
    ::kill(child_, SIGKILL);
    ::waitpid(std::exchange(child_, 0), nullptr, 0);
    return fail(Errc::Internal, program_ + ": the loop does not take it");
}

void Calendars::ended() {
    int status = 0;
    ::waitpid(std::exchange(child_, 0), &status, 0);
    end_.reset();
    late_.reset();
    const std::string printed = drained(output_.get());
    const Job job = std::move(jobs_.front());
    jobs_.pop_front();
    answer(job, status, printed);
    next();
}

void Calendars::answer(const Job& job, int status, const std::string& printed) {
    const auto all = [&](const Error& error) {
        for (const auto& calendar : job) settle(calendar, tl::unexpected<Error>(error));
    };
    if (!WIFEXITED(status)) return all({Errc::Unavailable, program_ + ", which knows calendars, took too long"});
    if (WEXITSTATUS(status) != 0 && job.size() > 1) {  // which of them it is, is said one by one
        for (auto calendar = job.rbegin(); calendar != job.rend(); ++calendar) jobs_.push_front(Job{*calendar});
        return;
    }
    if (WEXITSTATUS(status) != 0)
        return all({Errc::InvalidArgument, "systemd takes no calendar '" + job.front() + "': " + lastLine(printed)});
    const auto times = readCalendarTimes(printed, job.size());
    if (!times) return all(times.error());
    if (known_.size() > kRemembered) known_.clear();
    for (std::size_t i = 0; i < job.size(); ++i) {
        known_[job[i]] = (*times)[i];
        settle(job[i], (*times)[i]);
    }
}

void Calendars::settle(const std::string& calendar, const Result<CalendarTimes>& times) {
    const auto waiting = waiting_.extract(calendar);
    if (waiting.empty()) return;
    for (const auto& question : waiting.mapped()) {
        question->answers.insert_or_assign(calendar, times);
        if (--question->open == 0) question->then(question->answers);
    }
}

int Calendars::onEnd(sd_event_source*, int, std::uint32_t, void* self) {
    static_cast<Calendars*>(self)->ended();
    return 0;
}

int Calendars::onLate(sd_event_source*, std::uint64_t, void* self) {
    ::kill(static_cast<Calendars*>(self)->child_, SIGKILL);
    return 0;
}

}  // namespace recap
