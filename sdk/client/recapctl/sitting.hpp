// SPDX-License-Identifier: Apache-2.0
// A run that one stays with, at its streams or its terminal: from the connection to what is said of its end.
#pragma once

#include <functional>
#include <string>

#include "sdk/client/recap/client.hpp"
#include "sdk/client/recapctl/keys.hpp"
#include "sdk/client/recapctl/output.hpp"

namespace recapctl {

struct Sitting {
    recap::client::RunRequest request;  // without its streams
    std::string detachKeys = kUsualKeys;
    bool tty = false;     // it has a terminal
    bool detach = false;  // only until it is accepted

    // Before anything is started: what takes recapd's word. It may change this.
    std::function<recap::Result<void>(recap::client::Client&, Sitting&)> prepare;
    // The exit status of a run that has ended, or that there will be none of.
    std::function<int(recap::client::Client&, const recap::client::Run&, bool interrupted)> settle;
};

int sit(Sitting sitting, const Style& style);

}  // namespace recapctl
