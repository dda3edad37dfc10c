// SPDX-License-Identifier: Apache-2.0
// A map of short texts that is made once and read often, in one block: a std::map of a container's dozen labels takes four times
// as much, and there are thousands of containers. Keys and values hold no NUL; keys are in order, each once.
#pragma once

#include <cstddef>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace recap {

class TextMap {
public:
    using value_type = std::pair<std::string_view, std::string_view>;  // borrowed from the map

    class const_iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = TextMap::value_type;
        using difference_type = std::ptrdiff_t;
        using reference = value_type;
        struct pointer {
            value_type value;
            const value_type* operator->() const { return &value; }
        };

        const_iterator() = default;
        explicit const_iterator(const char* at) : at_(at) {}
        reference operator*() const {
            const std::string_view key(at_);
            return {key, std::string_view(at_ + key.size() + 1)};
        }
        pointer operator->() const { return {**this}; }
        const_iterator& operator++() {
            const auto [key, value] = **this;
            at_ += key.size() + value.size() + 2;
            return *this;
        }
        const_iterator operator++(int) {
            auto old = *this;
            ++*this;
            return old;
        }
        bool operator==(const const_iterator&) const = default;

    private:
        const char* at_ = nullptr;
    };
    using iterator = const_iterator;

    TextMap() = default;
    TextMap(const std::map<std::string, std::string>& from) {  // NOLINT(google-explicit-constructor): what it is a packed form of
        std::size_t size = 0;
        for (const auto& [key, value] : from) size += key.size() + value.size() + 2;
        block_.reserve(size);
        for (const auto& [key, value] : from) block_.append(key.c_str(), key.size() + 1).append(value.c_str(), value.size() + 1);
    }
    TextMap(std::initializer_list<std::pair<const std::string, std::string>> from) : TextMap(std::map(from)) {}

    const_iterator begin() const { return const_iterator(block_.data()); }
    const_iterator end() const { return const_iterator(block_.data() + block_.size()); }
    bool empty() const { return block_.empty(); }
    std::size_t size() const { return static_cast<std::size_t>(std::distance(begin(), end())); }
    const_iterator find(std::string_view key) const {
        auto at = begin();
        while (at != end() && at->first != key) ++at;
        return at;
    }
    std::string_view at(std::string_view key) const {
        const auto found = find(key);
        if (found == end()) throw std::out_of_range("no '" + std::string(key) + "'");
        return found->second;
    }
    std::map<std::string, std::string> unpacked() const {
        std::map<std::string, std::string> map;
        for (const auto& [key, value] : *this) map.emplace_hint(map.end(), key, value);
        return map;
    }
    // For keeping it elsewhere; ofBlock() takes what block() gave.
    std::string_view block() const { return block_; }
    static TextMap ofBlock(std::string block) {
        TextMap map;
        map.block_ = std::move(block);
        return map;
    }
    bool operator==(const TextMap&) const = default;

private:
    std::string block_;  // "key\0value\0key\0value\0"
};

}  // namespace recap
