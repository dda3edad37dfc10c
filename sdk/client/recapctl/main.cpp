// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <csignal>
#include <exception>

#include "sdk/client/recapctl/cli.hpp"
#include "sdk/client/recapctl/exit_status.hpp"

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);  // a reader that went away is an error of a write, said or not where it happens
    try {
        return recapctl::runCommandLine({argv + 1, argv + argc});
    } catch (const std::exception& error) {
        recapctl::note(error.what());
        return recapctl::kOwnFailure;
    }
}
