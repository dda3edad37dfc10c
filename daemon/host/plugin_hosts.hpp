// SPDX-License-Identifier: Apache-2.0
// All plugin hosts, as recapd has them: connects to each configured backend's socket (which starts its host), feeds what
// they tell into the sink, and looks for targets and exports images through them. On the loop; the sink outlives it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/core/backend.hpp"
#include "daemon/core/image_exporter.hpp"
#include "daemon/core/settings.hpp"
#include "daemon/host/connection.hpp"

namespace recap::host {

class PluginHosts final : public TargetFinder, public ImageExporter {
public:
    // `socketFolder`: where each backend's socket has its name.
    PluginHosts(sd_event* loop, std::string socketFolder, TargetSink& sink, HostTimes times = {});

    // Connects to new ones, forgets those that are gone (their targets are removed from the sink), reconnects changed ones: a host
    // ends with its connection, so that the next one reads its settings anew.
    void configure(const std::vector<PluginSetting>& plugins);

    // The reply comes on a later turn where a host is asked, from inside the call otherwise.
    void find(const TargetId& id, std::function<void(Result<void>)> reply) override;

    void exportImage(const std::string& backend, const std::string& reference, UniqueFd out,
                     std::function<void(Result<void>)> reply) override;

    std::vector<BackendStatus> statuses() const;

private:
    struct Host {
        PluginSetting setting;
        std::unique_ptr<HostConnection> connection;
    };
    bool isOwn(const TargetRecord& record) const;
    tl::unexpected<Error> noBackend(const std::string& name) const;

    sd_event* loop_;
    std::string socketFolder_;
    TargetSink& sink_;
    HostTimes times_;
    std::map<std::string, Host> hosts_;
};

}  // namespace recap::host
