// SPDX-License-Identifier: Apache-2.0
// What travels in the a{sv} of org.recap1: options and filters on the way in, rows and details on the way out. Plain
// values, no bus in sight.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace recap::client {

struct Value;
using Strings = std::vector<std::string>;
using Labels = std::map<std::string, std::string>;  // a{ss}
using Numbers = std::vector<std::uint64_t>;         // at

// A descriptor on its way to recapd; borrowed, and duplicated when the call is made.
struct BorrowedFd {
    int fd = -1;
};

// Keys in the order they came. Small, so that looking is a walk.
class Dict {
public:
    using Entry = std::pair<std::string, Value>;

    Dict() = default;
    Dict(std::initializer_list<Entry> entries);

    void set(std::string key, Value value);
    const Value* find(std::string_view key) const;
    bool has(std::string_view key) const { return find(key) != nullptr; }

    // The value under `key` where it is of that kind; otherwise empty, 0, false.
    std::string_view text(std::string_view key) const;
    std::int64_t number(std::string_view key) const;
    bool flag(std::string_view key) const;
    Strings strings(std::string_view key) const;
    Numbers numbers(std::string_view key) const;
    Dict dict(std::string_view key) const;

    std::vector<Entry>::const_iterator begin() const;
    std::vector<Entry>::const_iterator end() const;
    bool empty() const;
    std::size_t size() const;

private:
    std::vector<Entry> entries_;
};

using Rows = std::vector<Dict>;

// One D-Bus value. Sent as b i u x t d s as a{ss} a{sv} h, by alternative; whatever else recapd sends is read into the
// nearest of these (o and g as text, ay as a string of bytes, a{st} and a{su} as Dict, y n q and au widened).
struct Value {
    std::variant<std::monostate, bool, std::int32_t, std::uint32_t, std::int64_t, std::uint64_t, double, std::string, Strings, Labels, Dict,
                 Rows, BorrowedFd, Numbers>
        is;

    Value() = default;
    template <class T>
        requires(!std::is_same_v<std::remove_cvref_t<T>, Value> && !std::is_convertible_v<T, std::string_view>)
    Value(T&& value) : is(std::forward<T>(value)) {}  // NOLINT(bugprone-forwarding-reference-overload): excluded by the constraint
    Value(std::string_view text) : is(std::string(text)) {}
    Value(const char* text) : is(std::string(text)) {}
    Value(std::string text) : is(std::move(text)) {}
};

inline std::vector<Dict::Entry>::const_iterator Dict::begin() const { return entries_.begin(); }
inline std::vector<Dict::Entry>::const_iterator Dict::end() const { return entries_.end(); }
inline bool Dict::empty() const { return entries_.empty(); }
inline std::size_t Dict::size() const { return entries_.size(); }

}  // namespace recap::client
