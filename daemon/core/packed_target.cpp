// SPDX-License-Identifier: Apache-2.0
#include "daemon/core/packed_target.hpp"

#include <algorithm>
#include <cstring>

namespace recap {
namespace {

struct Head {
    std::uint64_t startTime;
    pid_t pid;
    TargetState state;
    std::uint32_t aliases;
};

// A length in groups of seven bits, the lowest first; the last one's top bit is not set.
void append(std::string& block, std::string_view text) {
    std::size_t left = text.size();
    for (; left >= 0x80; left >>= 7) block += static_cast<char>(left | 0x80);
    block += static_cast<char>(left);
    block += text;
}

class Texts {
public:
    explicit Texts(const char* block) : at_(block + sizeof(Head)) {}
    std::string_view next() {
        std::size_t size = 0;
        for (unsigned shift = 0;; shift += 7) {
            const auto byte = static_cast<unsigned char>(*at_++);
            size |= static_cast<std::size_t>(byte & 0x7f) << shift;
            if (byte < 0x80) break;
        }
        return {std::exchange(at_, at_ + size), size};
    }
    std::string text() { return std::string(next()); }
    void skip(unsigned count) {
        while (count-- > 0) next();
    }

private:
    const char* at_;
};

constexpr unsigned kBeforeAliases = 8;

Head headOf(const char* block) {
    Head head{};
    std::memcpy(&head, block, sizeof head);
    return head;
}

}  // namespace

PackedTarget::PackedTarget(const Target& target) {
    const Head head{target.startTime, target.pid, target.state, static_cast<std::uint32_t>(target.aliases.size())};
    std::string block(sizeof head, '\0');
    std::memcpy(block.data(), &head, sizeof head);
    for (const std::string_view text : {std::string_view(target.id.backend), std::string_view(target.id.id), std::string_view(target.name),
                                        std::string_view(target.runtime), std::string_view(target.image), std::string_view(target.cgroup),
                                        target.labels.block(), target.details.block()})
        append(block, text);
    for (const auto& alias : target.aliases) append(block, alias);
    block_ = std::make_unique<char[]>(block.size());
    std::copy(block.begin(), block.end(), block_.get());
}

Target PackedTarget::unpacked() const {
    const Head head = headOf(block_.get());
    Texts texts(block_.get());
    Target target;
    target.startTime = head.startTime;
    target.pid = head.pid;
    target.state = head.state;
    for (std::string* text : {&target.id.backend, &target.id.id, &target.name, &target.runtime, &target.image, &target.cgroup})
        *text = texts.text();
    target.labels = TextMap::ofBlock(texts.text());
    target.details = TextMap::ofBlock(texts.text());
    for (std::uint32_t i = 0; i < head.aliases; ++i) target.aliases.push_back(texts.text());
    return target;
}

TargetWords PackedTarget::words() const {
    const Head head = headOf(block_.get());
    Texts texts(block_.get());
    TargetWords words;
    for (std::string_view* text : {&words.backend, &words.id, &words.name, &words.runtime}) *text = texts.next();
    words.pid = head.pid;
    words.startTime = head.startTime;
    return words;
}

std::vector<std::string_view> PackedTarget::aliases() const {
    Texts texts(block_.get());
    texts.skip(kBeforeAliases);
    std::vector<std::string_view> all(headOf(block_.get()).aliases);
    for (auto& alias : all) alias = texts.next();
    return all;
}

}  // namespace recap
