// SPDX-License-Identifier: Apache-2.0
// outside: the tests' observer from the shell.
//   outside save FILE [--target PID]… [--daemon PID]… [--cgroups DIR]… [--folder DIR]… [--contents DIR]…
//   outside compare FILE     what differs from then, line by line, after a moment's patience; exit 1 if anything does
#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "tests/support/files.hpp"
#include "tests/support/outside.hpp"

namespace {

using namespace recap::test;
using nlohmann::json;

OutsideScope scopeOf(const json& words) {
    OutsideScope scope;
    for (std::size_t i = 0; i + 1 < words.size(); i += 2) {
        const std::string option = words[i], value = words[i + 1];
        if (option == "--target")
            scope.targets.push_back(std::stoi(value));
        else if (option == "--daemon")
            scope.daemons.push_back(std::stoi(value));
        else if (option == "--cgroups")
            scope.cgroupRoots.emplace_back(value);
        else if (option == "--folder")
            scope.folders.emplace_back(value);
        else if (option == "--contents")
            scope.contents.emplace_back(value);
        else
            throw std::runtime_error("unknown option " + option);
    }
    return scope;
}

int execute(const std::vector<std::string>& words) {
    if (words.size() >= 2 && words[0] == "save" && words.size() % 2 == 0) {
        const json scope(std::vector<std::string>(words.begin() + 2, words.end()));
        writeFile(words[1], json{{"scope", scope}, {"items", Outside{scopeOf(scope)}.look().items}}.dump(-1, ' ', false,
                                                                                                         json::error_handler_t::replace));
        return 0;
    }
    if (words.size() == 2 && words[0] == "compare") {
        const json saved = json::parse(readFile(words[1]));
        const auto left = leftAfter(Outside{scopeOf(saved.at("scope"))}, Picture{saved.at("items")});
        for (const std::string& line : left) std::cout << line << "\n";
        return left.empty() ? 0 : 1;
    }
    throw std::runtime_error("usage: outside save FILE [--target PID]… | outside compare FILE");
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return execute({argv + 1, argv + argc});
    } catch (const std::exception& error) {
        std::cerr << "outside: " << error.what() << "\n";
        return 2;
    }
}
