// SPDX-License-Identifier: Apache-2.0
#include "daemon/host/plugin_hosts.hpp"

#include <algorithm>

namespace recap::host {
namespace {

bool same(const PluginSetting& a, const PluginSetting& b) {
    return a.name == b.name && a.plugin == b.plugin && a.cgroups == b.cgroups;
}

}  // namespace

PluginHosts::PluginHosts(sd_event* loop, std::string socketFolder, TargetSink& sink, HostTimes times)
    : loop_(loop), socketFolder_(std::move(socketFolder)), sink_(sink), times_(times) {}

void PluginHosts::configure(const std::vector<PluginSetting>& plugins) {
    for (auto it = hosts_.begin(); it != hosts_.end();) {
        const bool kept =
            std::any_of(plugins.begin(), plugins.end(), [&](const auto& setting) { return same(setting, it->second.setting); });
        if (kept) {
            ++it;
            continue;
        }
        const std::string name = it->first;
        it = hosts_.erase(it);
        sink_.snapshot(name, {});
    }
    for (const auto& setting : plugins) {
        if (hosts_.contains(setting.name)) continue;
        auto connection = std::make_unique<HostConnection>(loop_, socketFolder_ + "/" + setting.name, setting, sink_, times_);
        const auto placed = hosts_.emplace(setting.name, Host{setting, std::move(connection)}).first;
        placed->second.connection->start();
    }
}

void PluginHosts::find(const TargetId& id, std::function<void(Result<void>)> reply) {
    const auto host = hosts_.find(id.backend);
    if (host != hosts_.end()) return host->second.connection->find(id.id, std::move(reply));
    std::string known;
    for (const auto& [name, entry] : hosts_) known += (known.empty() ? "" : ", ") + name;
    reply(fail(Errc::NotFound, "no backend '" + id.backend + "'; there are: " + (known.empty() ? "none" : known)));
}

std::vector<BackendStatus> PluginHosts::statuses() const {
    std::vector<BackendStatus> all;
    for (const auto& [name, host] : hosts_) all.push_back(host.connection->status());
    return all;
}

}  // namespace recap::host
