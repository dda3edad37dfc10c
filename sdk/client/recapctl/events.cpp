// SPDX-License-Identifier: Apache-2.0
// `recapctl events`: what started by itself, from the ledger, and with --follow what happens from then on, until somebody ends it.
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <memory>
#include <optional>

#include "sdk/client/recapctl/cli.hpp"
#include "sdk/client/recapctl/event_lines.hpp"
#include "sdk/client/recapctl/exit_status.hpp"
#include "sdk/client/recapctl/interrupts.hpp"
#include "sdk/client/recapctl/text.hpp"
#include "sdk/client/recapctl/ulid.hpp"

namespace recapctl {

using namespace recap;
using client::Dict;
using client::Rows;

namespace {

constexpr std::uint32_t kUsual = 100;      // past events, where no time is given
constexpr std::uint32_t kPage = 1000;      // rows that recapd gives at a time
constexpr std::size_t kMostPast = 20'000;  // rows that are kept to be sorted

struct Options {
    EventFilter filter;
    std::string since;
    bool follow = false;
};

std::uint64_t now() {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch()).count());
}

// The newest runs of this trigger: so many, or all since then.
Result<Rows> pastRuns(client::Client& client, const Options& options, const char* trigger, std::uint64_t since) {
    Dict filter{{"trigger", trigger}};
    if (!options.filter.capsule.empty()) filter.set("capsule", options.filter.capsule);
    if (!options.filter.target.empty()) filter.set("target", options.filter.target);
    if (since != 0) filter.set("since", since);
    Dict with{{"limit", since == 0 ? kUsual : kPage}};
    Rows all;
    for (;;) {
        auto page = client.runs(filter, with);
        if (!page) return forward(std::move(page));
        all.insert(all.end(), page->runs.begin(), page->runs.end());
        if (since == 0 || page->next.empty()) return all;
        if (all.size() > kMostPast)
            return fail(Errc::LimitExceeded, "more than " + std::to_string(kMostPast) +
                                                 " runs have started by themselves since then; 'recapctl runs' has them a page at a time");
        with.set("before", page->next);
    }
}

class Watch {
public:
    Watch(client::Client& client, const Options& options, const Style& style)
        : client_(client), options_(options), style_(style), lines_(options.filter) {
        if (options.follow) interrupts_.emplace();
    }

    Result<void> printPast(std::uint64_t since);
    int follow();
    int printed() const { return printed_; }

private:
    void print(const EventLine& event) {
        if (printed_ == kSuccess) printed_ = recapctl::print(inOneLine(event, style_));
    }
    Result<void> pump();
    void makeUp();
    void waitOnce();

    client::Client& client_;
    const Options& options_;
    const Style& style_;
    EventLines lines_;
    std::optional<Interrupts> interrupts_;  // while there is no other end
    int printed_ = kSuccess;
};

Result<void> Watch::printPast(std::uint64_t since) {
    Rows rows;
    for (const char* trigger : {"event", "periodic"}) {
        auto found = pastRuns(client_, options_, trigger, since);
        if (!found) return forward(std::move(found));
        rows.insert(rows.end(), found->begin(), found->end());
    }
    auto events = lines_.past(rows);
    if (since == 0 && events.size() > kUsual) events.erase(events.begin(), events.end() - kUsual);
    for (const auto& event : events) print(event);
    return {};
}

int Watch::follow() {
    for (;;) {
        if (auto pumped = pump(); !pumped) return complain(pumped.error(), style_);
        if (printed_ != kSuccess) return printed_;
        waitOnce();
        if (const int number = interrupts_->take(); number != 0) return number == SIGINT ? kSuccess : 128 + number;
    }
}

Result<void> Watch::pump() {
    for (;;) {
        auto more = client_.pump();
        if (!more) return forward(std::move(more));
        bool back = false;
        for (const auto& happening : client_.takeHappenings()) {
            if (const auto event = lines_.next(happening, now())) print(*event);
            back = back || happening.what == "recapd-back";
        }
        if (back) makeUp();
        if (!*more || printed_ != kSuccess) return {};
    }
}

// What ended while recapd was away, or before it could tell. A call that fails now has found it gone again.
void Watch::makeUp() {
    Rows rows;
    for (const auto& id : lines_.underWay()) {
        auto page = client_.runs({}, {{"before", successor(id)}, {"limit", 1U}});
        if (!page) return;
        if (!page->runs.empty() && page->runs.front().text("id") == id) rows.push_back(page->runs.front());
    }
    for (const auto& event : lines_.past(rows)) print(event);
}

void Watch::waitOnce() {
    if (client_.deadline() == 0) return;  // something is there already
    pollfd polls[2] = {{client_.fd(), client_.events(), 0}, {interrupts_->fd(), POLLIN, 0}};
    ::poll(polls, 2, -1);
}

int showEvents(const Style& style, const Options& options) {
    std::uint64_t since = 0;
    if (!options.since.empty()) {
        const auto moment = parseMoment(options.since, now());
        if (!moment) return complain(Error(moment.error()).in("--since"), style);
        since = std::max<std::uint64_t>(*moment, 1);
    }
    return withClient(style, [&](client::Client& client) {
        // First: what happens between the two is in both, and said once.
        if (auto listening = options.follow ? client.listen() : Result<void>(); !listening) return complain(listening.error(), style);
        Watch watch(client, options, style);
        if (auto past = watch.printPast(since); !past) return complain(past.error(), style);
        return options.follow && watch.printed() == kSuccess ? watch.follow() : watch.printed();
    });
}

}  // namespace

void addEvents(Cli& cli) {
    auto options = std::make_shared<Options>();
    cli.top
        .verb("events", "Print what has started by itself, and what happens", [&cli, options] { return showEvents(cli.style, *options); })
        .flag("-f,--follow", options->follow, "Go on with what happens: runs, batches and targets, until Ctrl-C")
        .option("--capsule", options->filter.capsule, "Only this capsule's")
        .option("--target", options->filter.target, "Only on this target (BACKEND:ID)")
        .option("--since", options->since, "Only since: a duration before now (2h), or a date (2026-01-31 14:05); default: the last 100");
}

}  // namespace recapctl
