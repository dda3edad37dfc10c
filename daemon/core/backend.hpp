// SPDX-License-Identifier: Apache-2.0
// A world of containers, seen read-only. Backends are plugins in processes of their own (daemon/host); what they tell
// reaches recapd as events, so that a run asks no engine anything.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/core/target.hpp"
#include "sdk/base/result.hpp"

namespace recap {

enum class BackendState { Waiting, Ready, Unavailable };  // engine absent; snapshot complete; host or engine away
constexpr std::string_view name(BackendState state) {
    constexpr std::string_view names[] = {"waiting", "ready", "unavailable"};
    return names[static_cast<std::size_t>(state)];
}

struct BackendStatus {
    std::string name;    // "process"; the settings' table name
    std::string plugin;  // the plugin that serves it
    BackendState state = BackendState::Unavailable;
    std::string detail;  // why it is not ready
    std::size_t targets = 0;
};

// Where backends put what they learn. On the loop.
class TargetSink {
public:
    virtual ~TargetSink() = default;
    virtual void snapshot(const std::string& backend, std::vector<Target> targets) = 0;  // replaces all of that backend's
    virtual void added(Target target) = 0;                                               // or changed: same id
    virtual void removed(const TargetId& id) = 0;
    virtual void state(BackendStatus status) = 0;
    virtual void forgotten(const std::string&) {}  // that backend is configured no more; its targets went before
};

// Backends that find a target only when asked for it (process: any pid) offer this; the answer arrives in the sink first.
class TargetFinder {
public:
    virtual ~TargetFinder() = default;
    virtual void find(const TargetId& id, std::function<void(Result<void>)> reply) = 0;
};

}  // namespace recap
