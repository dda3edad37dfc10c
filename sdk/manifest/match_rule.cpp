// SPDX-License-Identifier: Apache-2.0
#include "sdk/manifest/match_rule.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>

#include "sdk/manifest/values.hpp"

namespace recap::manifest {
namespace {

constexpr std::size_t kMostBytes = 1024;  // the bus takes no longer rule
constexpr std::size_t kMostName = 255;
constexpr unsigned kLastArgument = 63;
constexpr std::string_view kOwnName = "org.recap1";

bool isDigit(char c) { return c >= '0' && c <= '9'; }
bool isWordByte(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || isDigit(c) || c == '_'; }

// One or more words with `separator` between them.
bool isName(std::string_view text, char separator, std::size_t leastWords, std::string_view extra, bool mayBeginWithDigit = false) {
    if (text.empty() || text.size() > kMostName) return false;
    std::size_t words = 0;
    for (std::size_t at = 0; at <= text.size(); ++words) {
        const std::size_t end = std::min(text.find(separator, at), text.size());
        const std::string_view word = text.substr(at, end - at);
        if (word.empty() || (!mayBeginWithDigit && isDigit(word.front()))) return false;
        if (!std::ranges::all_of(word, [&](char c) { return isWordByte(c) || extra.find(c) != extra.npos; })) return false;
        at = end + 1;
    }
    return words >= leastWords;
}

std::string checkType(std::string_view value) {
    return value == "signal" ? "" : "type is " + printable(value) + "; only signals start a capsule: type='signal'";
}

std::string checkSender(std::string_view value) {
    if (value.starts_with(':'))
        return "sender " + printable(value) + " is the name of one connection, which the next start of that service does not have; " +
               "its well-known name is needed";
    if (value == kOwnName) return "sender org.recap1 is recapd itself: target-start, target-stop and run-finished are its events";
    return isName(value, '.', 2, "-") ? "" : "sender " + printable(value) + " is no bus name, such as org.example.Backup";
}

std::string checkInterface(std::string_view value) {
    return isName(value, '.', 2, "") ? "" : "interface " + printable(value) + " is none, such as org.example.Backup1";
}

std::string checkMember(std::string_view value) {
    return isName(value, '.', 1, "") && value.find('.') == value.npos ? "" : "member " + printable(value) + " is no signal's name";
}

std::string checkObjectPath(std::string_view value) {
    const bool whole = value == "/" || (value.starts_with('/') && isName(value.substr(1), '/', 1, "", true));
    return whole ? "" : printable(value) + " is no object path, such as /org/example/Backup";
}

std::string checkDestination(std::string_view) {
    return "destination is for signals to one connection, of which recapd is told none; without it the rule has all that are sent to "
           "everybody";
}

std::string checkEavesdrop(std::string_view) { return "eavesdrop would have recapd read what is sent to others; it is refused"; }

struct Key {
    std::string_view name;
    std::string (*check)(std::string_view value);
};
constexpr std::array kKeys{Key{"type", checkType},
                           Key{"sender", checkSender},
                           Key{"path", checkObjectPath},
                           Key{"path_namespace", checkObjectPath},
                           Key{"interface", checkInterface},
                           Key{"member", checkMember},
                           Key{"destination", checkDestination},
                           Key{"eavesdrop", checkEavesdrop}};

// Of argN, argNpath and arg0namespace: N and what stands behind it. Nothing: it is none of them.
struct ArgumentKey {
    unsigned number = 0;
    std::string_view suffix;
};
std::optional<ArgumentKey> argumentKey(std::string_view key) {
    if (!key.starts_with("arg")) return {};
    key.remove_prefix(3);
    ArgumentKey argument;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), argument.number);
    if (error != std::errc{} || (key.front() == '0' && end != key.data() + 1) || argument.number > kLastArgument) return {};
    argument.suffix = key.substr(static_cast<std::size_t>(end - key.data()));
    const bool known = argument.suffix.empty() || argument.suffix == "path" || (argument.suffix == "namespace" && argument.number == 0);
    return known ? std::optional(argument) : std::nullopt;
}

