// SPDX-License-Identifier: Apache-2.0
// The hidden verb behind the shells' completion scripts: `recapctl __complete WORD…`, the last word being the one under
// the cursor. Prints a candidate a line, never an error: a completion that complains is worse than none.
#include "sdk/client/recapctl/complete.hpp"

#include <algorithm>

#include "sdk/client/recap/client.hpp"
#include "sdk/client/recapctl/exit_status.hpp"
#include "sdk/client/recapctl/output.hpp"
#include "sdk/client/recapctl/text.hpp"

namespace recapctl {

using namespace recap;
using client::Rows;
using client::Strings;

namespace {

struct Shape {
    const char* verb;  // "image import" for a verb of a group
    std::vector<Operand> operands;
    Strings options;
};

const std::vector<Shape>& shapes() {
    static const std::vector<Shape> all{
        {"run", {Operand::Capsule, Operand::Target}, {"--timeout",  "--output", "--selector", "--backend",    "--name",
                                                      "--of-image", "--all",    "--mode",     "--parallel",   "--now",
                                                      "--detach",   "--tty",    "--no-tty",   "--open-stdin", "--detach-keys",
                                                      "--verbose",  "--view",   "--user",     "--processes",  "--image"}},
        {"plan", {Operand::Capsule, Operand::Target}, {"--timeout", "--view", "--user", "--processes", "--image"}},
        {"targets", {}, {"--backend", "--label"}},
        {"capsules", {}, {}},
        {"capsule install", {Operand::File}, {"--replace"}},
        {"capsule remove", {Operand::Capsule}, {}},
        {"capsule show", {Operand::Capsule}, {}},
        {"capsule enable", {Operand::Capsule}, {}},
        {"capsule disable", {Operand::Capsule}, {}},
        {"runs", {}, {"--capsule", "--target", "--outcome", "--trigger", "--batch", "--since", "--until", "--limit", "--before"}},
        {"show", {Operand::Run}, {}},
        {"logs", {Operand::Run}, {"--follow", "--stream"}},
        {"artifacts", {Operand::Run}, {"--output"}},
        {"stop", {Operand::Run}, {"--grace", "--now"}},
        {"attach", {Operand::Run}, {"--take-over", "--replay", "--detach-keys"}},
        {"image import", {Operand::Source}, {"--no-admit", "--reference", "--backend", "--admit-program", "--admit-socket"}},
        {"image list", {}, {}},
        {"image remove", {Operand::Image}, {}},
        {"image scan", {Operand::Image}, {}},
        {"backends", {}, {}},
        {"policies", {}, {}},
        {"schedule", {}, {}},
        {"events", {}, {"--follow", "--capsule", "--target", "--since"}},
        {"doctor", {}, {}},
        {"shell",
         {Operand::Target},
         {"--view", "--user", "--processes", "--image", "--timeout", "--detach-keys", "--tty", "--no-tty", "--verbose"}},
    };
    return all;
}

bool takesValue(const std::string& option) {
    static const Strings valued{"--timeout",
                                "--output",
                                "-o",
                                "--selector",
                                "--name",
                                "--of-image",
                                "--mode",
                                "--parallel",
                                "--backend",
                                "--label",
                                "-l",
                                "--capsule",
                                "--target",
                                "--outcome",
                                "--trigger",
                                "--batch",
                                "--since",
                                "--until",
                                "--limit",
                                "-n",
                                "--before",
                                "--stream",
                                "--grace",
                                "--reference",
                                "--admit-program",
                                "--admit-socket",
                                "--detach-keys",
                                "--replay",
                                "--view",
                                "--user",
                                "--processes",
                                "--image"};
    return std::ranges::find(valued, option) != valued.end();
}

// What an option's value could be, where that is known.
Completion valuesOf(const std::string& option) {
    if (option == "--view") return {{"merged", "read-only", "none"}, Operand::None};
    if (option == "--processes") return {{"join", "observe", "none"}, Operand::None};
    if (option == "--trigger") return {{"on-demand", "event", "periodic"}, Operand::None};
    if (option == "--mode") return {{"all", "one", "fixed:", "percent:"}, Operand::None};
    if (option == "--user") return {{"target", "root"}, Operand::None};
    return {{}, option == "--image" ? Operand::Image : Operand::None};
}

void addColumn(Strings& out, const Result<Rows>& rows, const char* key) {
    if (!rows) return;
    for (const auto& row : *rows)
        if (const auto word = row.text(key); !word.empty() && escaped(word) == word) out.emplace_back(word);
}

Strings ask(Operand operand, const std::string& current) {
    Strings out;
    if (operand == Operand::None || operand == Operand::File) return out;
    if (operand == Operand::Source && current.empty()) return out;  // a file, most of the time: left to the shell
    auto client = client::Client::connect();
    if (!client) return out;
    if (operand == Operand::Capsule) addColumn(out, client->capsules(), "name");
    if (operand == Operand::Target) {
        auto targets = client->targets();
        addColumn(out, targets, "target");
        addColumn(out, targets, "name");
    }
    if (operand == Operand::Run)
        if (auto page = client->runs()) addColumn(out, std::move(page->runs), "id");
    if (operand == Operand::Source) {
        out = {"docker-daemon:", "containerd:"};
        if (auto backends = client->backends())
            for (const auto& backend : *backends) out.push_back(std::string(backend.text("name")) + ":");
    }
    if (operand == Operand::Image)
        if (auto images = client->images())
            for (const auto& image : *images)
                for (const auto& reference : image.strings("references")) out.push_back(reference);
    return out;
}

}  // namespace

Completion complete(const Strings& words) {
    Completion found;
    std::string verb;
    Strings operands;
    const std::string current = words.empty() ? "" : words.back();
    for (std::size_t i = 0; i + 1 < words.size(); ++i) {
        if (words[i] == "--") return found;  // the capsule's own arguments
        if (words[i].starts_with('-')) {
            i += takesValue(words[i]) ? 1 : 0;
            continue;
        }
        const bool inGroup = verb == "capsule" || verb == "image";
        if (verb.empty() || inGroup)
            verb += (inGroup ? " " : "") + words[i];
        else
            operands.push_back(words[i]);
    }
    if (words.size() > 1 && takesValue(words[words.size() - 2])) return valuesOf(words[words.size() - 2]);
    const std::string prefix = verb == "capsule" || verb == "image" ? verb + " " : "";
    for (const auto& shape : shapes()) {
        const std::string name = shape.verb;
        if ((verb.empty() || !prefix.empty()) && name.starts_with(prefix)) {
            const std::string word = name.substr(prefix.size(), name.find(' ', prefix.size()) - prefix.size());
            if (std::ranges::find(found.words, word) == found.words.end()) found.words.push_back(word);
        }
        if (name != verb) continue;
        if (current.starts_with('-')) found.words = shape.options;
        if (!current.starts_with('-') && operands.size() < shape.operands.size()) found.operand = shape.operands[operands.size()];
    }
    if (current.starts_with('-'))
        for (const char* option : {"--json", "--no-legend", "--help"}) found.words.emplace_back(option);
    return found;
}

int printCompletions(const Strings& words) {
    const Completion completion = complete(words);
    Strings candidates = completion.words;
    for (auto& word : ask(completion.operand, words.empty() ? "" : words.back())) candidates.push_back(std::move(word));
    std::string out;
    for (const auto& word : candidates)
        if (words.empty() || word.starts_with(words.back())) out += word + "\n";
    writeAll(1, out);
    return kSuccess;
}

}  // namespace recapctl
