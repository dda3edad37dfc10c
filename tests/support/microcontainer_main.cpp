// SPDX-License-Identifier: Apache-2.0
// microcontainer: the tests' real containers from the shell, for ./dev demo and for trying things by hand.
#include <cstdio>
#include <exception>
#include <iostream>
#include <stdexcept>

#include "tests/support/files.hpp"
#include "tests/support/micro_container.hpp"

namespace {

namespace fs = std::filesystem;
using namespace recap::test;

constexpr const char* kUsage =
    "usage: microcontainer start KIND NAME [--folder DIR] [--runtime runc|crun] [--runtime-root DIR] [--uid N] [--label K=V]\n"
    "                            [--volume SOURCE:PATH] [--writable-root]\n"
    "                      prints its PID 1; KIND is nginx, busybox, debian or scratch\n"
    "       microcontainer get PID PATH            one HTTP GET to port 8080 in the network namespace of PID\n"
    "       microcontainer stop NAME [--folder DIR]\n";

struct Arguments {
    std::vector<std::string> words;
    fs::path folder = "/run/recap-microcontainers";
    ContainerOptions container;
};

std::pair<std::string, std::string> split(const std::string& text, char at) {
    const auto place = text.find(at);
    if (place == std::string::npos) throw std::runtime_error("'" + text + "' has no '" + at + "'");
    return {text.substr(0, place), text.substr(place + 1)};
}

Arguments parse(int argc, char** argv) {
    Arguments arguments;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        const auto value = [&]() -> std::string {
            if (++i == argc) throw std::runtime_error(word + " needs a value");
            return argv[i];
        };
        if (word == "--folder")
            arguments.folder = value();
        else if (word == "--runtime")
            arguments.container.runtime = value();
        else if (word == "--runtime-root")
            arguments.container.runtimeRoot = value();
        else if (word == "--uid")
            arguments.container.uid = arguments.container.gid = static_cast<std::uint32_t>(std::stoul(value()));
        else if (word == "--label")
            arguments.container.labels.insert(split(value(), '='));
        else if (word == "--volume") {
            const auto [source, path] = split(value(), ':');
            arguments.container.volumes.push_back({source, path});
        } else if (word == "--writable-root")
            arguments.container.readOnlyRoot = false;
        else if (word.rfind("--", 0) == 0)
            throw std::runtime_error("unknown option " + word);
        else
            arguments.words.push_back(word);
    }
    return arguments;
}

int execute(Arguments arguments) {
    const auto& words = arguments.words;
    if (words.size() == 3 && words[0] == "start") {
        arguments.container.kind = words[1];
        arguments.container.name = words[2];
        fs::create_directories(arguments.folder);
        MicroContainer container{arguments.container, arguments.folder};
        std::cout << container.pid() << "\n";
        container.detach();
        return 0;
    }
    if (words.size() == 3 && words[0] == "get") {
        const HttpAnswer answer = httpGet(std::stoi(words[1]), 8080, words[2]);
        std::cout << answer.body;
        return answer.status == 200 ? 0 : 1;
    }
    if (words.size() == 2 && words[0] == "stop") {
        if (!fs::exists(arguments.folder / words[1])) throw std::runtime_error("no container in " + (arguments.folder / words[1]).string());
        MicroContainer::end(arguments.folder / words[1]);
        std::error_code othersAreThere;
        fs::remove(arguments.folder, othersAreThere);
        return 0;
    }
    std::cerr << kUsage;
    return 2;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return execute(parse(argc, argv));
    } catch (const std::exception& error) {
        std::cerr << "microcontainer: " << error.what() << "\n";
        return 1;
    }
}
