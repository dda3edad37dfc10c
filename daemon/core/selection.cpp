// SPDX-License-Identifier: Apache-2.0
#include "daemon/core/selection.hpp"

#include <fnmatch.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <tuple>

#include "daemon/core/stable_hash.hpp"

namespace recap {
namespace {

constexpr std::size_t kMaxTerms = 64;
constexpr std::size_t kMaxValues = 256;

std::string_view trimmed(std::string_view text) {
    const auto begin = text.find_first_not_of(" \t"), end = text.find_last_not_of(" \t");
    return begin == text.npos ? std::string_view() : text.substr(begin, end - begin + 1);
}

// At each `separator` that is in no parentheses.
std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    std::size_t begin = 0;
    int depth = 0;
    for (std::size_t i = 0; i <= text.size(); ++i) {
        if (i == text.size() || (text[i] == separator && depth == 0)) {
            parts.push_back(trimmed(text.substr(begin, i - begin)));
            begin = i + 1;
        } else if (text[i] == '(') {
            ++depth;
        } else if (text[i] == ')') {
            --depth;
        }
    }
    return parts;
}

bool isKey(std::string_view text) { return !text.empty() && text.find_first_of(" \t=!,()") == text.npos; }

tl::unexpected<Error> noTerm(std::string_view part) {
    return fail(Errc::InvalidArgument,
                "selector '" + std::string(part) + "' is none: write KEY=VALUE, KEY!=VALUE, KEY in (A,B), KEY notin (A,B), KEY or !KEY");
}

Result<LabelTerm> parseSet(std::string_view part, std::size_t open) {
    const std::string_view head = trimmed(part.substr(0, open));
    const auto space = head.find_last_of(" \t");
    if (space == head.npos || part.back() != ')') return noTerm(part);
    LabelTerm term{std::string(trimmed(head.substr(0, space))), std::string(head.substr(space + 1)), {}};
    if (!isKey(term.key) || (term.op != "in" && term.op != "notin")) return noTerm(part);
    for (const auto value : split(part.substr(open + 1, part.size() - open - 2), ',')) term.values.emplace_back(value);
    if (term.values.size() > kMaxValues) return fail(Errc::InvalidArgument, "selector '" + term.key + "' has more than 256 values");
    return term;
}

Result<LabelTerm> parseTerm(std::string_view part) {
    if (const auto open = part.find('('); open != part.npos) return parseSet(part, open);
    const auto equals = part.find('=');
    if (equals == part.npos) {
        const bool absent = part.starts_with('!');
        const auto key = trimmed(part.substr(absent ? 1 : 0));
        if (!isKey(key)) return noTerm(part);
        return LabelTerm{std::string(key), absent ? "!exists" : "exists", {}};
    }
    const bool differs = equals > 0 && part[equals - 1] == '!';
    const bool doubled = part.substr(equals + 1).starts_with('=');  // Kubernetes takes "==" for "="
    const auto key = trimmed(part.substr(0, equals - (differs ? 1 : 0)));
    if (!isKey(key)) return noTerm(part);
    return LabelTerm{std::string(key), differs ? "!=" : "=", {std::string(trimmed(part.substr(equals + (doubled ? 2 : 1))))}};
}

bool fits(const std::string& pattern, const std::string& text) { return ::fnmatch(pattern.c_str(), text.c_str(), 0) == 0; }

}  // namespace

bool matches(const LabelTerm& term, const Target& target) {
    const auto found = target.labels.find(term.key);
    const bool there = found != target.labels.end();
    if (term.op == "exists") return there;
    if (term.op == "!exists") return !there;
    const bool listed = there && std::ranges::find(term.values, found->second) != term.values.end();
    return term.op == "=" || term.op == "in" ? listed : !listed;
}

bool matches(const Selection& selection, const Target& target) {
    if (!selection.targets.empty() && std::ranges::find(selection.targets, target.id) == selection.targets.end()) return false;
    const auto& backends = selection.backends;
    if (!backends.empty() && std::ranges::find(backends, target.id.backend) == backends.end()) return false;
    const auto isNamed = [&](const std::string& name) { return fits(selection.name, name); };
    if (!selection.name.empty() && !isNamed(target.name) && std::ranges::none_of(target.aliases, isNamed)) return false;
    if (!selection.image.empty() && !fits(selection.image, target.image)) return false;
    return std::ranges::all_of(selection.labels, [&](const LabelTerm& term) { return matches(term, target); });
}

std::string text(const LabelTerm& term) {
    if (term.op == "exists") return term.key;
    if (term.op == "!exists") return "!" + term.key;
    std::string values;
    for (const auto& value : term.values) values += (values.empty() ? "" : ",") + value;
    if (term.op == "in" || term.op == "notin") return term.key + " " + term.op + " (" + values + ")";
    return term.key + term.op + values;
}

Result<std::vector<LabelTerm>> parseLabels(std::string_view text) {
    std::vector<LabelTerm> terms;
    if (trimmed(text).empty()) return terms;
    for (const auto part : split(text, ',')) {
        auto term = parseTerm(part);
        if (!term) return forward(std::move(term));
        terms.push_back(std::move(*term));
        if (terms.size() > kMaxTerms) return fail(Errc::InvalidArgument, "a selector of more than 64 terms");
    }
    return terms;
}

Result<void> parseMode(std::string_view text, Selection& into) {
    const auto refuse = [&] {
        return fail(Errc::InvalidArgument, "mode '" + std::string(text) + "' is unknown; it is all, one, fixed:N or percent:1 to 100");
    };
    if (text == "all" || text == "one") {
        into.mode = text == "all" ? SelectionMode::All : SelectionMode::One;
        return {};
    }
    const auto colon = text.find(':');
    const bool percent = text.substr(0, colon) == "percent";
    if (colon == text.npos || (!percent && text.substr(0, colon) != "fixed")) return refuse();
    const auto digits = text.substr(colon + 1);
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size() || value == 0 || (percent && value > 100)) return refuse();
    into.mode = percent ? SelectionMode::Percent : SelectionMode::Fixed;
    into.modeValue = value;
    return {};
}

std::size_t chosenOf(const Selection& selection, std::size_t matching) {
    switch (selection.mode) {
        case SelectionMode::All: return matching;
        case SelectionMode::One: return std::min<std::size_t>(1, matching);
        case SelectionMode::Fixed: return std::min<std::size_t>(selection.modeValue, matching);
        case SelectionMode::Percent: return std::min(matching, (matching * selection.modeValue + 99) / 100);
    }
    return 0;
}

std::vector<const Target*> select(const Selection& selection, const std::vector<const Target*>& targets) {
    struct Ranked {
        std::uint64_t rank;
        std::string id;
        const Target* target;
    };
    std::vector<Ranked> ranked;
    for (const Target* target : targets) {
        if (target->state != TargetState::Running || !matches(selection, *target)) continue;
        std::string id = target->id.text();
        const auto rank = stableHash(id);
        ranked.push_back({rank, std::move(id), target});
    }
    std::ranges::sort(ranked, [](const Ranked& a, const Ranked& b) { return std::tie(a.rank, a.id) < std::tie(b.rank, b.id); });
    ranked.resize(chosenOf(selection, ranked.size()));
    std::vector<const Target*> chosen;
    for (const auto& one : ranked) chosen.push_back(one.target);
    return chosen;
}

}  // namespace recap
