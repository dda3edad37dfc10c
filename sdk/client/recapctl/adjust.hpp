// SPDX-License-Identifier: Apache-2.0
// What of a capsule's sandbox is wanted otherwise than its manifest says. recapd says whether that may be.
#pragma once

#include <string>

#include "sdk/cli/verb.hpp"
#include "sdk/client/recap/client.hpp"

namespace recapctl {

struct AdjustOptions {
    std::string view;
    std::string user;
    std::string processes;
    std::string image;

    recap::client::Adjustments given() const {
        recap::client::Adjustments all;
        for (const auto& [key, word] : {std::pair{"view", &view}, {"user", &user}, {"processes", &processes}, {"image", &image}})
            if (!word->empty()) all[key] = *word;
        return all;
    }
};

inline recap::cli::Verb& addAdjustments(recap::cli::Verb& verb, AdjustOptions& options) {
    return verb.option("--view", options.view, "What it sees of the target's files", {"merged", "read-only", "none"})
        .option("--user", options.user, "Who it is: target, root or UID:GID")
        .option("--processes", options.processes, "What it sees of the target's processes", {"join", "observe", "none"})
        .option("--image", options.image, "Another image's programs, which is imported and admitted (recapctl image list)");
}

}  // namespace recapctl
