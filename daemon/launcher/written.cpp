// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/written.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>

#include "daemon/launcher/roots.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::launcher {

namespace {

struct Close {
    void operator()(DIR* dir) const { ::closedir(dir); }
};

class Walk {
public:
    explicit Walk(const Plan& plan) : ours_(mountpointsOf(plan)) { ours_.emplace_back("/.recap"); }

    // Whether anything in it is listed or left to be.
    bool folder(int dir, const std::string& path, unsigned depth) {
        if (depth > kMostWrittenDepth) return full_ = true;
        std::unique_ptr<DIR, Close> entries(::fdopendir(dir));
        if (!entries) {
            ::close(dir);
            return false;
        }
        bool any = false;
        for (const dirent* entry = ::readdir(entries.get()); entry != nullptr && !full_; entry = ::readdir(entries.get())) {
            const std::string_view name = entry->d_name;
            if (name == "." || name == "..") continue;
            if (++seen_ > kMostWrittenSeen) return full_ = true;
            any = one(::dirfd(entries.get()), entry->d_name, path + "/" + std::string(name), depth) || any;
        }
        return any;
    }
    std::vector<std::string> list() {
        std::ranges::sort(list_, {}, [](const std::string& line) { return std::string_view(line).substr(2); });
        if (full_) list_.emplace_back("...");
        return std::move(list_);
    }

private:
    bool one(int dir, const char* name, const std::string& path, unsigned depth) {
        struct stat info {};
        if (std::ranges::find(ours_, path) != ours_.end()) return true;
        if (::fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return false;
        if (S_ISCHR(info.st_mode) && info.st_rdev == 0) return say("D ", path);
        if (!S_ISDIR(info.st_mode)) return say("C ", path);
        const int below = ::openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return (below >= 0 && folder(below, path, depth + 1)) || say("C ", path);
    }
    bool say(const char* what, const std::string& path) {
        bytes_ += path.size() + 6;
        if (list_.size() >= kMostWritten || bytes_ > kMostWrittenBytes) return full_ = true;
        list_.push_back(what + path);
        return true;
    }

    std::vector<std::string> ours_;
    std::vector<std::string> list_;
    std::size_t seen_ = 0;
    std::size_t bytes_ = 0;
    bool full_ = false;
};

}  // namespace

std::vector<std::string> whatIsWritten(int upper, const Plan& plan) {
    const int top = ::openat(upper, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (top < 0) return {};
    Walk walk(plan);
    walk.folder(top, "", 0);
    return walk.list();
}

}  // namespace recap::launcher
