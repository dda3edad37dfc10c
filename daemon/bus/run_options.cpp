// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/run_options.hpp"

#include <utility>

namespace recap::bus {
namespace {

constexpr std::size_t kMaxCapsule = 64;
constexpr std::size_t kMaxChoice = 256;     // of a word of the manifest's, or an image's reference
constexpr std::size_t kMaxArguments = 512;  // as the engine's; here so that nobody's are kept while polkit thinks
constexpr std::size_t kMaxArgumentBytes = 64 * 1024;
constexpr std::uint64_t kMaxTimeoutUsec = 365ull * 24 * 3600 * 1'000'000;

}  // namespace

Result<void> checkSizes(const std::string& capsule, const std::vector<std::string>& args) {
    if (capsule.empty()) return fail(Errc::InvalidArgument, "the capsule's name is empty");
    if (capsule.size() > kMaxCapsule)
        return fail(Errc::InvalidArgument,
                    "a capsule's name of " + std::to_string(capsule.size()) + " bytes; it has at most " + std::to_string(kMaxCapsule));
    std::size_t bytes = 0;
    for (const auto& argument : args) bytes += argument.size() + 1;
    if (args.size() > kMaxArguments || bytes > kMaxArgumentBytes)
        return fail(Errc::InvalidArgument, std::to_string(args.size()) + " arguments of " + std::to_string(bytes) + " bytes; at most " +
                                               std::to_string(kMaxArguments) + " of " + std::to_string(kMaxArgumentBytes) +
                                               " bytes are taken");
    return {};
}

Result<Lifetime> lifetimeOf(const std::string& word) {
    if (word.empty() || word == "detached") return Lifetime::Detached;
    if (word == "caller") return Lifetime::Caller;
    return fail(Errc::InvalidArgument, "lifetime '" + word + "' is unknown; it is \"detached\" or \"caller\"");
}

Result<std::chrono::microseconds> timeoutOf(std::optional<std::uint64_t> timeout) {
    if (!timeout) return std::chrono::microseconds(0);
    if (*timeout == 0 || *timeout > kMaxTimeoutUsec)
        return fail(Errc::InvalidArgument,
                    "timeout " + std::to_string(*timeout) + " is out of range: 1 to " + std::to_string(kMaxTimeoutUsec) + " microseconds");
    return std::chrono::microseconds(*timeout);
}

Result<Adjustments> adjustmentsOf(Options& options) {
    Adjustments asked;
    for (const auto& [key, word] :
         {std::pair{"view", &asked.view}, {"user", &asked.user}, {"processes", &asked.processes}, {"image", &asked.image}}) {
        *word = options.text(key);
        if (word->size() > kMaxChoice)
            return fail(Errc::InvalidArgument, "option '" + std::string(key) + "' of " + std::to_string(word->size()) +
                                                   " bytes; it has at most " + std::to_string(kMaxChoice));
    }
    return asked;
}

}  // namespace recap::bus
