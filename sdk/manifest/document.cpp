// SPDX-License-Identifier: Apache-2.0
#include "sdk/manifest/document.hpp"

#include <toml++/toml.h>

#include "sdk/manifest/guard.hpp"

namespace recap::manifest {
namespace {

Position position(const toml::source_region& region) { return {region.begin.line, region.begin.column}; }

Node convert(const toml::node& node);

void convertTable(const toml::table& table, Node& into) {
    for (const auto& [key, value] : table) into.entries.push_back({std::string(key.str()), position(key.source()), convert(value)});
}

Node convert(const toml::node& node) {
    Node result;
    result.position = position(node.source());
    if (const auto* table = node.as_table()) {
        convertTable(*table, result);
    } else if (const auto* array = node.as_array()) {
        result.kind = Node::Kind::Array;
        for (const auto& item : *array) result.items.push_back(convert(item));
    } else if (const auto* text = node.as_string()) {
        result.kind = Node::Kind::String;
        result.text = text->get();
    } else if (const auto* integer = node.as_integer()) {
        result.kind = Node::Kind::Integer;
        result.integer = integer->get();
    } else if (const auto* number = node.as_floating_point()) {
        result.kind = Node::Kind::Float;
        result.number = number->get();
    } else if (const auto* boolean = node.as_boolean()) {
        result.kind = Node::Kind::Boolean;
        result.boolean = boolean->get();
    } else {
        result.kind = Node::Kind::Time;
    }
    return result;
}

}  // namespace

std::string_view describe(Node::Kind kind) {
    switch (kind) {
        case Node::Kind::Table: return "a table";
        case Node::Kind::Array: return "an array";
        case Node::Kind::String: return "a string";
        case Node::Kind::Integer: return "an integer";
        case Node::Kind::Float: return "a number";
        case Node::Kind::Boolean: return "true or false";
        case Node::Kind::Time: return "a date or time";
    }
    return "a value";
}

std::optional<Node> parseDocument(std::string_view text, std::string_view file, Diagnostics& diagnostics) {
    if (auto finding = guard(text)) {
        diagnostics.push_back({std::string(file), finding->position.line, finding->position.column, "", finding->message});
        return std::nullopt;
    }
    try {
        return convert(toml::parse(text, std::string(file)));
    } catch (const toml::parse_error& error) {
        const Position where = position(error.source());
        diagnostics.push_back({std::string(file), where.line, where.column, "", std::string(error.description())});
        return std::nullopt;
    }
}

}  // namespace recap::manifest
