// SPDX-License-Identifier: Apache-2.0
#include "sdk/manifest/table_reader.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sdk/manifest/values.hpp"

namespace recap::manifest {
namespace {

std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i);
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
        }
    }
    return row[b.size()];
}

std::string listed(const std::vector<std::string_view>& words) {
    std::string result;
    for (const auto word : words) result += (result.empty() ? "" : ", ") + std::string(word);
    return result;
}

std::string plain(double number) {
    std::string result = std::to_string(number);
    result.erase(result.find_last_not_of('0') + 1);
    if (result.ends_with('.')) result.pop_back();
    return result;
}

}  // namespace

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& known) {
    std::string_view best;
    std::size_t least = std::max<std::size_t>(2, word.size() / 3) + 1;
    if (word.size() > 64) return best;
    for (const auto candidate : known) {
        const std::size_t far = distance(word, candidate);
        if (far < least && far < candidate.size()) {
            least = far;
            best = candidate;
        }
    }
    return best;
}

std::string TableReader::full(std::string_view key) const { return path_.empty() ? std::string(key) : path_ + "." + std::string(key); }

const Entry* TableReader::find(std::string_view key) const {
    for (const auto& entry : table_->entries)
        if (entry.key == key) return &entry;
    return nullptr;
}

const Entry* TableReader::take(std::string_view key) {
    if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.push_back(key);
    return find(key);
}

const Entry* TableReader::take(std::string_view key, Node::Kind kind, std::string_view expected) {
    const Entry* entry = take(key);
    if (!entry || entry->value.kind == kind) return entry;
    noteAt(entry->value.position, key, "expected " + std::string(expected) + ", found " + std::string(describe(entry->value.kind)));
    return nullptr;
}

void TableReader::noteAt(Position position, std::string_view key, std::string message) {
    diagnostics_->push_back({std::string(file_), position.line, position.column, full(key), std::move(message)});
}

void TableReader::note(std::string_view key, std::string message) {
    const Entry* entry = find(key);
    noteAt(entry ? entry->value.position : table_->position, key, std::move(message));
}

void TableReader::require(std::string_view key) {
    if (!find(key)) noteAt(table_->position, key, "missing");
}

bool TableReader::checkText(const Node& node, std::string_view key, Check check) {
    std::string wrong = hasControl(node.text) ? "a control character is not allowed here" : check ? check(node.text) : "";
    if (!wrong.empty()) noteAt(node.position, key, wrong);
    return wrong.empty();
}

bool TableReader::text(std::string_view key, std::string& into, Check check) {
    const Entry* entry = take(key, Node::Kind::String, "a string");
    if (!entry || !checkText(entry->value, key, check)) return false;
    into = entry->value.text;
    return true;
}

bool TableReader::texts(std::string_view key, std::vector<std::string>& into, Check check) {
    const Entry* entry = take(key, Node::Kind::Array, "an array of strings");
    if (!entry) return false;
    std::vector<std::string> found;
    for (const auto& item : entry->value.items) {
        if (item.kind != Node::Kind::String)
            noteAt(item.position, key, "expected a string, found " + std::string(describe(item.kind)));
        else if (checkText(item, key, check))
            found.push_back(item.text);
    }
    if (found.size() != entry->value.items.size()) return false;
    into = std::move(found);
    return true;
}

bool TableReader::boolean(std::string_view key, bool& into) {
    const Entry* entry = take(key, Node::Kind::Boolean, "true or false");
    if (entry) into = entry->value.boolean;
    return entry != nullptr;
}

std::optional<std::int64_t> TableReader::takeInteger(std::string_view key, std::int64_t least, std::int64_t most) {
    const Entry* entry = take(key, Node::Kind::Integer, "an integer");
    if (!entry) return std::nullopt;
    if (entry->value.integer >= least && entry->value.integer <= most) return entry->value.integer;
    note(key, std::to_string(entry->value.integer) + " is out of range: " + std::to_string(least) + " to " + std::to_string(most));
    return std::nullopt;
}

