// SPDX-License-Identifier: Apache-2.0
#include "plugins/process/shapes.hpp"

#include <algorithm>
#include <array>

namespace recap::process {
namespace {

constexpr std::size_t kIdLength = 64;

bool isHex(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}
bool isId(std::string_view text) { return text.size() == kIdLength && isHex(text); }

struct Prefix {
    std::string_view text;
    std::string_view engine;
};
// "docker-<id>.scope" and "…:cri-containerd:<id>"; helper processes' scopes ("libpod-conmon-<id>") fit none of them.
constexpr std::array<Prefix, 8> kPrefixes{{{"docker-", "docker"},
                                           {"cri-containerd-", "containerd"},
                                           {"nerdctl-", "containerd"},
                                           {"crio-", "cri-o"},
                                           {"libpod-", "podman"},
                                           {"buildah-", "podman"},
                                           {"podman-", "podman"},
                                           {"cri-containerd:", "containerd"}}};

std::optional<Shape> named(std::string_view component, std::string_view suffix, std::string_view prefix, const char* engine) {
    if (!component.starts_with(prefix) || !component.ends_with(suffix) || component.size() <= prefix.size() + suffix.size())
        return std::nullopt;
    component.remove_prefix(prefix.size());
    component.remove_suffix(suffix.size());
    return Shape{engine, std::string(component), ""};
}

std::string_view engineOfParent(std::string_view parent) {
    if (parent.ends_with("/docker")) return "docker";
    if (parent.find("/kubepods") != std::string_view::npos) return "containerd";
    if (parent.ends_with("/libpod_parent")) return "podman";
    return "container";
}

std::optional<Shape> shapeOfComponent(std::string_view component, std::string_view parent) {
    if (isId(component)) return Shape{std::string(engineOfParent(parent)), std::string(component), ""};
    if (const auto colon = component.rfind(":cri-containerd:"); colon != std::string_view::npos) component.remove_prefix(colon + 1);
    std::string_view bare = component;
    if (bare.ends_with(".scope")) bare.remove_suffix(6);
    for (const auto& prefix : kPrefixes) {
        if (bare.starts_with(prefix.text) && isId(bare.substr(prefix.text.size())))
            return Shape{std::string(prefix.engine), std::string(bare.substr(prefix.text.size())), ""};
    }
    if (auto lxc = named(component, "", "lxc.payload.", "lxc")) return lxc;
    if (auto machine = named(component, ".service", "systemd-nspawn@", "nspawn")) return machine;
    return std::nullopt;
}

}  // namespace

std::optional<Shape> shapeOf(std::string_view cgroup) {
    while (!cgroup.empty()) {
        const auto slash = cgroup.rfind('/');
        if (slash == std::string_view::npos) break;
        if (auto shape = shapeOfComponent(cgroup.substr(slash + 1), cgroup.substr(0, slash))) {
            shape->cgroup = cgroup;
            return shape;
        }
        cgroup = cgroup.substr(0, slash);
    }
    return std::nullopt;
}

bool isIn(std::string_view cgroup, std::string_view other) {
    return other != "/" && cgroup.starts_with(other) && (cgroup.size() == other.size() || cgroup[other.size()] == '/');
}

bool isDelegated(std::string_view cgroup) {
    return isIn(cgroup, "/user.slice") || shapeOf(cgroup.substr(0, cgroup.rfind('/'))).has_value();
}

bool isPlainName(std::string_view name) {
    constexpr std::size_t shortestPrefix = 12;
    if (name.find_first_not_of("0123456789") == std::string_view::npos) return false;
    return name.size() < shortestPrefix || !isHex(name);
}

}  // namespace recap::process
