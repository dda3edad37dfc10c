// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/watch_open.hpp"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "daemon/launcher/cgroup_files.hpp"
#include "daemon/launcher/checks.hpp"
#include "daemon/launcher/watch_file.hpp"

namespace recap::launcher {

namespace {

constexpr std::uint64_t kUnprivilegedWindow = 2'000'000;  // without CAP_SYS_RESOURCE, and multiples of it

// A cgroup of its own: neither the root, nor one that this process is in too.
UniqueFd openOwn(const UniqueFd& hierarchy, const std::string& own, std::string_view text, std::string_view controller) {
    const std::string path = cgroupOn(text, controller);
    return isAtOrBelow(own, path) ? UniqueFd() : openCgroup(hierarchy, path);
}

Result<OpenedWatch> openOom(const WatchOrder& order, std::string_view cgroups) {
    const auto none = [&](const std::string& what) {
        return fail(Errc::NotSupported, "oom: target " + order.what.target + " has no cgroup of its own " + what);
    };
    if (const UniqueFd own = openOwn(order.places.unified, order.places.ownUnified, cgroups, "")) {
        UniqueFd events(::openat(own.get(), "memory.events", O_RDONLY | O_CLOEXEC));
        char once[256];  // else it would tell of what was before it was opened
        if (events && ::pread(events.get(), once, sizeof(once), 0) > 0)
            return OpenedWatch{{.form = WatchForm::Counters}, std::move(events)};
    }
    const UniqueFd own = openOwn(order.places.memory, order.places.ownMemory, cgroups, "memory");
    if (!own) return none("with a memory controller");
    const UniqueFd control(::openat(own.get(), "memory.oom_control", O_RDONLY | O_CLOEXEC));
    UniqueFd counter(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!control || !counter) return none("whose memory.oom_control can be opened");
    if (!writeFile(own.get(), "cgroup.event_control", std::to_string(counter.get()) + " " + std::to_string(control.get())))
        return none("that takes the event: this kernel's cgroup.event_control");
    return OpenedWatch{{.form = WatchForm::Counter}, std::move(counter)};
}

std::string_view pressureFile(Resource resource) {
    constexpr std::string_view names[] = {"memory.pressure", "cpu.pressure", "io.pressure"};
    return names[static_cast<std::size_t>(resource)];
}

bool setTrigger(int fd, std::uint64_t stall, std::uint64_t window) {
    const std::string line = "some " + std::to_string(stall) + " " + std::to_string(window);
    return ::write(fd, line.c_str(), line.size() + 1) == static_cast<ssize_t>(line.size() + 1);
}

Result<OpenedWatch> openPressure(const WatchOrder& order, std::string_view cgroups) {
    const WatchRequest& what = order.what;
    const std::string file(pressureFile(what.resource));
    const UniqueFd own = openOwn(order.places.unified, order.places.ownUnified, cgroups, "");
    if (!own)
        return fail(Errc::NotSupported, "pressure: target " + what.target +
                                            " has no cgroup of its own on the unified hierarchy (version 2), where pressure is accounted");
    UniqueFd fd(::openat(own.get(), file.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
    if (!fd && errno == EPERM) return fail(Errc::NotSupported, "pressure: this kernel wants CAP_SYS_RESOURCE, which recap-launcher lacks");
    if (!fd) return fail(Errc::NotSupported, "pressure: this kernel keeps no " + file + " of a cgroup (psi)");
    if (setTrigger(fd.get(), what.stallUsec, what.windowUsec))
        return OpenedWatch{{.form = WatchForm::Trigger, .stallUsec = what.stallUsec, .windowUsec = what.windowUsec}, std::move(fd)};
    const int error = errno;
    const std::uint64_t window = (what.windowUsec + kUnprivilegedWindow - 1) / kUnprivilegedWindow * kUnprivilegedWindow;
    const std::uint64_t stall = what.stallUsec * window / what.windowUsec;
    if (error == EINVAL && window != what.windowUsec && setTrigger(fd.get(), stall, window))
        return OpenedWatch{{.form = WatchForm::Trigger, .stallUsec = stall, .windowUsec = window}, std::move(fd)};
    return fail(Errc::NotSupported, "pressure: " + file + " takes no trigger: " + ::strerrordesc_np(error));
}

}  // namespace

Result<WatchPlaces> WatchPlaces::open(const Procfs& procfs) {
    auto mounts = procfs.readSelf("mountinfo", Procfs::kMaxMountinfo);
    auto own = procfs.readSelf("cgroup", 65536);
    if (!mounts) return forward(std::move(mounts));
    if (!own) return forward(std::move(own));
    const auto parsed = parseMountinfo(*mounts);
    return WatchPlaces{openHierarchy(parsed, ""), openHierarchy(parsed, "memory"), cgroupOn(*own, ""), cgroupOn(*own, "memory")};
}

Result<OpenedWatch> openWatch(const WatchOrder& order) {
    if (order.what.kind == WatchKind::File) return openFile(order);
    auto pid = order.procfs.pidOf(order.target);
    if (!pid) return forward(std::move(pid));
    auto cgroups = order.procfs.read(*pid, "cgroup", 65536);
    if (!cgroups) return forward(std::move(cgroups));
    if (parseCgroup(*cgroups) != order.what.cgroup) return fail(Errc::TargetGone, "the target went to another cgroup");
    auto opened = order.what.kind == WatchKind::Oom ? openOom(order, *cgroups) : openPressure(order, *cgroups);
    if (!alive(order.target)) return fail(Errc::TargetGone, "process " + std::to_string(*pid) + " has ended");
    return opened;
}

}  // namespace recap::launcher
