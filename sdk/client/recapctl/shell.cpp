// SPDX-License-Identifier: Apache-2.0
// `recapctl shell`: a run of capsule "shell" that one sits at, and what it changed of what it saw.
#include <algorithm>

#include "sdk/client/recapctl/adjust.hpp"
#include "sdk/client/recapctl/cli.hpp"
#include "sdk/client/recapctl/exit_status.hpp"
#include "sdk/client/recapctl/run_report.hpp"
#include "sdk/client/recapctl/sitting.hpp"
#include "sdk/client/recapctl/terminal.hpp"
#include "sdk/client/recapctl/text.hpp"

namespace recapctl {

using namespace recap;

namespace {

constexpr const char* kCapsule = "shell";
constexpr const char* kNotInstalled =
    "capsule 'shell' is not installed: 'recap-capsule build " RECAP_CATALOGUE
    "/shell -o shell.tar', as root 'recapctl image import shell.tar', and 'recapctl capsule install " RECAP_CATALOGUE
    "/shell/capsule.toml' bring it in";
constexpr const char* kNoImage = "capsule 'shell' has no image here: 'recap-capsule build " RECAP_CATALOGUE
                                 "/shell -o shell.tar' and, as root, 'recapctl image import shell.tar' bring it in";

struct Options {
    std::string target;
    AdjustOptions adjust;
    std::string timeout;
    std::string detachKeys = kUsualKeys;
    bool tty = false;
    bool noTty = false;
    bool verbose = false;
};

// One sentence that says how to come by it.
Result<void> checkInstalled(client::Client& client, bool ownImage) {
    const auto capsules = client.capsules();
    if (!capsules) return tl::unexpected(capsules.error());
    const auto found = std::ranges::find_if(*capsules, [](const client::Dict& row) { return row.text("name") == kCapsule; });
    if (found == capsules->end()) return fail(Errc::NotFound, kNotInstalled);
    if (!ownImage && !found->has("problem") && found->text("digest").empty()) return fail(Errc::NotFound, kNoImage);
    return {};
}

int settle(client::Client& client, const client::Run& run, bool interrupted, const Options& options, const Style& style) {
    if (const Error* failure = run.failure()) return complain(run.accepted() ? Error(*failure).in("run " + run.id()) : *failure, style);
    RunReport report;
    report.id = run.id();
    report.end = *run.end();
    report.interrupted = interrupted;
    if (auto details = client.details(report.id)) report.end.details = *details;
    writeAll(2, changesInWords(report));
    return printReport(report, options.verbose, style);
}

int start(Cli& cli, const Options& options) {
    const auto refuse = [&](const char* why) { return complain({Errc::InvalidArgument, why}, cli.style); };
    if (cli.style.json) return refuse("shell is for somebody who sits at it; recapctl run --json shell TARGET -- COMMAND is for programs");
    if (options.tty && options.noTty) return refuse("--tty excludes --no-tty");
    if (cli.hasPassed && cli.passed.empty()) return refuse("COMMAND is missing after '--'");
    Sitting sitting;
    sitting.request = {.capsule = kCapsule, .target = options.target, .args = cli.passed};
    sitting.request.adjustments = options.adjust.given();
    sitting.detachKeys = options.detachKeys;
    sitting.tty = options.tty || (!options.noTty && onTerminal());
    if (!options.timeout.empty()) {
        auto timeout = parseDuration(options.timeout);
        if (!timeout) return complain(std::move(timeout.error()).in("--timeout"), cli.style);
        sitting.request.timeout = *timeout;
    }
    sitting.prepare = [&](client::Client& client, Sitting&) { return checkInstalled(client, !options.adjust.image.empty()); };
    sitting.settle = [&](client::Client& client, const client::Run& run, bool interrupted) {
        return settle(client, run, interrupted, options, cli.style);
    };
    return sit(std::move(sitting), cli.style);
}

}  // namespace

void addShell(Cli& cli) {
    auto options = std::make_shared<Options>();
    auto& verb =
        cli.top.verb("shell", "Open a shell beside a target, with tools of its own", [&cli, options] { return start(cli, *options); });
    verb.passesArguments()
        .footer(
            "What stands after -- is run instead of the shell: recapctl shell docker:web -- ss -tlnp\n"
            "What is written is dropped at the end, and listed; Ctrl-P Ctrl-Q leaves the shell running.")
        .operand("TARGET", options->target, "BACKEND:NAME-OR-ID, or a bare name (recapctl targets)");
    addAdjustments(verb, options->adjust)
        .option("--timeout", options->timeout, "End it after this long: 30s, 1m30s (can only shorten the capsule's own)")
        .option("--detach-keys", options->detachKeys, "Leave it running by these keys (ctrl-p,ctrl-q)")
        .flag("-t,--tty", options->tty, "A terminal (default: at a terminal)")
        .flag("-T,--no-tty", options->noTty, "None, and bytes as they are: for scripts on standard input")
        .flag("-v,--verbose", options->verbose, "Say afterwards, on standard error, how long each phase took and what was left");
}

}  // namespace recapctl
