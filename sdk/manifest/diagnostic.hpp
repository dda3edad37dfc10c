// SPDX-License-Identifier: Apache-2.0
// What is wrong with a file, and where. Every reader of this folder finds all there is at once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sdk/base/result.hpp"

namespace recap::manifest {

struct Position {
    std::uint32_t line = 0;  // from 1; 0: the file as a whole
    std::uint32_t column = 0;
};

struct Diagnostic {
    std::string file;
    std::uint32_t line = 0;
    std::uint32_t column = 0;
    std::string key;  // "sandbox.namespaces"; empty where the text is no TOML
    std::string message;

    // "capsule.toml:7:1: capsule.entyr: unknown key; did you mean 'entry'?"
    std::string text() const;
};

using Diagnostics = std::vector<Diagnostic>;

// A value only where there is no diagnostic.
template <class T>
struct Read {
    std::optional<T> value;
    Diagnostics diagnostics;
    explicit operator bool() const { return value.has_value(); }
};

// All of them in one message, one a line: for errors that travel as one sentence.
std::string join(const Diagnostics& diagnostics);
void sortByPosition(Diagnostics& diagnostics);

}  // namespace recap::manifest
