// SPDX-License-Identifier: Apache-2.0
// Past and present runs: runs, show, logs, stop, attach.
#include <poll.h>
#include <unistd.h>

#include <chrono>

#include "sdk/client/recapctl/cli.hpp"
#include "sdk/client/recapctl/exit_status.hpp"
#include "sdk/client/recapctl/json.hpp"
#include "sdk/client/recapctl/run_report.hpp"
#include "sdk/client/recapctl/text.hpp"
#include "sdk/client/recapctl/ulid.hpp"

namespace recapctl {

using namespace recap;
using client::Dict;
using client::Rows;

namespace {

struct Options {
    std::string run;
    std::string capsule;
    std::string target;
    std::string outcome;
    std::string trigger;
    std::string batch;
    std::string since;
    std::string until;
    std::string before;
    std::string stream;
    std::string grace = "5s";
    std::uint32_t limit = 0;
    bool follow = false;
    bool now = false;
};

// What never ran has no exit status.
std::string exitStatus(const Dict& run) {
    const std::string_view outcome = run.text("outcome");
    const bool ran = run.text("state") == "finished" && outcome != "not-started" && outcome != "denied" && outcome != "skipped";
    return ran ? std::to_string(run.number("exit-code")) : std::string();
}

std::vector<Column> runColumns() {
    const Column status{"EXIT", exitStatus};
    const Column state{"STATE",
                       [](const Dict& row) { return std::string(row.text("outcome").empty() ? row.text("state") : row.text("outcome")); }};
    const Column started{"STARTED", [](const Dict& row) {
                             return row.number("started") > 0 ? localTime(static_cast<std::uint64_t>(row.number("started")))
                                                              : std::string();
                         }};
    return {text("RUN", "id"), text("CAPSULE", "capsule"), text("TARGET", "target"), state, status, text("ESCAPE", "escape"), started};
}

int listRuns(const Style& style, const Options& options) {
    Dict filter, with;
    for (const auto& [key, text] : {std::pair{"capsule", &options.capsule},
                                    {"target", &options.target},
                                    {"outcome", &options.outcome},
                                    {"trigger", &options.trigger},
                                    {"batch", &options.batch}})
        if (!text->empty()) filter.set(key, *text);
    const auto now = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch());
    for (const auto& [key, text] : {std::pair{"since", &options.since}, {"until", &options.until}}) {
        if (text->empty()) continue;
        const auto moment = parseMoment(*text, static_cast<std::uint64_t>(now.count()));
        if (!moment) return complain(Error(moment.error()).in(std::string("--") + key), style);
        filter.set(key, *moment);
    }
    if (!options.before.empty()) with.set("before", options.before);
    if (options.limit > 0) with.set("limit", options.limit);
    return withClient(style, [&](client::Client& client) {
        return unlessFailed<client::RunPage>(style, client.runs(filter, with), [&](client::RunPage& page) {
            if (!style.json) return printRows(runColumns(), page.runs, "runs", style);
            Json json = document();
            json["runs"] = toJson(page.runs);
            json["next"] = page.next;
            return print(line(json));
        });
    });
}

// From the run's object, or from the ledger once there is none any more.
Result<Dict> find(client::Client& client, const std::string& run) {
    auto details = client.details(run);
    if (details || details.error().code != Errc::NotFound) return details;
    const std::string after = successor(run);
    if (after.empty()) return details;
    auto page = client.runs({}, {{"before", after}, {"limit", 1U}});
    if (page && !page->runs.empty() && page->runs.front().text("id") == upperCase(run)) return page->runs.front();
    return details;
}

std::string inWords(const Dict& run) {
    std::string words;
    const auto say = [&](const char* what, const std::string& how) {
        if (!how.empty()) words += std::string(what) + escaped(how) + "\n";
    };
    const auto word = [&](const char* key) { return std::string(run.text(key)); };
    const auto all = [&](const char* key) { return list("", key).cell(run); };
    say("run           ", word("id"));
    say("capsule       ", word("capsule"));
    say("target        ", word("target"));
    say("image         ", word("image"));
    say("command       ", all("argv"));
    say("caller        ", run.has("caller") ? "uid " + std::to_string(run.number("caller")) : "");
    say("trigger       ", word("trigger") + (word("event").empty() ? "" : " (" + word("event") + ")"));
    say("batch         ", word("batch"));
    say("started       ", run.number("started") > 0 ? localTime(static_cast<std::uint64_t>(run.number("started"))) : "");
    say("state         ", word("state"));
    say("outcome       ", word("outcome"));
    say("exit          ", exitStatus(run));
    say("untrusted     ", run.flag("untrusted") ? kUntrusted : "");
    say("detail        ", word("detail"));
    say("error         ", word("error"));
    if (run.has("phases")) say("phases (ms)   ", phasesInWords(run.dict("phases")));
    say("escape        ", word("escape"));
    for (const auto& left : run.strings("left")) say("left          ", left);
    for (const auto& narrowed : run.strings("narrowed")) say("narrowed      ", narrowed);
    say("not enforced  ", all("unenforced-limits"));
    say("not mounted   ", all("omitted-mounts"));
    for (const auto& written : run.strings("written")) say("written       ", written);
    if (run.has("cpu-usec"))
        say("CPU time (ms) ", milliseconds(static_cast<std::uint64_t>(run.number("cpu-usec"))) + ", of that in the kernel " +
                                  milliseconds(static_cast<std::uint64_t>(run.number("cpu-system-usec"))));
    if (run.has("memory-peak")) say("memory peak   ", bytes(static_cast<std::uint64_t>(run.number("memory-peak"))));
    if (run.has("pids-peak")) say("processes     ", "at most " + std::to_string(static_cast<std::uint64_t>(run.number("pids-peak"))));
    say("out of memory ", run.flag("oom") ? "yes" : "");
    if (run.has("log-bytes"))
        say("log           ",
            bytes(static_cast<std::uint64_t>(run.number("log-bytes"))) + (run.flag("log-truncated") ? ", truncated" : ""));
    say("artifacts     ", run.flag("artifacts") ? "yes (recapctl artifacts " + word("id") + ")" : "");
    return words;
}

int show(const Style& style, const Options& options) {
    return withClient(style, [&](client::Client& client) {
        return unlessFailed<Dict>(style, find(client, options.run),
                                  [&](Dict& run) { return style.json ? printJson(run) : print(inWords(run)); });
    });
}

// Empty where all that the run wrote is there.
std::string cutMark(client::Client& client, const std::string& run) {
    const auto about = client.details(run);
    if (!about || !about->flag("log-truncated")) return {};
    return "run " + upperCase(run) + ": its output is cut here: it wrote " + bytes(static_cast<std::uint64_t>(about->number("log-bytes"))) +
           ", and what was beyond the log's size is not kept";
}

int logsAsJson(client::Client& client, const Style& style, const Options& options) {
    Json json = document();
    json["id"] = upperCase(options.run);
    for (const std::string stream : {"stdout", "stderr"}) {
        if (!options.stream.empty() && options.stream != stream) continue;
        auto kept = keptOutput(client, options.run, stream);
        if (!kept) return complain(kept.error(), style);
        setBytes(json, stream, *kept);
    }
    json["truncated"] = !cutMark(client, options.run).empty();
    return print(line(json));
}

// Each stream of the run to the same one of ours, until both have ended.
int copyStreams(std::array<UniqueFd, 2> streams) {
    char buffer[65536];
    while (streams[0] || streams[1]) {
        pollfd polls[2] = {{streams[0].get(), POLLIN, 0}, {streams[1].get(), POLLIN, 0}};
        if (::poll(polls, 2, -1) < 0) continue;
        for (std::size_t i = 0; i < 2; ++i) {
            if (!polls[i].revents) continue;
            const ssize_t size = ::read(streams[i].get(), buffer, sizeof buffer);
            if (size <= 0)
                streams[i].reset();
            else if (!writeAll(i == 0 ? STDOUT_FILENO : STDERR_FILENO, {buffer, static_cast<std::size_t>(size)}))
                return kOwnFailure;
        }
    }
    return kSuccess;
}

int logs(const Style& style, const Options& options) {
    return withClient(style, [&](client::Client& client) {
        if (style.json) return logsAsJson(client, style, options);
        std::array<UniqueFd, 2> streams;
        for (std::size_t i = 0; i < 2; ++i) {
            const std::string stream = i == 0 ? "stdout" : "stderr";
            if (!options.stream.empty() && options.stream != stream) continue;
            if (!options.follow) {
                auto kept = keptOutput(client, options.run, stream);
                if (!kept) return complain(kept.error(), style);
                if (!writeAll(i == 0 ? STDOUT_FILENO : STDERR_FILENO, *kept)) return kOwnFailure;
                continue;
            }
            auto opened = client.openOutput(options.run, stream);
            if (!opened) return complain(opened.error(), style);
            streams[i] = std::move(*opened);
        }
        const int copied = copyStreams(std::move(streams));
        // On standard error: what is kept may be anything, and goes to a file as it is.
        if (const std::string mark = cutMark(client, options.run); !mark.empty()) note(mark);
        return copied;
    });
}

int stop(const Style& style, const Options& options) {
    const auto grace = parseDuration(options.grace);
    if (!grace && !options.now && options.grace != "0") return complain(Error(grace.error()).in("--grace"), style);
    return withClient(style, [&](client::Client& client) {
        const bool now = options.now || !grace;
        const auto seconds = now ? std::chrono::seconds(0) : std::chrono::ceil<std::chrono::seconds>(*grace);
        auto stopped = now ? client.kill(options.run) : client.stop(options.run, seconds);
        if (stopped || stopped.error().code != Errc::NotFound) return done(style, stopped);
        const auto batch = client.stopBatch(options.run, seconds);  // ids of both look alike
        return done(style, batch || batch.error().code != Errc::NotFound ? batch : stopped);
    });
}

Verb& runVerb(Cli& cli, const char* name, const char* description, const std::shared_ptr<Options>& options,
              int (*act)(const Style&, const Options&)) {
    return cli.top.verb(name, description, [&cli, options, act] { return act(cli.style, *options); })
        .operand("RUN", options->run, "The run's id (recapctl runs)");
}

}  // namespace

