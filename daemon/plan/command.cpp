// SPDX-License-Identifier: Apache-2.0
#include "daemon/plan/command.hpp"

namespace recap::plan {
namespace {

constexpr std::size_t kMaxWords = 1024;       // arguments, and variables
constexpr std::size_t kMaxBytes = 96 * 1024;  // of both together: a plan is one message to the launcher
constexpr std::string_view kPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// The manifest's command, else the image's. With args = "replace" a caller's arguments take the place of all but the
// program (with the image's own command: of all but its entrypoint).
std::vector<std::string> commandLine(const manifest::Manifest& manifest, const Image& image, const std::vector<std::string>& args) {
    std::vector<std::string> fixed, usual;
    if (!manifest.command.empty()) {
        fixed = {manifest.command.front()};
        usual = {manifest.command.begin() + 1, manifest.command.end()};
    } else {
        fixed = image.entrypoint;
        usual = image.cmd;
        if (fixed.empty() && !usual.empty()) {
            fixed = {usual.front()};
            usual.erase(usual.begin());
        }
    }
    const bool replaced = manifest.args == manifest::ArgsMode::Replace && !args.empty();
    if (!replaced) fixed.insert(fixed.end(), usual.begin(), usual.end());
    fixed.insert(fixed.end(), args.begin(), args.end());
    return fixed;
}

void addOccurrence(const Occurrence& occurrence, std::map<std::string, std::string>& env) {
    env["RECAP_EVENT"] = occurrence.on;
    env["RECAP_EVENT_TIME"] = std::to_string(occurrence.when);
    for (const auto& [key, value] : occurrence.facts) {
        std::string name = "RECAP_EVENT_";
        for (const char c : key) name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
        env[name] = value;
    }
}

std::map<std::string, std::string> environment(const manifest::Manifest& manifest, const Image& image, const RunPlan& plan) {
    std::map<std::string, std::string> env{{"PATH", std::string(kPath)}};
    for (const auto& entry : image.env)
        if (const auto equal = entry.find('='); equal != std::string::npos && equal > 0)
            env[entry.substr(0, equal)] = entry.substr(equal + 1);
    for (const auto& [name, value] : manifest.env) env[name] = value;
    if (plan.tty) env.try_emplace("TERM", "xterm");
    env["RECAP_RUN_ID"] = plan.id;
    env["RECAP_CAPSULE"] = manifest.name;
    env["RECAP_TARGET"] = plan.target.id.text();
    env["RECAP_TARGET_NAME"] = plan.target.name;
    if (plan.sandbox.view == View::ReadOnly || plan.sandbox.view == View::Write) env["RECAP_TARGET_ROOT"] = "/target";
    env["RECAP_TRIGGER"] = name(plan.request.trigger);
    if (plan.request.occurrence) addOccurrence(*plan.request.occurrence, env);
    if (readsOccurrence(plan.request, plan.tty)) env["RECAP_EVENT_FD"] = "0";
    if (!plan.artifacts.empty()) env["RECAP_ARTIFACTS"] = plan.artifacts;
    return env;
}

Result<void> checkSize(const RunPlan& plan) {
    std::size_t bytes = 0;
    for (const auto* list : {&plan.argv, &plan.env}) {
        if (list->size() > kMaxWords)
            return fail(Errc::LimitExceeded, std::to_string(list->size()) + " arguments or variables; at most 1024 of each can be passed");
        for (const auto& entry : *list) {
            if (entry.find('\0') != std::string::npos) return fail(Errc::InvalidArgument, "a NUL in an argument or a variable");
            bytes += entry.size() + 1;
        }
    }
    if (bytes > kMaxBytes)
        return fail(Errc::LimitExceeded, "arguments and environment have " + std::to_string(bytes) + " bytes; at most " +
                                             std::to_string(kMaxBytes) + " can be passed");
    return {};
}

}  // namespace

Result<void> planCommand(const manifest::Manifest& manifest, const Image& image, RunPlan& plan) {
    // To an image of the caller's own choice what the manifest says of arguments does not apply: they are its command.
    const bool own = !plan.request.adjustments.image.empty() && !plan.request.args.empty();
    plan.argv = own ? plan.request.args : commandLine(manifest, image, plan.request.args);
    if (plan.argv.empty())
        return fail(Errc::InvalidArgument, "neither capsule '" + manifest.name + "' (capsule.command) nor its image says what to run");
    const auto env = environment(manifest, image, plan);
    for (const auto& [name, value] : env) plan.env.push_back(name + "=" + value);
    if (auto size = checkSize(plan); !size) return size;
    plan.workdir = manifest.workdir == "/" && !image.workdir.empty() ? image.workdir : manifest.workdir;
    auto executable = findExecutable(image, plan.argv.front(), env.at("PATH"));
    if (!executable) return forward(std::move(executable));
    plan.executable = std::move(*executable);
    return {};
}

}  // namespace recap::plan
