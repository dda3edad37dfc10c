// SPDX-License-Identifier: Apache-2.0
#include "daemon/plan/adjust.hpp"

#include <algorithm>
#include <array>

#include "sdk/manifest/values.hpp"

namespace recap::plan {
namespace {

using manifest::Adjustable;
using manifest::Manifest;

// "write" takes paths, which are the manifest's alone.
constexpr std::array<std::string_view, 3> kViews{"none", "read-only", "merged"};
constexpr std::array<std::string_view, 3> kProcesses{"none", "observe", "join"};

Result<void> allowed(const Manifest& manifest, Adjustable what, const char* key) {
    if ((manifest.sandbox.adjustable & static_cast<std::uint32_t>(what)) != 0) return {};
    return fail(Errc::Denied, "capsule '" + manifest.name + "' does not leave '" + key +
                                  "' to its callers: it is not among sandbox.adjustable of its manifest");
}

// The word's number is the enum's.
template <class Enum>
Result<void> choose(const char* key, const std::string& word, const std::array<std::string_view, 3>& words, Enum& into) {
    const auto found = std::find(words.begin(), words.end(), word);
    if (found == words.end())
        return fail(Errc::InvalidArgument, std::string(key) + " " + manifest::printable(word) + " can't be chosen; it is one of " +
                                               std::string(words[0]) + ", " + std::string(words[1]) + ", " + std::string(words[2]));
    into = static_cast<Enum>(found - words.begin());
    return {};
}

Result<void> chooseProcesses(const std::string& word, manifest::Sandbox& sandbox) {
    constexpr auto pid = static_cast<std::uint32_t>(manifest::Namespace::Pid);
    if (auto chosen = choose("processes", word, kProcesses, sandbox.processes); !chosen) return chosen;
    sandbox.namespaces &= ~pid;
    if (sandbox.processes == manifest::Processes::Join) sandbox.namespaces |= pid;
    return {};
}

Result<void> chooseUser(const std::string& word, manifest::Sandbox& sandbox) {
    auto user = manifest::parseUser(word);
    if (!user) return forward(std::move(user));
    sandbox.user = *user;
    return {};
}

// The command of the manifest is one of its own image.
Result<void> chooseImage(const std::string& reference, Manifest& manifest) {
    if (auto wrong = manifest::checkReference(reference); !wrong.empty()) return fail(Errc::InvalidArgument, std::move(wrong));
    manifest.image = reference;
    manifest.command.clear();
    return {};
}

}  // namespace

Result<Manifest> adjust(Manifest manifest, const Adjustments& by) {
    Result<void> so;
    const auto apply = [&](const char* key, Adjustable what, const std::string& word, auto&& chosen) {
        if (word.empty() || !so) return;
        so = allowed(manifest, what, key);
        if (so) so = chosen();
    };
    auto& sandbox = manifest.sandbox;
    apply("view", Adjustable::View, by.view, [&] { return choose("view", by.view, kViews, sandbox.view); });
    apply("user", Adjustable::User, by.user, [&] { return chooseUser(by.user, sandbox); });
    apply("processes", Adjustable::Processes, by.processes, [&] { return chooseProcesses(by.processes, sandbox); });
    apply("image", Adjustable::Image, by.image, [&] { return chooseImage(by.image, manifest); });
    if (sandbox.view != manifest::View::Write) sandbox.writes.clear();
    if (!so) return forward(std::move(so));
    return manifest;
}

}  // namespace recap::plan
