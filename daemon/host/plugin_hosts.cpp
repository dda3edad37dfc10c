// SPDX-License-Identifier: Apache-2.0
#include "daemon/host/plugin_hosts.hpp"

#include <unistd.h>

#include <algorithm>

#include "daemon/core/process.hpp"

namespace recap::host {

PluginHosts::PluginHosts(sd_event* loop, std::string socketFolder, TargetSink& sink, HostTimes times)
    : loop_(loop), socketFolder_(std::move(socketFolder)), sink_(sink), times_(times) {}

void PluginHosts::configure(const std::vector<PluginSetting>& plugins) {
    std::vector<Host> dropped;
    for (auto it = hosts_.begin(); it != hosts_.end();) {
        const auto host = it++;
        if (std::find(plugins.begin(), plugins.end(), host->second.setting) != plugins.end()) continue;
        dropped.push_back(std::move(host->second));
        hosts_.erase(host);
    }
    for (const auto& host : dropped) {
        const std::string& name = host.setting.name;
        const bool changed = std::any_of(plugins.begin(), plugins.end(), [&](const auto& setting) { return setting.name == name; });
        sink_.snapshot(name, {});
        if (!changed) sink_.forgotten(name);
        host.connection->close(changed ? "its settings have changed; ask again" : "it is no longer in recapd.toml");
    }
    dropped.clear();
    for (const auto& setting : plugins) {
        if (hosts_.contains(setting.name)) continue;
        const auto isOwn = [this](const TargetRecord& record) { return this->isOwn(record); };
        auto connection = std::make_unique<HostConnection>(loop_, socketFolder_ + "/" + setting.name, setting, sink_, times_, isOwn);
        const auto placed = hosts_.emplace(setting.name, Host{setting, std::move(connection)}).first;
        placed->second.connection->start();
    }
}

// recapd, its plugin hosts, and the launcher with its capsules. A host that lies about a cgroup is found out when the target is pinned.
bool PluginHosts::isOwn(const TargetRecord& record) const {
    const std::string_view cgroup = record.cgroup;
    if (cgroup.starts_with(kLauncherCgroup) && (cgroup.size() == kLauncherCgroup.size() || cgroup[kLauncherCgroup.size()] == '/'))
        return true;
    if (record.pid == ::getpid()) return true;
    return record.pid != 0 &&
           std::any_of(hosts_.begin(), hosts_.end(), [&](const auto& host) { return host.second.connection->hostPid() == record.pid; });
}

void PluginHosts::find(const TargetId& id, std::function<void(Result<void>)> reply) {
    const auto host = hosts_.find(id.backend);
    if (host != hosts_.end()) return host->second.connection->find(id.id, std::move(reply));
    reply(noBackend(id.backend));
}

void PluginHosts::exportImage(const std::string& backend, const std::string& reference, UniqueFd out,
                              std::function<void(Result<void>)> reply) {
    const auto host = hosts_.find(backend);
    if (host == hosts_.end()) return reply(noBackend(backend));
    host->second.connection->exportImage(reference, std::move(out), std::move(reply));
}

tl::unexpected<Error> PluginHosts::noBackend(const std::string& name) const {
    std::string known;
    for (const auto& [other, host] : hosts_) known += (known.empty() ? "" : ", ") + other;
    return fail(Errc::NotFound, "no backend '" + name + "'; there are: " + (known.empty() ? "none" : known));
}

std::vector<BackendStatus> PluginHosts::statuses() const {
    std::vector<BackendStatus> all;
    for (const auto& [name, host] : hosts_) all.push_back(host.connection->status());
    return all;
}

}  // namespace recap::host
