// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/roots.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/kernel.hpp"
#include "daemon/launcher/weaken.hpp"

namespace recap::launcher {

namespace {

constexpr const char* kAside = "/.recap";
constexpr unsigned kNodesPerMegabyte = 256;
constexpr std::uint64_t kScaffoldSize = 64 << 10;

UniqueFd makeUpper(std::uint64_t scratch) {
    UniqueFd upper(makeTmpfs(scratch, "755", 0, 0));
    if (upper && (::mkdirat(upper.get(), "upper", 0755) != 0 || ::mkdirat(upper.get(), "work", 0700) != 0)) upper.reset();
    return upper;
}

// As far as the image lets them be made: what is in the way is found, and told, when it is mounted on.
void makeMountpoints(int root, const std::vector<std::string>& mountpoints) {
    for (const auto& path : mountpoints) UniqueFd(openMountpoint(root, path));
    if (std::ranges::find(mountpoints, std::string(kAside) + "/proc") == mountpoints.end()) return;
    const UniqueFd aside(openMountpoint(root, kAside));
    for (const char* name : kSelfLinks)
        static_cast<void>(::symlinkat((std::string(kAside) + "/proc/" + name).c_str(), aside.get(), name) + 1);
}

UniqueFd mountOverlay(int lowest, std::span<const UniqueFd> layers, const UniqueFd& upper) {
    UniqueFd upperDir(::openat(upper.get(), "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    UniqueFd workDir(::openat(upper.get(), "work", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    UniqueFd context(::fsopen("overlay", FSOPEN_CLOEXEC));
    if (!upperDir || !workDir || !context) return {};
    const int fd = context.get();
    for (std::size_t i = layers.size(); i-- > 0;)  // overlay wants the uppermost first
        if (kernel::setFd(fd, "lowerdir+", layers[i].get()) != 0) return {};
    if (lowest >= 0 && kernel::setFd(fd, "lowerdir+", lowest) != 0) return {};
    if (kernel::setFd(fd, "upperdir", upperDir.get()) != 0 || kernel::setFd(fd, "workdir", workDir.get()) != 0) return {};
    if (kernel::setFlag(fd, "userxattr") != 0 || kernel::setFlag(fd, "volatile") != 0) return {};
    if (kernel::setKey(fd, "xino", "off") != 0 || kernel::setKey(fd, "index", "off") != 0) return {};
    return UniqueFd(kernel::createMount(fd, weakened(Threat::OverlayTricks) ? 0 : MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
}

}  // namespace

// What the scaffold could not give them, an image's layer has taken away: it is made anew, above it.
UniqueFd Roots::makeKind(const RootKind& kind, std::span<const UniqueFd> layers) {
    const UniqueFd upper = makeUpper(kind.scratch);
    if (!upper) return {};
    UniqueFd root =
        workshop_ != nullptr ? workshop_->mountOverlay(layers, upper.get()) : mountOverlay(scaffoldOf(kind.mountpoints), layers, upper);
    if (root) makeMountpoints(root.get(), kind.mountpoints);
    return root;
}

int Roots::scaffoldOf(const std::vector<std::string>& mountpoints) {
    const auto found = std::ranges::find(scaffolds_, mountpoints, &Scaffold::mountpoints);
    if (found != scaffolds_.end()) return found->mount.get();
    if (scaffolds_.size() >= kMost) scaffolds_.pop_front();
    scaffolds_.push_back({mountpoints, UniqueFd(makeTmpfs(kScaffoldSize, "755", 0, 0))});
    if (scaffolds_.back().mount) makeMountpoints(scaffolds_.back().mount.get(), mountpoints);
    return scaffolds_.back().mount.get();
}

int makeTmpfs(std::uint64_t size, const char* mode, std::uint32_t uid, std::uint32_t gid) {
    UniqueFd context(::fsopen("tmpfs", FSOPEN_CLOEXEC));
    if (!context) return -1;
    if (weakened(Threat::Exhaustion)) size *= 16;
    const std::uint64_t nodes = std::max<std::uint64_t>(1024, (size >> 20) * kNodesPerMegabyte);
    const int fd = context.get();
    if (kernel::setKey(fd, "size", std::to_string(size).c_str()) != 0 ||
        kernel::setKey(fd, "nr_inodes", std::to_string(nodes).c_str()) != 0 || kernel::setKey(fd, "mode", mode) != 0 ||
        kernel::setKey(fd, "uid", std::to_string(uid).c_str()) != 0 || kernel::setKey(fd, "gid", std::to_string(gid).c_str()) != 0)
        return -1;
    return kernel::createMount(fd, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
}

std::vector<std::string> mountpointsOf(const Plan& plan) {
    std::vector<std::string> paths{"/proc", "/dev"};
    if (plan.processes == Processes::Observe) paths.push_back(std::string(kAside) + "/proc");
    if (plan.view != View::None) paths.emplace_back(targetAt(plan));
    if (!plan.artifacts.empty()) paths.push_back(plan.artifacts);
    return paths;
}

int openMountpoint(int root, const std::string& path) {
    const int whole = kernel::openat2(root, path.c_str() + 1, O_PATH | O_DIRECTORY, beneath());
    if (whole >= 0 || errno != ENOENT) return whole;
    UniqueFd at(::openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
    for (std::size_t begin = 1; at && begin < path.size();) {
        const auto end = std::min(path.find('/', begin), path.size());
        const std::string part = path.substr(begin, end - begin);
        if (::mkdirat(at.get(), part.c_str(), 0755) != 0 && errno != EEXIST) return -1;
        at.reset(kernel::openat2(at.get(), part.c_str(), O_PATH | O_DIRECTORY, beneath()));
        begin = end + 1;
    }
    return at.release();
}

std::optional<Roots::Next> Roots::kindOf(const Plan& plan, std::span<const UniqueFd> layers) {
    Next next{{{}, plan.limits.scratch, mountpointsOf(plan)}, {}};
    for (const auto& layer : layers) {
        struct stat info {};
        if (::fstat(layer.get(), &info) != 0) return std::nullopt;
        next.kind.layers.emplace_back(info.st_dev, info.st_ino);
        next.layers.emplace_back(::fcntl(layer.get(), F_DUPFD_CLOEXEC, 3));
    }
    return next;
}

UniqueFd Roots::take(const Plan& plan, std::span<const UniqueFd> layers) {
    auto next = kindOf(plan, layers);
    if (!next) return {};
    const auto found = std::ranges::find(ready_, next->kind, &Ready::kind);
    UniqueFd root;
    if (found != ready_.end()) {
        root = std::move(found->root);
        ready_.erase(found);
    } else {
        root = makeKind(next->kind, layers);
    }
    if (root) next_ = std::move(*next);
    return root;
}

void Roots::makeAhead(const Plan& plan, std::span<const UniqueFd> layers) {
    if (auto next = kindOf(plan, layers)) next_ = std::move(*next);
    if (lacksNext()) makeNext();
}

void Roots::makeNext() {
    const Next next = std::move(next_);
    next_ = {};
    UniqueFd root = makeKind(next.kind, next.layers);
    if (!root) return;  // the run that needs it tries again, and says why
    if (ready_.size() >= kMost) ready_.pop_front();
    ready_.push_back({next.kind, std::move(root)});
}

}  // namespace recap::launcher
