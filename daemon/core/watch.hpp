// SPDX-License-Identifier: Apache-2.0
// Events of a target that only the launcher can open: it checks, opens, and hands over a descriptor, which then works by itself.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "daemon/core/target.hpp"
#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap {

// These three as in the launcher's protocol, by their numbers.
enum class WatchKind { Oom, Pressure, File };
enum class PressureOf { Memory, Cpu, Io };
enum class WatchForm {
    Counters,  // memory.events: POLLPRI when a number has changed; read it from 0, "oom_kill" counts
    Counter,   // eventfd(2): read it; it counts once more when the cgroup goes, so ask whether the target lives
    Trigger,   // PSI: POLLPRI when pulled; POLLERR when the cgroup is gone
    Changes,   // inotify(7): IN_DELETE_SELF or IN_IGNORED, and this file is no more: ask for a watch anew
};

struct WatchSpec {
    WatchKind kind = WatchKind::Oom;
    PressureOf resource = PressureOf::Memory;  // pressure's, as are the next two
    std::chrono::microseconds stall{0};
    std::chrono::microseconds window{0};
    std::string path = {};  // file's: absolute, in the target
};

struct OpenedWatch {
    std::uint64_t id = 0;
    WatchForm form = WatchForm::Counters;
    std::chrono::microseconds stall{0};  // as the kernel took them: without CAP_SYS_RESOURCE the launcher gets windows of whole 2 s only
    std::chrono::microseconds window{0};
    UniqueFd fd;  // non-blocking, or read with pread(2)
};

class TargetWatches {
public:
    virtual ~TargetWatches() = default;
    // `target` has its pidfd and facts. Errors worth telling apart: NotSupported (nothing here tells of that), NotFound (no such file
    // now), Denied (the ceiling's `watch`), LimitExceeded (4096 watches in all, 64 of a target), TargetGone, Timeout. The answer comes
    // on a later turn of the loop.
    virtual void watch(const Target& target, const WatchSpec& what, std::function<void(Result<OpenedWatch>)> reply) = 0;
    // Its descriptor is closed. Ids are void, and counted no more, once the launcher has disconnected; the descriptors go on working.
    virtual void unwatch(std::uint64_t id) = 0;
};

}  // namespace recap
