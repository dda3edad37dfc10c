// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/options.hpp"

namespace recap::bus {
namespace {

template <class Number>
bool read(const sdbus::Variant& value, std::optional<std::uint64_t>& into) {
    if (!value.containsValueOfType<Number>()) return false;
    const auto number = value.get<Number>();
    if (number >= 0) into = static_cast<std::uint64_t>(number);
    return true;
}

}  // namespace

std::optional<std::uint64_t> Options::number(const std::string& key) {
    known_.push_back(key);
    const auto node = values_.extract(key);
    if (node.empty()) return {};
    const sdbus::Variant& value = node.mapped();
    std::optional<std::uint64_t> number;
    const bool integer = read<std::uint64_t>(value, number) || read<std::uint32_t>(value, number) || read<std::int64_t>(value, number) ||
                         read<std::int32_t>(value, number) || read<std::uint16_t>(value, number) || read<std::int16_t>(value, number);
    if (!integer || !number) note(key, "an integer that is not negative", value.peekValueType());
    return number;
}

void Options::note(const std::string& key, const char* expected, const std::string& got) {
    if (wrong_.empty()) wrong_ = noun_ + " '" + key + "' must be " + expected + ", not of type '" + got + "'";
}

Result<void> Options::finish() const {
    if (!wrong_.empty()) return fail(Errc::InvalidArgument, wrong_);
    if (values_.empty()) return {};
    std::string known;
    for (const auto& key : known_) known += (known.empty() ? "" : ", ") + key;
    return fail(Errc::InvalidArgument, "unknown " + noun_ + " '" + values_.begin()->first + "'" +
                                           (known.empty() ? "; there are none here" : "; known here: " + known));
}

Result<bool> interactiveOnly(Values values) {
    Options options(std::move(values));
    const bool interactive = options.flag("interactive");
    if (auto finished = options.finish(); !finished) return forward(std::move(finished));
    return interactive;
}

}  // namespace recap::bus
