// SPDX-License-Identifier: Apache-2.0
// `recapctl run`: the one verb whose start-up counts. One connection, one batch of messages out, one signal back.
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "sdk/client/recapctl/artifacts.hpp"
#include "sdk/client/recapctl/cli.hpp"
#include "sdk/client/recapctl/exit_status.hpp"
#include "sdk/client/recapctl/interrupts.hpp"
#include "sdk/client/recapctl/run_report.hpp"
#include "sdk/client/recapctl/stdio.hpp"
#include "sdk/client/recapctl/text.hpp"

namespace recapctl {

using namespace recap;

namespace {

constexpr std::chrono::seconds kGrace{5};  // from TERM to KILL after Ctrl-C

struct Options {
    std::string capsule;
    std::string target;
    std::vector<std::string> args;
    std::string timeoutText;
    std::chrono::microseconds timeout{0};
    std::string output;
    std::string selector;
    std::uint32_t parallel = 0;
    bool detach = false;
    bool verbose = false;
};

timespec until(std::uint64_t deadline) {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    const std::uint64_t at = static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(now.tv_nsec) / 1000;
    const std::uint64_t left = deadline > at ? deadline - at : 0;
    return {static_cast<time_t>(left / 1'000'000), static_cast<long>(left % 1'000'000 * 1000)};
}

// From the request's leaving to the run's end: bus, terminal and Ctrl-C, whichever has something.
class Attendance {
public:
    Attendance(client::Client& client, const client::Run& run, Stdio& stdio, bool untilAccepted)
        : client_(client), run_(run), stdio_(stdio), untilAccepted_(untilAccepted) {}

    // 0, or the signal that made the caller give up on a run that does not end.
    int attend(const Interrupts& interrupts) {
        for (;;) {
            if (!pumpBus() || over()) return 0;
            const int signal = waitOnce(interrupts);
            if (signal == 0) continue;
            if (++asked_ == 1)
                client_.stop(run_, kGrace);
            else if (asked_ == 2 && run_.accepted())
                client_.kill(run_);
            else
                return signal;
        }
    }
    bool interrupted() const { return asked_ > 0; }

private:
    bool over() const { return run_.ended() || (untilAccepted_ && run_.accepted()); }

    bool pumpBus() {
        for (;;) {
            auto more = client_.pump();
            if (!more) return false;  // the run has that as its failure
            if (!*more || over()) return true;
        }
    }

    int waitOnce(const Interrupts& interrupts) {
        const auto streams = stdio_.polls();
        std::array<pollfd, Stdio::kPolls + 2> polls{};
        std::copy(streams.begin(), streams.end(), polls.begin());
        polls[Stdio::kPolls] = {client_.fd(), client_.events(), 0};
        polls[Stdio::kPolls + 1] = {interrupts.fd(), POLLIN, 0};
        const std::uint64_t deadline = client_.deadline();
        const timespec timeout = until(deadline);
        if (::ppoll(polls.data(), polls.size(), deadline == UINT64_MAX ? nullptr : &timeout, nullptr) < 0) return 0;
        std::array<pollfd, Stdio::kPolls> ready{};
        std::copy_n(polls.begin(), ready.size(), ready.begin());
        stdio_.pump(ready);
        return polls[Stdio::kPolls + 1].revents ? interrupts.take() : 0;
    }

