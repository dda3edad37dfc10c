// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <exception>

#include "sdk/client/recapctl/cli.hpp"
#include "sdk/client/recapctl/exit_status.hpp"

// Where a standard stream is closed nothing else may take its place: what is printed would go to the bus.
static void fillStandardStreams() {
    int fd = 0;
    while (fd >= 0 && fd <= STDERR_FILENO) fd = ::open("/dev/null", O_RDWR);
    if (fd > STDERR_FILENO) ::close(fd);
}

int main(int argc, char** argv) {
    fillStandardStreams();
    std::signal(SIGPIPE, SIG_IGN);  // a reader that went away is an error of a write, said or not where it happens
    try {
        return recapctl::runCommandLine({argv + 1, argv + argc});
    } catch (const std::exception& error) {
        recapctl::note(error.what());
        return recapctl::kOwnFailure;
    }
}
