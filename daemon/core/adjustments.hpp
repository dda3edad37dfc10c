// SPDX-License-Identifier: Apache-2.0
// What a caller chooses of a capsule's sandbox, where its manifest lets it (sandbox.adjustable). From then on the run is one of a
// manifest that says so itself: the same checks, policies and ceiling decide.
#pragma once

#include <string>

#include "daemon/core/capsules.hpp"

namespace recap {

// The manifest's words; empty: as the manifest says.
struct Adjustments {
    std::string view{};
    std::string user{};
    std::string processes{};
    std::string image{};

    bool any() const { return !view.empty() || !user.empty() || !processes.empty() || !image.empty(); }
};

// For polkit, which is asked before anything is planned. Words that are none are refused by the planner.
inline CapsuleInfo adjusted(CapsuleInfo capsule, const Adjustments& by) {
    const auto choose = [](std::string& what, const std::string& word) {
        if (!word.empty()) what = word;
    };
    choose(capsule.view, by.view);
    choose(capsule.user, by.user);
    choose(capsule.processes, by.processes);
    choose(capsule.image, by.image);
    if (by.processes.empty()) return capsule;
    std::erase(capsule.namespaces, "pid");
    if (by.processes == "join") capsule.namespaces.insert(capsule.namespaces.begin(), "pid");
    return capsule;
}

// A choice never takes a lesser right than the capsule's own, and an image that its manifest does not name the greater one.
inline bool privileged(const CapsuleInfo& capsule, const Adjustments& by) {
    return privileged(capsule) || !by.image.empty() || privileged(adjusted(capsule, by));
}

}  // namespace recap