std::string checkKey(std::string_view key, std::string_view value) {
    if (const auto known = std::ranges::find(kKeys, key, &Key::name); known != kKeys.end()) return known->check(value);
    const auto argument = argumentKey(key);
    if (!argument)
        return "unknown key " + printable(key) +
               "; there are type, sender, path, path_namespace, interface, member, arg0 to arg63, arg0path to arg63path and arg0namespace";
    if (argument->suffix == "namespace" && !isName(value, '.', 1, "-"))
        return "arg0namespace " + printable(value) + " is the beginning of no name";
    return {};
}

// In the order in which the rule's text has them.
struct Order {
    bool operator()(const std::string& a, const std::string& b) const { return rank(a) < rank(b); }
    static std::size_t rank(std::string_view key) {
        const auto known = std::ranges::find(kKeys, key, &Key::name);
        if (known != kKeys.end()) return static_cast<std::size_t>(known - kKeys.begin());
        const auto argument = argumentKey(key).value_or(ArgumentKey{});
        return kKeys.size() + std::size_t{argument.number} * 3 + (argument.suffix == "path" ? 1 : argument.suffix == "namespace" ? 2 : 0);
    }
};
using Pairs = std::map<std::string, std::string, Order>;

// Takes "key='value'" with the comma behind it from the front of `text`; what is wrong, or empty. dbus-daemon and sd-bus, both of which
// read the rule, disagree about backslashes, and so about an apostrophe in a value.
std::string takePair(std::string_view& text, std::string& key, std::string& value) {
    text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
    const std::size_t equals = text.find('=');
    if (equals == text.npos || equals == 0) return "a key and = are missing at its end";
    key = text.substr(0, equals);
    text.remove_prefix(equals + 1);
    value.clear();
    bool quoted = false;
    std::size_t at = 0;
    for (; at < text.size() && (quoted || text[at] != ','); ++at) {
        if (text[at] == '\\')
            return "the value of " + printable(key) + " has a backslash in it, which no value may have here, nor an apostrophe";
        if (text[at] == '\'')
            quoted = !quoted;
        else
            value += text[at];
    }
    if (quoted) return "the value of " + printable(key) + " has no ' at its end";
    const bool more = at < text.size();
    text.remove_prefix(more ? at + 1 : at);
    return more && text.empty() ? "a key and = are missing behind the last comma" : "";
}

std::string readPairs(std::string_view text, Pairs& pairs) {
    while (!text.empty()) {
        std::string key, value;
        if (auto wrong = takePair(text, key, value); !wrong.empty()) return wrong;
        if (auto wrong = checkKey(key, value); !wrong.empty()) return wrong;
        if (!pairs.emplace(key, value).second) return printable(key) + " is there twice";
    }
    return {};
}

std::string checkWhole(const Pairs& pairs) {
    if (!pairs.contains("sender"))
        return "it has no sender. Every user of this machine can send a signal that says all the rest; sender='NAME' with the well-known "
               "name of a service, which the bus lets only that service own, is needed";
    if (!pairs.contains("interface") && !pairs.contains("member"))
        return "with neither interface nor member every signal of that service would start the capsule; one of them is needed";
    if (pairs.contains("path") && pairs.contains("path_namespace")) return "path and path_namespace exclude each other";
    return {};
}

tl::unexpected<Error> wrongRule(std::string_view text, const std::string& why) {
    return fail(Errc::InvalidArgument, "match rule " + printable(text) + ": " + why);
}

}  // namespace

Result<MatchRule> parseMatchRule(std::string_view text) {
    Pairs pairs;
    if (auto wrong = readPairs(text, pairs); !wrong.empty()) return wrongRule(text, wrong);
    if (auto wrong = checkWhole(pairs); !wrong.empty()) return wrongRule(text, wrong);
    pairs.emplace("type", "signal");
    MatchRule rule;
    rule.sender = pairs.at("sender");
    for (const auto& [key, value] : pairs) rule.text += (rule.text.empty() ? "" : ",") + key + "='" + value + "'";
    if (rule.text.size() > kMostBytes)
        return wrongRule(text, "it has " + std::to_string(rule.text.size()) + " bytes; the bus takes " + std::to_string(kMostBytes));
    return rule;
}

std::string checkMatchRule(std::string_view text) {
    const auto rule = parseMatchRule(text);
    return rule ? std::string() : rule.error().message;
}

}  // namespace recap::manifest
