// SPDX-License-Identifier: Apache-2.0
#include "daemon/engine/health.hpp"

#include <algorithm>

namespace recap {
namespace {

constexpr std::uint32_t kPatience = 10;  // failures in a row
constexpr std::uint64_t kFirstUsec = 60ull * 1'000'000;
constexpr std::uint64_t kLongestUsec = 3600ull * 1'000'000;
constexpr std::uint32_t kDoublings = 6;  // 64 minutes, which is over the longest

std::uint64_t pauseUsec(std::uint32_t failures) { return std::min(kFirstUsec << std::min(failures - kPatience, kDoublings), kLongestUsec); }

// A clock that was set back makes no pause longer.
bool pending(std::uint64_t until, std::uint64_t now) { return until > now && until - now <= kLongestUsec; }

}  // namespace

Health::Word Health::wordOf(const RunReport& report, bool stopped) {
    switch (report.outcome) {
        case Outcome::Succeeded: return Word::Good;
        case Outcome::Failed:
        case Outcome::TimedOut:
        case Outcome::Denied: return Word::Bad;
        case Outcome::Killed: return report.outOfMemory || !stopped ? Word::Bad : Word::None;
        case Outcome::NotStarted: return stopped || report.error == Errc::Unavailable ? Word::None : Word::Bad;
        case Outcome::TargetGone:
        case Outcome::Lost:
        case Outcome::Skipped: break;
    }
    return Word::None;
}

std::uint64_t Health::backedOffUntil(const RunRequest& request, std::uint64_t revision, std::uint64_t now) {
    if (request.trigger == Trigger::OnDemand) return 0;
    const auto found = capsules_.find(request.capsule);
    if (found == capsules_.end()) return 0;
    Capsule& capsule = found->second;
    if (capsule.revision != 0 && capsule.revision != revision) {
        capsules_.erase(found);
        return 0;
    }
    capsule.revision = revision;
    const bool goesOn = !request.batch.empty() && request.batch == capsule.begun;
    if (!goesOn && pending(capsule.until, now)) return capsule.until;
    capsule.begun = request.batch;
    return 0;
}

bool Health::note(const RunRequest& request, Word word, std::uint64_t revision, std::uint64_t now) {
    if (word == Word::None) return false;
    if (word == Word::Good) {
        capsules_.erase(request.capsule);
        if (request.batch.empty())
            succeeded_.erase(request.capsule);
        else
            succeeded_[request.capsule] = request.batch;
        return false;
    }
    if (request.trigger == Trigger::OnDemand) return false;
    const auto good = succeeded_.find(request.capsule);
    if (!request.batch.empty() && good != succeeded_.end() && good->second == request.batch) return false;
    Capsule& capsule = capsules_[request.capsule];
    if (!request.batch.empty() && capsule.failed == request.batch) return false;
    if (capsule.failures == 0) capsule.begun = request.batch;
    capsule.revision = revision;
    capsule.failed = request.batch;
    ++capsule.failures;
    if (capsule.failures < kPatience || pending(capsule.until, now)) return false;
    capsule.until = now + pauseUsec(capsule.failures);
    return true;
}

CapsuleHealth Health::of(const std::string& capsule, std::uint64_t revision, std::uint64_t now) const {
    const auto found = capsules_.find(capsule);
    if (found == capsules_.end() || (found->second.revision != 0 && found->second.revision != revision)) return {};
    return {found->second.failures, pending(found->second.until, now) ? found->second.until : 0};
}

}  // namespace recap
