// SPDX-License-Identifier: Apache-2.0
// A fuzz target is one file that defines seeds() and input(). Two programs are made of it: one for libFuzzer (`./dev fuzz`), and a
// replay, a unit test, which gives it what was found before and some thousands of mutations that are the same each time.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace recap::fuzz {

std::vector<std::string> seeds();    // well-formed inputs, to start from
void input(std::string_view bytes);  // reads it as the code under test does; a promise that is broken ends the process

// A corpus is a text, an input a line in hexadecimal; empty where there is none.
inline std::vector<std::string> readCorpus(const char* path) {
    std::vector<std::string> inputs;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        std::string& bytes = inputs.emplace_back();
        for (std::size_t i = 0; i + 1 < line.size(); i += 2) bytes.push_back(static_cast<char>(std::stoi(line.substr(i, 2), nullptr, 16)));
    }
    return inputs;
}

inline void promise(bool kept, const char* what) {
    if (kept) return;
    std::fprintf(stderr, "broken promise: %s\n", what);
    std::abort();
}

}  // namespace recap::fuzz
