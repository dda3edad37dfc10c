// SPDX-License-Identifier: Apache-2.0
// `recapctl attach`: comes back to a run, or joins somebody else's.
#include <optional>

#include "sdk/client/recapctl/attendance.hpp"
#include "sdk/client/recapctl/cli.hpp"
#include "sdk/client/recapctl/exit_status.hpp"
#include "sdk/client/recapctl/run_report.hpp"

namespace recapctl {

using namespace recap;

namespace {

constexpr std::uint32_t kReplay = 8192;  // what is kept at least

struct Options {
    std::string run;
    std::string detachKeys = kUsualKeys;
    std::uint32_t replay = kReplay;
    bool takeOver = false;
};

int settle(client::Client& client, const client::Run& run, bool showsChanges, const Style& style) {
    if (const Error* failure = run.failure()) return complain(Error(*failure).in("run " + run.id()), style);
    RunReport report;
    report.id = run.id();
    report.end = *run.end();
    if (showsChanges || !report.end.details.has("escape"))
        if (auto details = client.details(report.id)) report.end.details = *details;
    if (showsChanges) writeAll(2, changesInWords(report));
    return printReport(report, false, style);
}

int attach(const Style& style, const Options& options) {
    if (style.json) return complain({Errc::InvalidArgument, "attach prints what the run writes; --json is not for it"}, style);
    auto keys = DetachKeys::parse(options.detachKeys);
    if (!keys) return complain(std::move(keys.error()).in("--detach-keys"), style);
    std::optional<Interrupts> interrupts(std::in_place);
    auto client = client::Client::connect();
    if (!client) return complain(client.error(), style);
    client->setInteractive(onTerminal());
    const auto about = client->details(options.run);
    if (!about) return complain(about.error(), style);
    client::Attachment ends;
    auto run = client->attach(options.run, {options.takeOver, options.replay}, ends);
    if (!run) return complain(run.error(), style);
    const bool tty = about->flag("tty");
    auto stdio = Stdio::attached(std::move(ends), tty, std::move(*keys));
    Attendance attendance(*client, *run, stdio, Guest::Yes);
    if (tty) attendance.withTerminal({});
    const auto over = attendance.attend(*interrupts);
    attendance.leaveTerminal();
    if (over == Attendance::Over::Ended) {
        interrupts.reset();
        stdio.drain();
        return settle(*client, *run, tty && about->text("view") == "merged", style);
    }
    stdio.close();
    if (over == Attendance::Over::Cut) note("run " + run->id() + ": its streams are closed, or somebody else's now; it goes on");
    if (over == Attendance::Over::Left) note("detached from run " + run->id() + ", which goes on");
    if (attendance.signal() != 0) return 128 + attendance.signal();
    return over == Attendance::Over::Left ? kSuccess : kOwnFailure;
}

}  // namespace

void addAttach(Cli& cli) {
    auto options = std::make_shared<Options>();
    cli.top.verb("attach", "Attach to a run that is under way", [&cli, options] { return attach(cli.style, *options); })
        .footer("A run with a terminal is left by Ctrl-P Ctrl-Q, any other by Ctrl-C; it goes on.")
        .operand("RUN", options->run, "The run's id (recapctl runs)")
        .flag("--take-over", options->takeOver, "Where somebody is attached: they no longer are")
        .option("--replay", options->replay, "Begin with so many of the last bytes it wrote (8192)")
        .option("--detach-keys", options->detachKeys, "Leave a run with a terminal by these keys (ctrl-p,ctrl-q)");
}

}  // namespace recapctl
