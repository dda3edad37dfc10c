// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recap/value.hpp"

namespace recap::client {

Dict::Dict(std::initializer_list<Entry> entries) : entries_(entries) {}

void Dict::set(std::string key, Value value) {
    for (auto& [name, old] : entries_)
        if (name == key) {
            old = std::move(value);
            return;
        }
    entries_.emplace_back(std::move(key), std::move(value));
}

const Value* Dict::find(std::string_view key) const {
    for (const auto& [name, value] : entries_)
        if (name == key) return &value;
    return nullptr;
}

std::string_view Dict::text(std::string_view key) const {
    const Value* value = find(key);
    const auto* text = value ? std::get_if<std::string>(&value->is) : nullptr;
    return text ? std::string_view(*text) : std::string_view();
}

std::int64_t Dict::number(std::string_view key) const {
    const Value* value = find(key);
    if (!value) return 0;
    return std::visit(
        [](const auto& is) -> std::int64_t {
            if constexpr (std::is_integral_v<std::remove_cvref_t<decltype(is)>>) return static_cast<std::int64_t>(is);
            return 0;
        },
        value->is);
}

bool Dict::flag(std::string_view key) const {
    const Value* value = find(key);
    const auto* flag = value ? std::get_if<bool>(&value->is) : nullptr;
    return flag && *flag;
}

Strings Dict::strings(std::string_view key) const {
    const Value* value = find(key);
    const auto* strings = value ? std::get_if<Strings>(&value->is) : nullptr;
    return strings ? *strings : Strings();
}

Numbers Dict::numbers(std::string_view key) const {
    const Value* value = find(key);
    const auto* numbers = value ? std::get_if<Numbers>(&value->is) : nullptr;
    return numbers ? *numbers : Numbers();
}

Dict Dict::dict(std::string_view key) const {
    const Value* value = find(key);
    const auto* dict = value ? std::get_if<Dict>(&value->is) : nullptr;
    return dict ? *dict : Dict();
}

}  // namespace recap::client