void addRuns(Cli& cli) {
    auto options = std::make_shared<Options>();
    cli.top.verb("runs", "List runs, newest first", [&cli, options] { return listRuns(cli.style, *options); })
        .option("--capsule", options->capsule, "Only this capsule's")
        .option("--target", options->target, "Only on this target (BACKEND:ID)")
        .option("--outcome", options->outcome, "Only those that ended so: succeeded, failed, …")
        .option("--trigger", options->trigger, "Only those that this started", {"on-demand", "event", "periodic"})
        .option("--batch", options->batch, "Only those of this batch")
        .option("--since", options->since, "Only those begun since: a duration before now (2h), or a date (2026-01-31 14:05)")
        .option("--until", options->until, "Only those begun until, likewise")
        .option("-n,--limit", options->limit, "At most so many (100)")
        .option("--before", options->before, "Only those older than this run");
    runVerb(cli, "show", "Show all that is known of a run", options, show);
    runVerb(cli, "logs", "Print what a run wrote, unless it wrote to pipes of its caller's", options, logs)
        .flag("-f,--follow", options->follow, "Go on until the run ends")
        .option("--stream", options->stream, "Only stdout or stderr", {"stdout", "stderr"});
    runVerb(cli, "stop", "End a run, or all of a batch", options, stop)
        .option("--grace", options->grace, "From TERM to KILL (5s)")
        .flag("--now", options->now, "KILL at once");
}

}  // namespace recapctl
