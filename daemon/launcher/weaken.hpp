// SPDX-License-Identifier: Apache-2.0
// For the hostile suite alone (tests/hostile): a build that defines RECAP_TEST_WEAKEN can be asked to leave out the one
// countermeasure against one threat, so that the attack on it is seen to succeed and its test to be able to fail. In every other
// build weakened() is false at compile time, and nothing of this is in the program: a test looks for it there.
#pragma once

#include <cstdlib>

namespace recap::launcher {

// The threats by their numbers, as THREATS.md lists them.
enum class Threat : int {
    Tracing = 1,
    TracingAfterExec = 2,
    TracingTarget = 3,
    OwnProgram = 4,
    LeakedDescriptors = 5,
    ForeignLibraries = 6,
    FakeProc = 7,
    DivertedMounts = 8,
    CopyRaces = 9,
    OpenStore = 10,
    Injection = 11,
    Capabilities = 12,
    Zombies = 13,
    PinnedZombie = 14,
    Stalling = 15,
    HangingMounts = 16,
    SwappedTarget = 17,
    UserNamespaces = 18,
    OverlayTricks = 19,
    SeccompHoles = 20,
    AbstractSockets = 21,
    Exhaustion = 22,
    CoreHelper = 23,
    VmSandbox = 24,
    WildPlans = 26,
};

#ifdef RECAP_TEST_WEAKEN
// Found in every program that can be weakened, and in no other.
inline const volatile char kWeakenMark[] = "RECAP_TEST_WEAKEN";

// RECAP_TEST_WEAKEN=0: the environment says which, as a number; else that one always.
inline bool weakened(Threat threat) {
    static_cast<void>(kWeakenMark[0]);
    if (RECAP_TEST_WEAKEN != 0) return static_cast<int>(threat) == RECAP_TEST_WEAKEN;
    const char* chosen = std::getenv("RECAP_TEST_WEAKEN");
    return chosen != nullptr && std::atoi(chosen) == static_cast<int>(threat);
}
#else
constexpr bool weakened(Threat) { return false; }
#endif

}  // namespace recap::launcher
