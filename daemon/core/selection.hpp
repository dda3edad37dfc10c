// SPDX-License-Identifier: Apache-2.0
// Which targets: what a manifest's [target] and the `selector` of RunSelected say, and how many of those that match.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/core/target.hpp"
#include "sdk/base/result.hpp"

namespace recap {

// A requirement on one label, as Kubernetes' set-based selectors have them (kubernetes.io, "Labels and Selectors"): a target that has
// no such label meets "!=" and "notin".
struct LabelTerm {
    std::string key;
    std::string op;  // = != in notin exists !exists
    std::vector<std::string> values;
    bool operator==(const LabelTerm&) const = default;
};

enum class SelectionMode { All, One, Fixed, Percent };

// Everything set has to be met; empty: any.
struct Selection {
    std::vector<LabelTerm> labels;
    std::vector<std::string> backends;
    std::string name;               // glob (fnmatch(3)) of its name or one of its aliases
    std::string image;              // glob of its image's reference
    std::vector<TargetId> targets;  // these and no others; empty: any
    SelectionMode mode = SelectionMode::All;
    std::uint32_t modeValue = 0;  // N of fixed:N, P of percent:P
    std::uint32_t parallel = 8;   // at most so many at a time; not 0
    bool operator==(const Selection&) const = default;
};

bool matches(const LabelTerm& term, const Target& target);
bool matches(const Selection& selection, const Target& target);
std::string text(const LabelTerm& term);  // as parseLabels() reads it

// "app=web,tier in (front,back),env!=dev,debug,!legacy"; InvalidArgument names the part that is none. At most 64 terms, 256 values.
Result<std::vector<LabelTerm>> parseLabels(std::string_view text);
// "all", "one", "fixed:3", "percent:10" into mode and modeValue.
Result<void> parseMode(std::string_view text, Selection& into);

// Of so many that match, how many the mode says; percent rounds up, so that a tenth of three is one.
std::size_t chosenOf(const Selection& selection, std::size_t matching);

// Those of `targets` that are running and match, in an order that stays (by a hash of their ids, so that "one" is not always the same
// backend's), and of these as many as the mode says.
std::vector<const Target*> select(const Selection& selection, const std::vector<const Target*>& targets);

}  // namespace recap
