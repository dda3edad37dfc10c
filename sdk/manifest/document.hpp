// SPDX-License-Identifier: Apache-2.0
// TOML text as plain values that know where they stood. The rest of the folder, and of the house, sees these only:
// document.cpp is the one file that includes toml++.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sdk/manifest/diagnostic.hpp"

namespace recap::manifest {

struct Entry;

struct Node {
    enum class Kind { Table, Array, String, Integer, Float, Boolean, Time } kind = Kind::Table;
    Position position;
    std::string text;
    std::int64_t integer = 0;
    double number = 0;
    bool boolean = false;
    std::vector<Entry> entries;  // of a table, by key
    std::vector<Node> items;     // of an array
};

struct Entry {
    std::string key;
    Position position;  // of the key
    Node value;
};

// "a string", "an integer", …: for messages that say what stood there.
std::string_view describe(Node::Kind kind);

// Checks guard.hpp's bounds first. On failure one diagnostic is added and nothing returned.
std::optional<Node> parseDocument(std::string_view text, std::string_view file, Diagnostics& diagnostics);

}  // namespace recap::manifest
