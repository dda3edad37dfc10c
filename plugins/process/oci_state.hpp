// SPDX-License-Identifier: Apache-2.0
// Containers by what runc and crun keep of them: ROOT/ID/state.json, ROOT/ID/status. Text of others, read with caps.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace recap::process {

struct OciContainer {
    std::string id;
    std::string runtime;  // "runc", "crun"
    pid_t pid = 0;
    std::uint64_t startTime = 0;  // 0: an old crun does not say
    std::map<std::string, std::string> labels;
    uid_t owner = 0;      // of the state file: who claims this
    bool started = true;  // else `pid` is the runtime's own process, waiting for the start
};

// Every container in ROOTs that may hold '*' (glob(7)). Sorted by root and id.
std::vector<OciContainer> readOciState(const std::vector<std::string>& roots);

// The folders whose changes may mean a change of readOciState(): the roots and each container's; where a root does not yet
// exist, the one that it would be in.
std::vector<std::filesystem::path> ociFolders(const std::vector<std::string>& roots);

}  // namespace recap::process
