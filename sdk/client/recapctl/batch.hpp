// SPDX-License-Identifier: Apache-2.0
// `recapctl run` on every target that a selector matches.
#pragma once

#include <chrono>
#include <string>

#include "sdk/cli/verb.hpp"
#include "sdk/client/recap/client.hpp"
#include "sdk/client/recapctl/output.hpp"

namespace recapctl {

// Which targets, instead of one.
struct SelectOptions {
    std::string labels;
    std::string backends;  // with commas between
    std::string name;
    std::string image;
    std::string mode;
    std::uint32_t parallel = 0;
    bool all = false;

    bool any() const { return all || !labels.empty() || !backends.empty() || !name.empty() || !image.empty() || !mode.empty(); }
    recap::client::Dict selector() const;
};
void addSelection(recap::cli::Verb& verb, SelectOptions& options);

struct BatchWanted {
    std::string capsule;
    recap::client::Strings args;
    SelectOptions select;
    std::chrono::microseconds timeout{0};
    recap::client::Adjustments adjustments;
    bool detach = false;
};
int runBatch(const BatchWanted& wanted, const Style& style);

}  // namespace recapctl
