// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/rooms.hpp"

#include "daemon/bus/rows.hpp"
#include "daemon/core/host.hpp"

namespace recap::bus {
namespace {

std::string joined(const std::vector<std::string>& words) {
    std::string text;
    for (const auto& word : words) text += (text.empty() ? "" : " ") + word;
    return text;
}

}  // namespace

const Image* imageOf(const Rooms& rooms, const CapsuleInfo& capsule) {
    if (capsule.image.empty()) return nullptr;
    const auto image = rooms.images.find(capsule.image);
    return image ? *image : nullptr;
}

std::uint32_t hostNamespacesOf(const Rooms& rooms, const CapsuleInfo& capsule, const std::string& target) {
    const auto found = rooms.targets.resolve(target);
    return found ? hostNamespaces(capsule, **found) : 0;
}

Right runRight(const Rooms& rooms, const std::string& capsule, const std::string& target, const std::string& verb,
               const Adjustments& adjustments) {
    Right right;
    // Of a capsule that is not known the most is assumed.
    right.action = "org.recap1.run-privileged";
    const auto colon = target.find(':');
    right.details = {{"capsule", capsule},
                     {"verb", verb},
                     {"target", target},
                     {"backend", colon == std::string::npos ? std::string() : target.substr(0, colon)}};
    for (const char* unknown : {"digest", "namespaces", "capabilities", "view", "user", "processes", "host-namespaces"})
        right.details[unknown] = "";
    if (const auto info = rooms.capsules.find(capsule)) {
        if (!privileged(**info, adjustments)) right.action = "org.recap1.run";
        const CapsuleInfo asked = adjusted(**info, adjustments);
        right.details["namespaces"] = joined(asked.namespaces);
        right.details["capabilities"] = joined(asked.capabilities);
        right.details["view"] = asked.view;
        right.details["user"] = asked.user;
        right.details["processes"] = asked.processes;
        if (const std::uint32_t host = hostNamespacesOf(rooms, asked, target); host != 0) {
            right.action = "org.recap1.run-privileged";
            right.details["host-namespaces"] = joined(namespaceNames(host));
        }
        if (const Image* image = imageOf(rooms, asked)) right.details["digest"] = image->digest;
    }
    right.message = "Authentication is required to run capsule $(capsule) on $(target)";
    if (!right.details["host-namespaces"].empty()) right.message += ", in the host's own $(host-namespaces)";
    right.sentence = "you may not run capsule '" + capsule + "' on '" + target + "'";
    return right;
}

RunQuestion runQuestion(const Rooms& rooms, const RunRequest& request, const std::string& verb) {
    const auto target = rooms.targets.resolve(request.target);
    const std::uint64_t startTime = target ? (*target)->startTime : 0;
    Right right = runRight(rooms, request.capsule, request.target, verb, request.adjustments);
    const auto info = rooms.capsules.find(request.capsule);
    const std::uint32_t host = info ? hostNamespacesOf(rooms, adjusted(**info, request.adjustments), request.target) : 0;
    Authorisation authorised{right.details["backend"], right.details["digest"], info ? (*info)->revision : 0, startTime, host};
    return {std::move(right), std::move(authorised)};
}

Right enableRight(const Rooms& rooms, const std::string& capsule) {
    Right right = runRight(rooms, capsule, "", "EnableCapsule");
    right.message = "Authentication is required to have capsule $(capsule) run by itself on all its targets";
    right.sentence = "you may not run capsule '" + capsule + "' on all its targets, which is what enabling it would do";
    return right;
}

Right manageRight(const std::string& what, const std::string& verb, const std::string& name) {
    Right right;
    right.action = "org.recap1.manage-" + what;
    right.details = {{"verb", verb}};
    if (!name.empty()) right.details[what == "images" ? "image" : "capsule"] = name;
    right.sentence = "you may not manage " + what;
    return right;
}

}  // namespace recap::bus
