// SPDX-License-Identifier: Apache-2.0
// Reads a table by consuming its keys: what nobody asked for is named at the end, with the nearest key that somebody did.
// One reader for every file of the house (manifest, profiles, ceiling, settings).
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sdk/manifest/document.hpp"

namespace recap::manifest {

// Says what is wrong with a string value; empty: nothing.
using Check = std::string (*)(std::string_view);

// Nothing is close enough: empty.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& known);

class TableReader {
public:
    // `path` is the table's dotted name, empty for the document. Node and diagnostics outlive the reader.
    TableReader(const Node& table, std::string path, std::string_view file, Diagnostics& diagnostics)
        : table_(&table), path_(std::move(path)), file_(file), diagnostics_(&diagnostics) {}

    bool has(std::string_view key) const { return find(key) != nullptr; }
    const Node& node() const { return *table_; }
    const std::string& path() const { return path_; }

    // Each consumes the key. True: it was there and right, and `into` has its value. Control characters are refused in
    // every string.
    bool text(std::string_view key, std::string& into, Check check = nullptr);
    bool texts(std::string_view key, std::vector<std::string>& into, Check check = nullptr);
    bool boolean(std::string_view key, bool& into);
    bool number(std::string_view key, double& into, double least, double most);
    bool size(std::string_view key, std::uint64_t& into);
    bool duration(std::string_view key, std::chrono::microseconds& into);
    template <class Int>
    bool integer(std::string_view key, Int& into, std::int64_t least, std::int64_t most) {
        auto value = takeInteger(key, least, most);
        if (value) into = static_cast<Int>(*value);
        return value.has_value();
    }
    template <class Enum>
    bool choice(std::string_view key, Enum& into, std::initializer_list<std::pair<std::string_view, Enum>> choices) {
        std::vector<std::string_view> words;
        for (const auto& entry : choices) words.push_back(entry.first);
        const auto index = takeChoice(key, words);
        if (index) into = (choices.begin() + *index)->second;
        return index.has_value();
    }
    // Each entry one of the words, none twice; `into` gets their indices.
    bool choices(std::string_view key, std::vector<std::size_t>& into, const std::vector<std::string_view>& words);
    std::optional<TableReader> table(std::string_view key);
    std::vector<TableReader> tables(std::string_view key);
    // Any keys with string values.
    std::vector<const Entry*> rest();

    void require(std::string_view key);  // a diagnostic where it is missing
    void note(std::string_view key, std::string message);
    void noteAt(Position position, std::string_view key, std::string message);
    void finish();

private:
    const Entry* find(std::string_view key) const;
    const Entry* take(std::string_view key);
    const Entry* take(std::string_view key, Node::Kind kind, std::string_view expected);
    std::optional<std::int64_t> takeInteger(std::string_view key, std::int64_t least, std::int64_t most);
    std::optional<std::size_t> takeChoice(std::string_view key, const std::vector<std::string_view>& words);
    std::optional<std::size_t> chooseWord(const Node& node, std::string_view key, const std::vector<std::string_view>& words);
    bool checkText(const Node& node, std::string_view key, Check check);
    std::string full(std::string_view key) const;

    const Node* table_;
    std::string path_;
    std::string_view file_;
    Diagnostics* diagnostics_;
    std::vector<std::string_view> known_;
};

}  // namespace recap::manifest
