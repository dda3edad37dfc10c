// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sdk/manifest/files.hpp"
#include "sdk/manifest/reader.hpp"
#include "sdk/tools/verbs.hpp"

namespace recap::tools {
namespace {

struct Options {
    std::vector<std::string> files;
    bool json = false;
};

manifest::Diagnostics checkFile(std::string path) {
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored)) path = (std::filesystem::path(path) / "capsule.toml").string();
    auto text = manifest::readText(path);
    if (!text) return {{path, 0, 0, "", std::move(text.error().message)}};
    return manifest::readManifest(*text, path).diagnostics;
}

void print(const manifest::Diagnostics& findings, bool json) {
    if (!json) {
        for (const auto& finding : findings) fmt::print("{}\n", finding.text());
        return;
    }
    auto rows = nlohmann::json::array();
    for (const auto& f : findings)
        rows.push_back({{"file", f.file}, {"line", f.line}, {"column", f.column}, {"key", f.key}, {"message", f.message}});
    fmt::print("{}\n", rows.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

int check(const Options& options) {
    manifest::Diagnostics findings;
    for (const auto& file : options.files) {
        auto found = checkFile(file);
        findings.insert(findings.end(), std::make_move_iterator(found.begin()), std::make_move_iterator(found.end()));
    }
    print(findings, options.json);
    return findings.empty() ? 0 : 1;
}

}  // namespace

void addCheck(cli::Verb& top) {
    auto options = std::make_shared<Options>();
    top.verb("check", "Say everything that is wrong with manifests, with file, line and column", [options] { return check(*options); })
        .operands("FILE", options->files, "A capsule.toml, or a folder that holds one")
        .flag("--json", options->json, "An array of findings, and nothing else");
}

}  // namespace recap::tools
