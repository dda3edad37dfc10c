// SPDX-License-Identifier: Apache-2.0
#include "daemon/helpers/schedule_lines.hpp"

#include <charconv>
#include <set>

#include "sdk/manifest/values.hpp"

namespace recap::helpers {
namespace {

constexpr std::string_view kHeader = "recap-schedule 1";
constexpr std::string_view kMark = "# recap-schedule made this of: ";
constexpr std::size_t kMostProblems = 100;  // that are told one by one

std::string_view takeLine(std::string_view& text) {
    const auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(line.size() == text.size() ? text.size() : line.size() + 1);
    return line;
}

std::string_view takeWord(std::string_view& line) {
    const auto word = line.substr(0, line.find(' '));
    line.remove_prefix(word.size() == line.size() ? line.size() : word.size() + 1);
    return word;
}

// Plain decimal, no sign, no leading zero.
Result<std::uint64_t> number(std::string_view what, std::string_view text, std::uint64_t least, std::uint64_t most) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = error == std::errc() && end == text.data() + text.size() && (text.size() == 1 || text.front() != '0');
    if (whole && value >= least && value <= most) return value;
    return fail(Errc::InvalidArgument, std::string(what) + " " + manifest::printable(text) + " is no number of microseconds from " +
                                           std::to_string(least) + " to " + std::to_string(most));
}

Result<void> readTimes(std::string_view line, ScheduleEntry& entry) {
    const auto kind = takeWord(line);
    if (kind == "calendar") {
        if (auto wrong = manifest::checkCalendar(line); !wrong.empty()) return fail(Errc::InvalidArgument, std::move(wrong));
        entry.calendar = line;
        return {};
    }
    if (kind != "every") return fail(Errc::InvalidArgument, manifest::printable(kind) + " is neither \"every\" nor \"calendar\"");
    const auto every = number("every", line, kLeastPeriodUsec, kMostPeriodUsec);
    if (!every) return tl::unexpected(every.error());
    entry.everyUsec = *every;
    return {};
}

Result<ScheduleEntry> readLine(std::string_view line) {
    ScheduleEntry entry;
    const auto name = takeWord(line), missed = takeWord(line), delay = takeWord(line);
    if (auto wrong = manifest::checkName(name); !wrong.empty()) return fail(Errc::InvalidArgument, std::move(wrong));
    if (missed != "run-once" && missed != "skip")
        return fail(Errc::InvalidArgument, manifest::printable(missed) + " is neither \"run-once\" nor \"skip\"");
    const auto delayUsec = number("a delay of", delay, 0, kMostPeriodUsec);
    if (!delayUsec) return tl::unexpected(delayUsec.error());
    entry.capsule = name;
    entry.catchUp = missed == "run-once";
    entry.delayUsec = *delayUsec;
    if (auto times = readTimes(line, entry); !times) return tl::unexpected(times.error());
    return entry;
}

}  // namespace

Result<ScheduleFile> readSchedule(std::string_view text) {
    if (text.size() > kMostScheduleBytes)
        return fail(Errc::LimitExceeded, "it has more than " + std::to_string(kMostScheduleBytes) + " bytes");
    if (takeLine(text) != kHeader) return fail(Errc::InvalidArgument, "its first line is not \"" + std::string(kHeader) + "\"");
    ScheduleFile file;
    std::set<std::string> seen;
    const auto refuse = [&](std::size_t number, const std::string& why) {
        if (file.problems.size() < kMostProblems) file.problems.push_back("line " + std::to_string(number) + ": " + why);
    };
    for (std::size_t at = 2; !text.empty(); ++at) {
        auto entry = readLine(takeLine(text));
        if (!entry) {
            refuse(at, entry.error().message);
        } else if (!seen.insert(entry->capsule).second) {
            refuse(at, "capsule '" + entry->capsule + "' stands above already");
        } else if (file.entries.size() == kMostEntries) {
            refuse(at, "more than " + std::to_string(kMostEntries) + " capsules");
        } else {
            entry->line = at;
            file.entries.push_back(std::move(*entry));
        }
    }
    return file;
}

std::string lineOf(const ScheduleEntry& entry) {
    return entry.capsule + (entry.catchUp ? " run-once " : " skip ") + std::to_string(entry.delayUsec) +
           (entry.calendar.empty() ? " every " + std::to_string(entry.everyUsec) : " calendar " + entry.calendar);
}

// A monotonic timer's random delay is added to each of its intervals (systemd.timer(5)), also where it is always the same: of `every` it
// is in the first wait.
std::string dropInOf(const ScheduleEntry& entry, std::uint64_t firstWait) {
    const std::string text = std::string(kMark) + lineOf(entry) + "\n[Timer]\n";
    if (entry.calendar.empty())
        return text + "OnActiveSec=" + std::to_string(firstWait) + "us\nOnUnitActiveSec=" + std::to_string(entry.everyUsec) + "us\n";
    return text + "OnCalendar=" + entry.calendar + "\nPersistent=" + (entry.catchUp ? "yes" : "no") +
           "\nRandomizedDelaySec=" + std::to_string(entry.delayUsec) + "us\n";
}

std::string lineIn(std::string_view dropIn) {
    const auto line = takeLine(dropIn);
    return std::string(line.starts_with(kMark) ? line.substr(kMark.size()) : std::string_view());
}

std::uint64_t sinceIn(std::string_view enabling) {
    constexpr std::string_view kSince = "since ";
    while (!enabling.empty()) {
        const auto line = takeLine(enabling);
        if (!line.starts_with(kSince)) continue;
        return number(kSince, line.substr(kSince.size()), 0, UINT64_MAX).value_or(0);
    }
    return 0;
}

// As recapd's own timers have it, where no systemd keeps them.
std::uint64_t firstWaitUsec(const ScheduleEntry& entry, const Turns& turns, std::uint64_t now) {
    if (entry.everyUsec == 0) return 0;                                                 // a calendar's are systemd's
    if (turns.last == 0 || turns.last > now) return entry.everyUsec + entry.delayUsec;  // not known, or the clock was set back
    const std::uint64_t due = turns.last + entry.everyUsec + (turns.last == turns.since ? entry.delayUsec : 0);
    if (due > now) return due - now;
    return entry.catchUp ? entry.delayUsec : entry.everyUsec - (now - due) % entry.everyUsec;
}

}  // namespace recap::helpers
