// SPDX-License-Identifier: Apache-2.0
// Whether an engine's socket is there, and when that may have changed.
#pragma once

#include <filesystem>
#include <string>

#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::containerd {

class SocketWatch {
public:
    explicit SocketWatch(std::filesystem::path socket);

    // Watches the socket's folder, or the nearest one above it that exists. Before a look, so that nothing falls between.
    void arm();
    int fd() const { return inotify_.get(); }  // readable: ask changed()
    bool changed();                            // what leads to the socket was made or moved there

    // Somebody accepts connections; NotFound: there is no socket.
    Result<void> tryConnect() const;

private:
    std::filesystem::path socket_;
    UniqueFd inotify_;
    int watch_ = -1;
    std::string awaited_;  // the name in the watched folder
};

}  // namespace recap::containerd
