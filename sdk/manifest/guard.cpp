// SPDX-License-Identifier: Apache-2.0
#include "sdk/manifest/guard.hpp"

#include <string>

namespace recap::manifest {
namespace {

class Scanner {
public:
    explicit Scanner(std::string_view text) : text_(text) {}

    std::optional<GuardFinding> scan() {
        while (at_ < text_.size() && !finding_) step();
        return finding_;
    }

private:
    void step() {
        const char c = text_[at_];
        if (c == '#') return skipComment();
        if (c == '"' || c == '\'') return skipString(c);
        if (c == '\n') {
            advance();
            segments_ = 1;
            return;
        }
        if (c == '.' && ++segments_ > kMaxSegments)
            return refuse("more than " + std::to_string(kMaxSegments) + " dotted segments in one key");
        if (c == '=' || c == ',') segments_ = 1;
        if (c == '[' || c == '{') {
            segments_ = 1;
            if (++depth_ > kMaxDepth) return refuse("brackets nested deeper than " + std::to_string(kMaxDepth));
        }
        if ((c == ']' || c == '}') && depth_ > 0) --depth_;
        advance();
    }

    void skipComment() {
        while (at_ < text_.size() && text_[at_] != '\n') advance();
    }

    void skipString(char quote) {
        const Position start = position_;
        const std::string three(3, quote);
        const bool multiline = text_.substr(at_, 3) == three;
        for (int i = 0; i < (multiline ? 3 : 1); ++i) advance();
        while (at_ < text_.size()) {
            const char c = text_[at_];
            if (c == '\\' && quote == '"' && at_ + 1 < text_.size()) {
                advance();
                if (text_[at_] != '\n' || multiline) advance();
            } else if (!multiline && c == '\n') {
                break;
            } else if (!multiline && c == quote) {
                return advance();
            } else if (multiline && text_.substr(at_, 3) == three) {
                return endMultiline(quote);
            } else {
                advance();
            }
        }
        finding_ = GuardFinding{start, "a string without an end"};
    }

    // """x""""": up to two quotes before the closing three belong to the string.
    void endMultiline(char quote) {
        for (int i = 0; i < 5 && at_ < text_.size() && text_[at_] == quote; ++i) advance();
    }

    void advance() {
        if (text_[at_++] == '\n') {
            ++position_.line;
            position_.column = 1;
        } else {
            ++position_.column;
        }
    }

    void refuse(std::string message) { finding_ = GuardFinding{position_, std::move(message)}; }

    std::string_view text_;
    std::size_t at_ = 0;
    Position position_{1, 1};
    std::size_t segments_ = 1;
    std::size_t depth_ = 0;
    std::optional<GuardFinding> finding_;
};

}  // namespace

std::optional<GuardFinding> guard(std::string_view text) {
    if (text.size() > kMaxText)
        return GuardFinding{{},
                            "the file has " + std::to_string(text.size()) + " bytes; at most " + std::to_string(kMaxText) + " are read"};
    return Scanner(text).scan();
}

}  // namespace recap::manifest
