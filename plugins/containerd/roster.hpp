// SPDX-License-Identifier: Apache-2.0
// What has been told to recapd. run() and find() tell on threads of their own: here they come one after the other.
#pragma once

#include <recap/plugin.hpp>

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace recap::containerd {

class Roster {
public:
    void replace(plugin::Sink& sink, const std::vector<plugin::Target>& targets);
    // False: it has ended meanwhile, and nothing was told of it (a life before it is taken back).
    bool put(plugin::Sink& sink, plugin::Target target);
    void ended(plugin::Sink& sink, const std::string& id, pid_t pid);  // pid 0: whatever it was
    void remove(plugin::Sink& sink, const std::string& id) { ended(sink, id, 0); }
    std::optional<plugin::Target> told(const std::string& id) const;  // and its process lives

private:
    mutable std::mutex mutex_;
    std::map<std::string, plugin::Target> targets_;
};

}  // namespace recap::containerd
