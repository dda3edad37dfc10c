// SPDX-License-Identifier: Apache-2.0
// `recapctl plan`: what a run would see and touch, in words, decided by the same code as the run itself.
#include "sdk/client/recapctl/plan.hpp"

#include "sdk/client/recapctl/adjust.hpp"
#include "sdk/client/recapctl/cli.hpp"
#include "sdk/client/recapctl/json.hpp"
#include "sdk/client/recapctl/text.hpp"

namespace recapctl {

using namespace recap;
using client::Dict;

namespace {

std::string joined(const client::Strings& strings, const char* between, const char* none) {
    std::string all;
    for (const auto& one : strings) all += (all.empty() ? "" : between) + one;
    return all.empty() ? none : all;
}

std::string meaning(std::string_view word, std::initializer_list<std::pair<std::string_view, const char*>> known) {
    for (const auto& [key, says] : known)
        if (key == word) return std::string(word) + ": " + says;
    return std::string(word);
}

std::string filesInWords(const Dict& plan) {
    std::string words = meaning(plan.text("view"), {{"none", "the target's files are not visible"},
                                                    {"read-only", "the target's files at /target, nothing writable"},
                                                    {"merged", "the capsule's files over the target's, writes are dropped"},
                                                    {"write", "the target's files at /target"}});
    const auto writes = plan.strings("writes");
    return writes.empty() ? words : words + "; writable: " + joined(writes, ", ", "");
}

std::string processesInWords(const Dict& plan) {
    return meaning(plan.text("processes"), {{"none", "the target's processes are not visible"},
                                            {"observe", "the target's processes are visible, not touchable"},
                                            {"join", "the capsule runs among the target's processes"}});
}

std::string limitsInWords(const Dict& plan) {
    const auto amount = [&](const char* key) { return static_cast<std::uint64_t>(plan.number(key)); };
    const std::string cpu = std::to_string(plan.number("cpu-milli") / 10) + "% of a CPU";
    return "memory " + bytes(amount("memory")) + ", " + cpu + ", " + std::to_string(plan.number("pids")) + " processes, scratch " +
           bytes(amount("scratch")) + ", timeout " + span(amount("timeout"));
}

std::string syscallsInWords(const Dict& plan) {
    return std::to_string(plan.strings("syscalls").size()) + " system calls allowed, any other: " + std::string(plan.text("on-violation"));
}

struct Options {
    std::string capsule;
    std::string target;
    AdjustOptions adjust;
    std::string timeout;
};

int show(Cli& cli, const Options& options) {
    Dict with;
    for (const auto& [key, word] : options.adjust.given()) with.set(key, word);
    if (!options.timeout.empty()) {
        auto timeout = parseDuration(options.timeout);
        if (!timeout) return complain(std::move(timeout.error()).in("--timeout"), cli.style);
        with.set("timeout", static_cast<std::uint64_t>(timeout->count()));
    }
    return withClient(cli.style, [&](client::Client& client) {
        return unlessFailed<Dict>(cli.style, client.plan(options.capsule, options.target, cli.passed, with),
                                  [&](Dict& plan) { return cli.style.json ? printJson(plan) : print(planInWords(plan)); });
    });
}

}  // namespace

std::string planInWords(const Dict& plan) {
    std::string words;
    const auto say = [&](const char* what, const std::string& how) {
        if (!how.empty()) words += std::string(what) + escaped(how) + "\n";
    };
    const std::string target(plan.text("target"));
    const std::string targetName(plan.text("target-name"));
    say("capsule       ", std::string(plan.text("capsule")));
    say("target        ", target + (targetName.empty() ? "" : " (" + targetName + ")"));
    say("image         ", std::string(plan.text("image")));
    say("command       ", joined(plan.strings("argv"), " ", ""));
    say("program       ", std::string(plan.text("executable")));
    say("joins         ", joined(plan.strings("namespaces"), ", ", "no namespace of the target"));
    say("of the host   ", joined(plan.strings("host-namespaces"), ", ", ""));
    say("processes     ", processesInWords(plan));
    say("              ", plan.flag("untrusted") ? kUntrusted : "");
    say("files         ", filesInWords(plan));
    say("runs as       ", "uid " + std::to_string(plan.number("uid")) + ", gid " + std::to_string(plan.number("gid")) +
                              (plan.text("user") == "target" ? " (the target's own)" : ""));
    say("capabilities  ", joined(plan.strings("capabilities"), ", ", "none"));
    say("freezes       ", plan.flag("freeze") ? "the target, while it runs" : "");
    say("system calls  ", syscallsInWords(plan));
    say("limits        ", limitsInWords(plan));
    say("artifacts     ", plan.text("artifacts").empty() ? ""
                                                         : std::string(plan.text("artifacts")) + ", at most " +
                                                               bytes(static_cast<std::uint64_t>(plan.number("artifacts-max"))));
    say("policy        ", std::string(plan.text("policy")));
    say("reason        ", std::string(plan.text("reason")));
    say("right needed  ", plan.flag("privileged") ? "org.recap1.run-privileged" : "org.recap1.run");
    for (const auto& narrowed : plan.strings("narrowed")) say("narrowed      ", narrowed);
    return words;
}

void addPlan(Cli& cli) {
    auto options = std::make_shared<Options>();
    auto& verb = cli.top.verb("plan", "Say what a run would see and touch, and what was narrowed, without running it",
                              [&cli, options] { return show(cli, *options); });
    verb.passesArguments()
        .footer("What stands after -- goes to the capsule.")
        .operand("CAPSULE", options->capsule, "A capsule's name")
        .operand("TARGET", options->target, "BACKEND:NAME-OR-ID, or a bare name")
        .option("--timeout", options->timeout, "As for run");
    addAdjustments(verb, options->adjust);
}

}  // namespace recapctl