bool TableReader::number(std::string_view key, double& into, double least, double most) {
    const Entry* entry = take(key);
    if (!entry) return false;
    const Node& node = entry->value;
    if (node.kind != Node::Kind::Float && node.kind != Node::Kind::Integer) {
        note(key, "expected a number, found " + std::string(describe(node.kind)));
        return false;
    }
    const double value = node.kind == Node::Kind::Float ? node.number : static_cast<double>(node.integer);
    if (!std::isfinite(value) || value < least || value > most) {
        note(key, plain(value) + " is out of range: " + plain(least) + " to " + plain(most));
        return false;
    }
    into = value;
    return true;
}

bool TableReader::size(std::string_view key, std::uint64_t& into) {
    const Entry* entry = take(key, Node::Kind::String, "a size in a string, such as \"64M\"");
    if (!entry) return false;
    const auto value = parseSize(entry->value.text);
    if (!value) note(key, value.error().message);
    if (value) into = *value;
    return value.has_value();
}

bool TableReader::duration(std::string_view key, std::chrono::microseconds& into) {
    const Entry* entry = take(key, Node::Kind::String, "a duration in a string, such as \"30s\"");
    if (!entry) return false;
    const auto value = parseDuration(entry->value.text);
    if (!value) note(key, value.error().message);
    if (value) into = *value;
    return value.has_value();
}

std::optional<std::size_t> TableReader::chooseWord(const Node& node, std::string_view key, const std::vector<std::string_view>& words) {
    if (node.kind != Node::Kind::String) {
        noteAt(node.position, key, "expected one of " + listed(words) + ", found " + std::string(describe(node.kind)));
        return std::nullopt;
    }
    const auto found = std::find(words.begin(), words.end(), node.text);
    if (found != words.end()) return static_cast<std::size_t>(found - words.begin());
    const auto near = nearest(node.text, words);
    std::string message = printable(node.text) + " is not one of " + (words.size() <= 12 ? listed(words) : "the known ones");
    if (!near.empty()) message += "; did you mean '" + std::string(near) + "'?";
    noteAt(node.position, key, std::move(message));
    return std::nullopt;
}

std::optional<std::size_t> TableReader::takeChoice(std::string_view key, const std::vector<std::string_view>& words) {
    const Entry* entry = take(key);
    return entry ? chooseWord(entry->value, key, words) : std::nullopt;
}

bool TableReader::choices(std::string_view key, std::vector<std::size_t>& into, const std::vector<std::string_view>& words) {
    const Entry* entry = take(key, Node::Kind::Array, "an array of strings");
    if (!entry) return false;
    std::vector<std::size_t> found;
    for (const auto& item : entry->value.items) {
        const auto index = chooseWord(item, key, words);
        if (index && std::find(found.begin(), found.end(), *index) != found.end())
            noteAt(item.position, key, "'" + item.text + "' is listed twice");
        else if (index)
            found.push_back(*index);
    }
    if (found.size() != entry->value.items.size()) return false;
    into = std::move(found);
    return true;
}

std::optional<TableReader> TableReader::table(std::string_view key) {
    const Entry* entry = take(key, Node::Kind::Table, "a table");
    if (!entry) return std::nullopt;
    return TableReader(entry->value, full(key), file_, *diagnostics_);
}

std::vector<TableReader> TableReader::tables(std::string_view key) {
    std::vector<TableReader> result;
    const Entry* entry = take(key, Node::Kind::Array, "an array of tables");
    if (!entry) return result;
    for (const auto& item : entry->value.items) {
        if (item.kind == Node::Kind::Table)
            result.emplace_back(item, full(key), file_, *diagnostics_);
        else
            noteAt(item.position, key, "expected a table, found " + std::string(describe(item.kind)));
    }
    return result;
}

std::vector<const Entry*> TableReader::rest() {
    std::vector<const Entry*> result;
    const auto taken = known_;
    for (const auto& entry : table_->entries)
        if (std::find(taken.begin(), taken.end(), entry.key) == taken.end()) {
            known_.push_back(entry.key);
            result.push_back(&entry);
        }
    return result;
}

void TableReader::finish() {
    for (const auto& entry : table_->entries) {
        if (std::find(known_.begin(), known_.end(), entry.key) != known_.end()) continue;
        const auto near = nearest(entry.key, known_);
        std::string message = "unknown key";
        message += near.empty() ? "; known here: " + listed(known_) : "; did you mean '" + std::string(near) + "'?";
        diagnostics_->push_back(
            {std::string(file_), entry.position.line, entry.position.column, full(printableKey(entry.key)), std::move(message)});
    }
}

}  // namespace recap::manifest
