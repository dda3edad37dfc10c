// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "sdk/client/recapctl/cli.hpp"
#include "sdk/client/recapctl/exit_status.hpp"
#include "sdk/client/recapctl/schedule.hpp"
#include "sdk/client/recapctl/text.hpp"

namespace recapctl {

using namespace recap;
using client::Dict;
using client::Rows;

namespace {

constexpr std::size_t kMaxManifest = 64 * 1024;  // recapd's own limit; saves reading a disk by mistake

struct Options {
    std::string name;
    std::string file;
    bool replace = false;
};

Result<std::string> readManifest(const std::string& file) {
    UniqueFd opened(file == "-" ? ::dup(STDIN_FILENO) : ::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!opened) return failErrno(file);
    std::string toml;
    char buffer[8192];
    ssize_t size = 0;
    while ((size = ::read(opened.get(), buffer, sizeof buffer)) > 0) {
        toml.append(buffer, static_cast<std::size_t>(size));
        if (toml.size() > kMaxManifest) return fail(Errc::LimitExceeded, file + ": a capsule.toml is at most 64 KiB");
    }
    if (size < 0) return failErrno(file);
    if (!isUtf8(toml)) return fail(Errc::InvalidArgument, file + ": not UTF-8, so not TOML");
    return toml;
}

int install(const Style& style, const Options& options) {
    auto toml = readManifest(options.file);
    if (!toml) return complain(toml.error(), style);
    return withClient(style, [&](client::Client& client) {
        return unlessFailed<std::string>(style, client.installCapsule(*toml, options.replace), [&](std::string& object) {
            return style.json ? printJson(Dict{{"object", object}}) : kSuccess;
        });
    });
}

Column state() {
    return {"STATE", [](const Dict& row) -> std::string {
                if (row.has("problem")) return "unreadable";
                if (row.text("digest").empty()) return "no image";
                if (!row.flag("admitted")) return "not admitted";
                return row.has("backed-off-until") ? "backed off" : "ready";
            }};
}

int listAll(const Style& style) {
    return withClient(style, [&](client::Client& client) {
        return unlessFailed<Rows>(style, client.capsules(), [&](Rows& rows) {
            const Column description{"DESCRIPTION", [](const Dict& row) {
                                         return std::string(row.has("problem") ? row.text("problem") : row.text("description"));
                                     }};
            return printRows({text("NAME", "name"), text("VERSION", "version"), state(), description}, rows, "capsules", style);
        });
    });
}

// Whatever the target; with another user it depends on the target's own, and recapctl plan says it.
bool targetMayTrace(const Dict& capsule) {
    const auto joined = capsule.strings("namespaces");
    const bool sharesUsers = std::find(joined.begin(), joined.end(), "user") != joined.end();
    return capsule.text("processes") == "join" && (capsule.text("user") == "target" || sharesUsers);
}

std::string inWords(const Dict& capsule) {
    std::string words;
    const auto say = [&](const char* what, const std::string& how) {
        if (!how.empty()) words += std::string(what) + escaped(how) + "\n";
    };
    const auto word = [&](const char* key) { return std::string(capsule.text(key)); };
    say("name          ", word("name"));
    say("version       ", word("version"));
    say("description   ", word("description"));
    say("file          ", word("path"));
    say("problem       ", word("problem"));
    if (capsule.has("problem")) return words;
    say("image         ", word("image"));
    say("digest        ", word("digest").empty() ? "not imported" : word("digest") + (capsule.flag("admitted") ? "" : " (not admitted)"));
    say("command       ", list("", "command").cell(capsule));
    say("namespaces    ", list("", "namespaces").cell(capsule));
    say("processes     ", word("processes"));
    if (targetMayTrace(capsule)) say("              ", kUntrusted);
    say("view          ", word("view"));
    say("user          ", word("user"));
    say("capabilities  ", list("", "capabilities").cell(capsule));
    say("adjustable    ", list("", "adjustable").cell(capsule));
    say("policy        ", word("policy"));
    say("reason        ", word("reason"));
    say("right needed  ", capsule.flag("privileged") ? "org.recap1.run-privileged" : "org.recap1.run");
    if (const auto failures = capsule.number("failures"); failures > 0)
        say("failures      ",
            std::to_string(failures) + " in a row" +
                (capsule.has("backed-off-until") ? "; backed off: not started by itself before " +
                                                       localTime(static_cast<std::uint64_t>(capsule.number("backed-off-until")))
                                                 : ""));
    return words;
}

int show(const Style& style, const Options& options) {
    return withClient(style, [&](client::Client& client) {
        return unlessFailed<Rows>(style, client.capsules(), [&](Rows& rows) {
            for (const auto& row : rows)
                if (row.text("name") == options.name)
                    return style.json ? printJson(row) : print(inWords(row) + scheduleInWords(client, options.name));
            return complain({Errc::NotFound, "no capsule '" + options.name + "' (recapctl capsules lists them)"}, style);
        });
    });
}

using Change = Result<void> (client::Client::*)(const std::string&);

void addChange(Cli& cli, Verb& group, const char* name, const char* description, Change change) {
    auto options = std::make_shared<Options>();
    const auto act = [&cli, options, change] {
        return withClient(cli.style, [&](client::Client& client) { return done(cli.style, (client.*change)(options->name)); });
    };
    group.verb(name, description, act).operand("CAPSULE", options->name, "Its name");
}

}  // namespace

void addCapsules(Cli& cli) {
    cli.top.verb("capsules", "List the capsules that can be run", [&cli] { return listAll(cli.style); });
    Verb& group = cli.top.verb("capsule", "Install, remove, show, enable or disable a capsule");
    auto options = std::make_shared<Options>();
    group.verb("install", "Install a capsule from its manifest", [&cli, options] { return install(cli.style, *options); })
        .operand("FILE", options->file, "A capsule.toml, or - for standard input")
        .flag("--replace", options->replace, "Also where one of that name is installed");
    group.verb("show", "Show what a capsule asks for", [&cli, options] { return show(cli.style, *options); })
        .operand("CAPSULE", options->name, "Its name");
    addChange(cli, group, "remove", "Remove an installed capsule; runs under way are not touched", &client::Client::removeCapsule);
    addChange(cli, group, "enable", "Have it run by itself, as its schedule says and by your right", &client::Client::enableCapsule);
    addChange(cli, group, "disable", "Have it run by itself no longer; runs under way are not touched", &client::Client::disableCapsule);
}

}  // namespace recapctl