    client::Client& client_;
    const client::Run& run_;
    Stdio& stdio_;
    bool untilAccepted_;
    int asked_ = 0;
};

client::RunRequest toRequest(const Options& options, const Stdio& stdio) {
    client::RunRequest request{.capsule = options.capsule, .target = options.target, .args = options.args};
    request.endsWithCaller = !options.detach;
    request.interactive = ::isatty(STDIN_FILENO) == 1;
    request.standardInput = stdio.given(0);
    request.standardOutput = stdio.given(1);
    request.standardError = stdio.given(2);
    request.timeout = options.timeout;
    return request;
}

int settle(client::Client& client, const client::Run& run, const Attendance& attendance, const Options& options, const Style& style) {
    if (const Error* failure = run.failure()) return complain(run.accepted() ? Error(*failure).in("run " + run.id()) : *failure, style);
    if (options.detach) return printAccepted(run.id(), style);
    RunReport report;
    report.id = run.id();
    report.end = *run.end();
    report.interrupted = attendance.interrupted();
    if (!report.end.details.has("escape"))
        if (auto details = client.details(report.id)) report.end.details = *details;
    if (!options.output.empty() && report.end.details.has("escape")) {
        auto artifacts = fetchArtifacts(client, report.id, options.output);
        if (artifacts)
            report.artifacts = std::move(*artifacts);
        else
            report.artifactsFailure = artifacts.error();
    }
    if (style.json) collectOutput(client, report);
    return printReport(report, options.verbose, style);
}

int runOne(const Options& options, const Style& style) {
    auto interrupts = std::make_optional<Interrupts>();
    auto client = client::Client::connect();
    if (!client) return complain(client.error(), style);
    auto stdio = options.detach ? Result<Stdio>(Stdio{}) : Stdio::open(!style.json);
    if (!stdio) return complain(stdio.error(), style);
    const client::Run run = client->run(toRequest(options, *stdio));
    stdio->handedOver();
    Attendance attendance(*client, run, *stdio, options.detach);
    if (const int signal = attendance.attend(*interrupts)) {
        Error givenUp{Errc::Timeout, "given up on: it did not end, and may be under way"};
        complain(std::move(givenUp).in(run.accepted() ? "run " + run.id() : "the run"), style);
        return 128 + signal;
    }
    interrupts.reset();
    stdio->drain();
    return settle(*client, run, attendance, options, style);
}

// RunSelected: whatever recapd says of it.
int runSelected(const Options& options, const Style& style) {
    return withClient(style, [&](client::Client& client) {
        client::Dict selector;
        if (!options.selector.empty()) selector.set("expression", options.selector);
        client::Dict with;
        if (options.parallel > 0) with.set("parallel", options.parallel);
        if (options.timeout.count() > 0) with.set("timeout", static_cast<std::uint64_t>(options.timeout.count()));
        auto batch = client.runSelected(options.capsule, selector, options.args, with);
        return unlessFailed<std::string>(style, std::move(batch),
                                         [&](std::string& path) { return printAccepted(path.substr(path.rfind('/') + 1), style); });
    });
}

int start(Cli& cli, Options& options) {
    options.args = cli.passed;
    const bool selected = !options.selector.empty() || options.parallel > 0;
    const auto refuse = [&](const char* why) { return complain({Errc::InvalidArgument, why}, cli.style); };
    if (selected && !options.target.empty()) return refuse("TARGET and --selector exclude each other");
    if (!selected && options.target.empty()) return refuse("TARGET is required (recapctl targets lists them)");
    if (options.detach && !options.output.empty())
        return refuse("--output waits for the run's end and --detach does not: use recapctl artifacts RUN --output DIR later");
    if (!options.timeoutText.empty()) {
        auto timeout = parseDuration(options.timeoutText);
        if (!timeout) return complain(std::move(timeout.error()).in("--timeout"), cli.style);
        options.timeout = *timeout;
    }
    return selected ? runSelected(options, cli.style) : runOne(options, cli.style);
}

}  // namespace

void addRun(Cli& cli) {
    auto options = std::make_shared<Options>();
    cli.top.verb("run", "Run a capsule on a target, attached to its standard streams", [&cli, options] { return start(cli, *options); })
        .passesArguments()
        .footer("What stands after -- goes to the capsule: recapctl run ps docker:web -- -ef")
        .operand("CAPSULE", options->capsule, "A capsule's name (recapctl capsules)")
        .optionalOperand("TARGET", &options->target, "BACKEND:NAME-OR-ID, or a bare name (recapctl targets)")
        .option("--timeout", options->timeoutText, "End the run after this long: 30s, 1m30s (can only shorten the capsule's own)")
        .option("-o,--output", options->output, "Copy the run's artifacts below this folder afterwards")
        .option("--selector", options->selector, "Every target that this matches, instead of TARGET")
        .option("--parallel", options->parallel, "At most so many at a time, with --selector")
        .flag("-d,--detach", options->detach, "Print the run's id and leave it running")
        .flag("-v,--verbose", options->verbose, "Say afterwards, on standard error, how long each phase took and what was left");
}

}  // namespace recapctl
