// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/batch.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "sdk/client/recapctl/batch_report.hpp"
#include "sdk/client/recapctl/cli.hpp"
#include "sdk/client/recapctl/exit_status.hpp"
#include "sdk/client/recapctl/interrupts.hpp"
#include "sdk/client/recapctl/progress.hpp"
#include "sdk/client/recapctl/run_report.hpp"

namespace recapctl {

using namespace recap;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::chrono::seconds kGrace{5};  // from TERM to KILL after Ctrl-C
constexpr std::chrono::seconds kTick{1};   // of the live line's clock

client::Dict optionsOf(const BatchWanted& wanted) {
    client::Dict options;
    if (wanted.select.parallel > 0) options.set("parallel", wanted.select.parallel);
    if (wanted.timeout.count() > 0) options.set("timeout", static_cast<std::uint64_t>(wanted.timeout.count()));
    if (!wanted.detach) options.set("lifetime", "caller");
    for (const auto& [key, word] : wanted.adjustments) options.set(key, word);
    return options;
}

// From a batch's acceptance to its end: the bus, the signals and the clock, whichever has something.
class Following {
public:
    Following(client::Client& client, client::Batch batch, const Style& style)
        : client_(client), batch_(std::move(batch)), style_(style), lines_(batch_.results()), live_(STDERR_FILENO) {}

    int follow();

private:
    bool pump();
    int printFinished();
    void showProgress();
    void waitOnce();
    bool onInterrupt(int number);
    int conclude();

    client::Client& client_;
    client::Batch batch_;
    const Style& style_;
    BatchLines lines_;
    LiveLine live_;
    Interrupts interrupts_;
    int asked_ = 0;
    Clock::time_point started_ = Clock::now();
};

int Following::follow() {
    if (!style_.json)
        if (const int printed = print(lines_.heads(style_)); printed != kSuccess) return printed;
    for (;;) {
        const bool there = pump();
        if (const int printed = printFinished(); printed != kSuccess) return printed;
        if (!there || batch_.ended()) return conclude();
        showProgress();
        waitOnce();
        if (const int number = interrupts_.take(); number != 0 && !onInterrupt(number)) return 128 + number;
    }
}

// False: the bus is gone.
bool Following::pump() {
    for (;;) {
        auto more = client_.pump();
        if (!more) return false;  // the batch has that as its failure
        if (!*more || batch_.ended()) return true;
    }
}

int Following::printFinished() {
    const auto finished = batch_.takeFinished();
    if (finished.empty() || style_.json) return kSuccess;
    live_.takeAway();
    std::string text;
    for (const auto& result : finished) text += lines_.line(result);
    return print(text);
}

void Following::showProgress() {
    if (!live_.isSeen()) return;
    const auto since = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - started_);
    live_.show(batchProgress(batch_.results(), batch_.counts(), since));
}

void Following::waitOnce() {
    pollfd polls[2] = {{client_.fd(), client_.events(), 0}, {interrupts_.fd(), POLLIN, 0}};
    if (client_.deadline() == 0) return;  // something is there already
    const timespec tick{kTick.count(), 0};
    ::ppoll(polls, 2, live_.isSeen() ? &tick : nullptr, nullptr);
}

// False: it does not end, though asked twice.
bool Following::onInterrupt(int number) {
    live_.takeAway();
    if (++asked_ <= 2) {
        note(asked_ == 1 ? "stopping the batch; once more kills what is left of it" : "killing what is left of the batch");
        client_.stop(batch_, asked_ == 1 ? kGrace : std::chrono::seconds(0));
        return true;
    }
    complain({Errc::Timeout, "batch " + batch_.id() + ": given up on after signal " + std::to_string(number) + "; it may be under way"},
             style_);
    return false;
}

int Following::conclude() {
    live_.takeAway();
    if (const Error* failure = batch_.failure()) return complain(Error(*failure).in("batch " + batch_.id()), style_);
    const int status = batchStatus(batch_.results());
    if (style_.json) {
        const int printed = print(line(batchToJson(batch_.id(), batch_.results())));
        return printed == kSuccess ? status : printed;
    }
    note(batchSummary(batch_.results()));
    return status;
}

}  // namespace

client::Dict SelectOptions::selector() const {
    client::Dict dict;
    for (const auto& [key, word] : {std::pair{"labels", &labels}, {"name", &name}, {"image", &image}, {"mode", &mode}})
        if (!word->empty()) dict.set(key, *word);
    client::Strings words;
    for (std::size_t at = 0; !backends.empty() && at <= backends.size();) {
        const std::size_t comma = std::min(backends.find(',', at), backends.size());
        words.push_back(backends.substr(at, comma - at));
        at = comma + 1;
    }
    if (!words.empty()) dict.set("backends", std::move(words));
    return dict;
}

void addSelection(cli::Verb& verb, SelectOptions& options) {
    verb.option("--selector", options.labels,
                "Instead of TARGET: every target whose labels match app=web,tier in (a,b),env!=dev,debug,!old")
        .option("--backend", options.backends, "Likewise: every target of these backends (docker,containerd)")
        .option("--name", options.name, "Likewise: every target that is called so (glob)")
        .option("--of-image", options.image, "Likewise: every target that runs this image (glob)")
        .flag("--all", options.all, "Likewise: every target that the capsule's manifest admits")
        .option("--mode", options.mode, "How many of those that match: all (default), one, fixed:N, percent:P")
        .option("--parallel", options.parallel, "At most so many at a time (default and most: what the manifest says)");
}

int runBatch(const BatchWanted& wanted, const Style& style) {
    return withClient(style, [&](client::Client& client) {
        auto path = client.runSelected(wanted.capsule, wanted.select.selector(), wanted.args, optionsOf(wanted));
        if (!path) return complain(path.error(), style);
        if (wanted.detach) return printAccepted(path->substr(path->rfind('/') + 1), style);
        auto batch = client.follow(*path);
        if (!batch) return complain(batch.error(), style);
        return Following(client, std::move(*batch), style).follow();
    });
}

}  // namespace recapctl
