// SPDX-License-Identifier: Apache-2.0
// `recapctl run`: the one verb whose start-up counts. One connection, one batch of messages out, one signal back.
#include <algorithm>

#include "sdk/client/recapctl/adjust.hpp"
#include "sdk/client/recapctl/artifacts.hpp"
#include "sdk/client/recapctl/batch.hpp"
#include "sdk/client/recapctl/cli.hpp"
#include "sdk/client/recapctl/exit_status.hpp"
#include "sdk/client/recapctl/run_report.hpp"
#include "sdk/client/recapctl/sitting.hpp"
#include "sdk/client/recapctl/terminal.hpp"
#include "sdk/client/recapctl/text.hpp"

namespace recapctl {

using namespace recap;

namespace {

struct Options {
    std::string capsule;
    std::string target;
    std::vector<std::string> args;
    AdjustOptions adjust;
    std::string timeoutText;
    std::chrono::microseconds timeout{0};
    std::string output;
    SelectOptions select;
    std::string detachKeys = kUsualKeys;
    bool detach = false;
    bool tty = false;
    bool noTty = false;
    bool openInput = false;
    bool now = false;
    bool verbose = false;
};

// Where nobody said: as the capsule's manifest does, for somebody who sits at a terminal. Everywhere else bytes stay as they are.
bool wantsTerminal(client::Client& client, const Options& options, const Style& style) {
    if (options.tty || options.noTty) return options.tty;
    if (options.detach || style.json || !onTerminal()) return false;
    const auto capsules = client.capsules();
    if (!capsules) return false;  // the run itself will say why
    return std::ranges::any_of(*capsules, [&](const client::Dict& row) { return row.text("name") == options.capsule && row.flag("tty"); });
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
    Sitting sitting;
    sitting.request = {.capsule = options.capsule, .target = options.target, .args = options.args};
    sitting.request.adjustments = options.adjust.given();
    sitting.request.timeout = options.timeout;
    sitting.request.openInput = options.openInput;
    sitting.detachKeys = options.detachKeys;
    sitting.detach = options.detach;
    sitting.prepare = [&](client::Client& client, Sitting& self) {
        self.tty = wantsTerminal(client, options, style);
        return Result<void>();
    };
    sitting.settle = [&](client::Client& client, const client::Run& run, bool interrupted) {
        return settle(client, run, interrupted, options, style);
    };
    return sit(std::move(sitting), style);
}

// RunScheduled: the right is who enabled it's, and so is everything else its manifest's.
int runTurn(const Options& options, const Style& style) {
    return withClient(style, [&](client::Client& client) {
        return unlessFailed<std::string>(style, client.runScheduled(options.capsule),
                                         [&](std::string& path) { return printAccepted(path.substr(path.rfind('/') + 1), style); });
    });
}

int start(Cli& cli, Options& options) {
    options.args = cli.passed;
    const bool selected = options.select.any();
    const auto refuse = [&](const char* why) { return complain({Errc::InvalidArgument, why}, cli.style); };
    if (options.now && (selected || !options.target.empty() || !options.args.empty() || !options.output.empty()))
        return refuse("--now is the capsule's own turn: it takes no TARGET, --selector, --output or arguments");
    if (options.now) return runTurn(options, cli.style);
    if (selected && !options.target.empty()) return refuse("TARGET excludes --selector, --backend, --name, --of-image, --all and --mode");
    if (!selected && options.target.empty()) return refuse("TARGET is required (recapctl targets lists them), or --selector and the like");
    if (!selected && options.select.parallel > 0) return refuse("--parallel is for several targets: --selector and the like");
    if (selected && (options.tty || options.openInput || !options.output.empty()))
        return refuse("--tty, --open-stdin and --output are for one TARGET (recapctl artifacts RUN --output DIR, afterwards)");
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
    if (!selected) return runOne(options, cli.style);
    return runBatch({options.capsule, options.args, options.select, options.timeout, options.adjust.given(), options.detach}, cli.style);
}

}  // namespace

void addRun(Cli& cli) {
    auto options = std::make_shared<Options>();
    auto& verb = cli.top.verb("run", "Run a capsule on a target, attached to its standard streams, or on all that match",
                              [&cli, options] { return start(cli, *options); });
    verb.passesArguments()
        .footer("What stands after -- goes to the capsule: recapctl run ps docker:web -- -ef")
        .operand("CAPSULE", options->capsule, "A capsule's name (recapctl capsules)")
        .optionalOperand("TARGET", &options->target, "BACKEND:NAME-OR-ID, or a bare name (recapctl targets)")
        .option("--timeout", options->timeoutText, "End the run after this long: 30s, 1m30s (can only shorten the capsule's own)")
        .option("-o,--output", options->output, "Copy the run's artifacts below this folder afterwards")
        .flag("--now", options->now, "The turn of an enabled capsule that its schedule would have next, at once; prints the batch's id")
        .flag("-d,--detach", options->detach, "Print the id of the run, or of the batch, and leave it running")
        .flag("-t,--tty", options->tty, "Give the capsule a terminal (default: as its manifest says, at a terminal)")
        .flag("-T,--no-tty", options->noTty, "Give it none, and carry bytes as they are")
        .flag("-i,--open-stdin", options->openInput, "With --detach: keep standard input open for recapctl attach")
        .option("--detach-keys", options->detachKeys, "Leave a run with a terminal by these keys (ctrl-p,ctrl-q)")
        .flag("-v,--verbose", options->verbose, "Say afterwards, on standard error, how long each phase took and what was left");
    addSelection(verb, options->select);
    addAdjustments(verb, options->adjust);
}

}  // namespace recapctl
