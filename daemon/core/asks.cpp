// SPDX-License-Identifier: Apache-2.0
#include "daemon/core/capsules.hpp"

namespace recap {
namespace {

std::string joined(const std::vector<std::string>& words) {
    std::string text;
    for (const auto& word : words) text += (text.empty() ? "" : ",") + word;
    return text;
}

}  // namespace

std::string asks(const CapsuleInfo& capsule) {
    return "image=" + capsule.image + " namespaces=" + joined(capsule.namespaces) + " capabilities=" + joined(capsule.capabilities) +
           " processes=" + capsule.processes + " view=" + capsule.view + " writes=" + joined(capsule.writes) + " user=" + capsule.user +
           " policy=" + capsule.policy + (capsule.freeze ? " freeze" : "");
}

}  // namespace recap
