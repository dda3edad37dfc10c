// SPDX-License-Identifier: Apache-2.0
// How people name targets: TargetTable::resolve.
#include <algorithm>

#include "daemon/core/target_table.hpp"

namespace recap {
namespace {

constexpr std::size_t kShortestPrefix = 12;
constexpr std::size_t kCandidatesSaid = 10;

// "3f2a…" or, where ids have a namespace in front, "k8s.io/3f2a…".
bool isIdPrefix(std::string_view text) {
    const auto slash = text.rfind('/');
    const auto digits = slash == std::string_view::npos ? text : text.substr(slash + 1);
    return digits.size() >= kShortestPrefix && digits.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool isNumber(std::string_view text) { return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos; }

// Any user names its processes, so that such a name must not stand in for, or in the way of, one that somebody else gave.
constexpr std::string_view kOwnName = "process";  // the runtime of targets that no runtime keeps

std::string describe(const std::vector<const Target*>& targets) {
    std::string text;
    for (std::size_t i = 0; i < std::min(targets.size(), kCandidatesSaid); ++i) {
        const Target& target = *targets[i];
        text += (i == 0 ? "" : ", ") + target.id.text();
        if (!target.name.empty() && target.name != target.id.id) text += " (" + target.name + ")";
    }
    return targets.size() > kCandidatesSaid ? text + " and " + std::to_string(targets.size() - kCandidatesSaid) + " more" : text;
}

std::string join(const std::map<std::string, BackendStatus>& backends) {
    std::string text;
    for (const auto& [name, status] : backends) text += (text.empty() ? "" : ", ") + name;
    return text.empty() ? "none" : text;
}

}  // namespace

std::vector<TargetTable::Entry*> TargetTable::withId(const std::string& backend, const std::string& id) const {
    std::vector<Entry*> found;
    const auto add = [&](const std::string& name) {
        if (Entry* entry = find({name, id})) found.push_back(entry);
    };
    if (!backend.empty()) return add(backend), found;
    for (const auto& [name, status] : backends_) add(name);
    return found;
}

Result<const Target*> TargetTable::resolve(std::string_view text) const {
    if (text.empty()) return fail(Errc::InvalidArgument, "the target is empty; name one as BACKEND:NAME-OR-ID");
    const auto colon = text.find(':');
    const std::string backend(colon == std::string_view::npos ? std::string_view() : text.substr(0, colon));
    const auto rest = colon == std::string_view::npos ? text : text.substr(colon + 1);
    const auto isProcess = [this](std::string_view name) {
        const auto status = backends_.find(std::string(name));
        return status != backends_.end() && status->second.plugin == "process";
    };
    auto exact = withId(backend, std::string(rest));
    auto named = index_.named(rest);
    auto prefixed = isIdPrefix(rest) ? index_.prefixed(rest) : std::vector<Entry*>();
    if (isNumber(rest)) std::erase_if(named, [&](const Entry* entry) { return isProcess(wordsOf(*entry).backend); });
    // An image may say what its containers are called by its labels, so that such a name yields to all others.
    const auto isAlias = [&](const Entry* entry) { return wordsOf(*entry).name != rest; };
    auto aliased = named;
    std::erase_if(named, isAlias);
    std::erase_if(aliased, [&](const Entry* entry) { return !isAlias(entry); });
    const auto ownName = [](const Entry* entry) { return wordsOf(*entry).runtime == kOwnName; };
    for (auto* called : {&exact, &named, &prefixed, &aliased}) {
        if (!backend.empty()) std::erase_if(*called, [&](const Entry* entry) { return wordsOf(*entry).backend != backend; });
        if (called == &named && !std::all_of(named.begin(), named.end(), ownName)) std::erase_if(named, ownName);
        std::vector<const Target*> matches;
        for (Entry* entry : *called) matches.push_back(&shownOf(*entry).whole->target);
        std::sort(matches.begin(), matches.end(), [](const Target* a, const Target* b) { return a->id < b->id; });
        matches.erase(std::unique(matches.begin(), matches.end()), matches.end());
        if (matches.size() == 1) return matches.front();
        if (!matches.empty())
            return fail(Errc::Ambiguous, "target '" + std::string(text) + "' is ambiguous: " + describe(matches) + "; name one of them");
    }
    if (backend.empty()) return fail(Errc::NotFound, "no target '" + std::string(text) + "' in any backend (" + join(backends_) + ")");
    const auto status = backends_.find(backend);
    if (status == backends_.end())
        return fail(Errc::NotFound, "no backend '" + backend + "' for target '" + std::string(text) + "'; there are: " + join(backends_));
    if (status->second.state != BackendState::Ready)
        return fail(Errc::Unavailable,
                    "backend '" + backend + "' is " + std::string(name(status->second.state)) + ": " + status->second.detail);
    return fail(Errc::NotFound, backend + ": no container '" + std::string(rest) + "'");
}

}  // namespace recap
