// SPDX-License-Identifier: Apache-2.0
// `recapctl run`: the one verb whose start-up counts. One connection, one batch of messages out, one signal back.
#include <unistd.h>

#include <algorithm>

#include "sdk/client/recapctl/artifacts.hpp"
#include "sdk/client/recapctl/attendance.hpp"
#include "sdk/client/recapctl/cli.hpp"
#include "sdk/client/recapctl/exit_status.hpp"
#include "sdk/client/recapctl/run_report.hpp"
#include "sdk/client/recapctl/text.hpp"

namespace recapctl {

using namespace recap;

namespace {

struct Options {
    std::string capsule;
    std::string target;
    std::vector<std::string> args;
    std::string timeoutText;
    std::chrono::microseconds timeout{0};
    std::string output;
    std::string selector;
    std::uint32_t parallel = 0;
    std::string detachKeys = kUsualKeys;
    bool detach = false;
    bool tty = false;
    bool noTty = false;
    bool openInput = false;
    bool verbose = false;
};

client::RunRequest toRequest(const Options& options, const Stdio& stdio, bool tty) {
    client::RunRequest request{.capsule = options.capsule, .target = options.target, .args = options.args};
    request.endsWithCaller = !options.detach;
    request.interactive = ::isatty(STDIN_FILENO) == 1;
    request.standardInput = stdio.given(0);
    request.standardOutput = stdio.given(1);
    request.standardError = stdio.given(2);
    request.timeout = options.timeout;
    request.openInput = options.openInput;
    if (tty) {
        const TerminalSize size = terminalSize();
        request.tty = true;
        request.rows = size.rows;
        request.columns = size.columns;
    }
    return request;
}

// Where nobody said: as the capsule's manifest does, for somebody who sits at a terminal. Everywhere else bytes stay as they are.
bool wantsTerminal(client::Client& client, const Options& options, const Style& style) {
    if (options.tty || options.noTty) return options.tty;
    if (options.detach || style.json || !onTerminal()) return false;
    const auto capsules = client.capsules();
    if (!capsules) return false;  // the run itself will say why
    return std::ranges::any_of(*capsules, [&](const client::Dict& row) { return row.text("name") == options.capsule && row.flag("tty"); });
}

Result<Stdio> openStdio(const Options& options, bool tty, const Style& style) {
    if (options.detach) return Stdio{};
    if (!tty) return Stdio::open(!style.json);
    auto keys = DetachKeys::parse(options.detachKeys);
    if (!keys) return tl::unexpected(std::move(keys.error()).in("--detach-keys"));
    return Stdio::forTerminal(std::move(*keys));
}

// The streams close last: the run is to know that it goes on.
int leave(client::Client& client, const client::Run& run, Stdio& stdio, const Style& style) {
    auto detached = client.detach(run.id());
    stdio.close();
    if (!detached) return complain(std::move(detached.error()).in("run " + run.id()), style);
    note("detached from run " + run.id() + ", which goes on; recapctl attach " + run.id() + " comes back to it");
    return kSuccess;
}

int settle(client::Client& client, const client::Run& run, bool interrupted, const Options& options, const Style& style) {
    if (const Error* failure = run.failure()) return complain(run.accepted() ? Error(*failure).in("run " + run.id()) : *failure, style);
    if (options.detach) return printAccepted(run.id(), style);
    RunReport report;
    report.id = run.id();
    report.end = *run.end();
    report.interrupted = interrupted;
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
    const bool tty = wantsTerminal(*client, options, style);
    auto stdio = openStdio(options, tty, style);
    if (!stdio) return complain(stdio.error(), style);
    const client::RunRequest request = toRequest(options, *stdio, tty);
    const client::Run run = client->run(request);
    stdio->handedOver();
    Attendance attendance(*client, run, *stdio);
    if (options.detach) attendance.untilAccepted();
    if (tty && !options.detach) attendance.withTerminal({request.rows, request.columns});
    const auto over = attendance.attend(*interrupts);
    attendance.leaveTerminal();
    if (over == Attendance::Over::GivenUp) {
        Error givenUp{Errc::Timeout, "given up on: it did not end, and may be under way"};
        complain(std::move(givenUp).in(run.accepted() ? "run " + run.id() : "the run"), style);
        return 128 + attendance.signal();
    }
    if (over == Attendance::Over::Left) return leave(*client, run, *stdio, style);
    if (over == Attendance::Over::Cut) {
        note("run " + run.id() + ": its terminal is somebody else's now");
        return leave(*client, run, *stdio, style);
    }
    interrupts.reset();
    stdio->drain();
    return settle(*client, run, attendance.signal() != 0, options, style);
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
    if (options.tty && (options.noTty || cli.style.json)) return refuse("--tty excludes --no-tty and --json");
    if (options.openInput && (!options.detach || options.tty))
        return refuse("--open-stdin is for --detach without --tty: all else has its standard input, or keeps it open anyway");
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
        .option("--selector", options->selector, "Every target that this matches, instead of TARGET (not supported yet by this version)")
        .option("--parallel", options->parallel, "At most so many at a time, with --selector (not supported yet by this version)")
        .flag("-d,--detach", options->detach, "Print the run's id and leave it running")
        .flag("-t,--tty", options->tty, "Give the capsule a terminal (default: as its manifest says, at a terminal)")
        .flag("-T,--no-tty", options->noTty, "Give it none, and carry bytes as they are")
        .flag("-i,--open-stdin", options->openInput, "With --detach: keep standard input open for recapctl attach")
        .option("--detach-keys", options->detachKeys, "Leave a run with a terminal by these keys (ctrl-p,ctrl-q)")
        .flag("-v,--verbose", options->verbose, "Say afterwards, on standard error, how long each phase took and what was left");
}

}  // namespace recapctl
