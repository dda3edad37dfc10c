// SPDX-License-Identifier: Apache-2.0
// Before Linux 6.13 overlayfs takes its layers by name only, and before 6.5 no more than a page of options in one mount(2). Names
// are looked up in the caller's mount namespace, and the layers must be of that one: so a worker has a workshop, a mount namespace
// of its own with nothing in it but the store's layers, where it mounts a root, takes a detached copy of it, and clears up.
#pragma once

#include <span>
#include <string>

#include "daemon/launcher/attach.hpp"
#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::launcher {

class Workshop {
public:
    // `layers`: the store's folder of layers, opened in the launcher's own mount namespace, which the caller is in.
    static Result<Workshop> make(const Prepared& prepared, int layers);

    int layersFd() const { return layers_.get(); }  // the same folder; only layers opened here can be mounted here
    // A detached overlay as roots.cpp makes it; `upper`: a detached file system with the folders `upper` and `work`. Empty, with
    // errno, where it can't be made. Where the way back is closed the process ends: nothing may be done in another namespace.
    UniqueFd mountOverlay(std::span<const UniqueFd> layers, int upper) const;

private:
    const Prepared* prepared_ = nullptr;
    UniqueFd mounts_;       // the workshop
    UniqueFd layers_;       // its /layers
    UniqueFd descriptors_;  // this process's, as the launcher's own procfs shows them
};

}  // namespace recap::launcher
