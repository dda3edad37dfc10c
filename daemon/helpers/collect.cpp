// SPDX-License-Identifier: Apache-2.0
// recap-collect: the artifacts of a run as a tar stream. Started by recap-launcher with the capsule's uid and gid and without
// capabilities: fd 3 is the artifacts folder, fd 1 takes the tar, fd 2 a sentence a line on what was left out. What is in the
// folder was made by the capsule: only regular files and folders below it are read, no link is followed, no mount crossed.
//
// recap-collect BYTES: at most so many bytes of file contents. Exits with 0; with 3 where the archive is whole, but something
// was left out; with 1 where the archive is not to be used.
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <memory>
#include <vector>

#include "daemon/helpers/jail.hpp"
#include "daemon/launcher/weaken.hpp"
#include "sdk/image/beneath.hpp"
#include "sdk/image/limits.hpp"
#include "sdk/image/names.hpp"
#include "sdk/image/tar_writer.hpp"

namespace {

using namespace recap;

constexpr int kOutput = 1;
constexpr int kNotes = 2;
constexpr int kFolder = 3;
constexpr int kIncomplete = 3;
constexpr std::size_t kMaxEntries = 100'000;
constexpr std::size_t kMaxNotes = 20;
constexpr std::uint32_t kExecutable = 4;  // PROT_EXEC

constexpr std::array kCalls{
    helpers::AllowedCall{SYS_read},
    helpers::AllowedCall{SYS_write},
    helpers::AllowedCall{SYS_openat2},
    helpers::AllowedCall{SYS_close},
    helpers::AllowedCall{SYS_fstat},
    helpers::AllowedCall{SYS_newfstatat},
    helpers::AllowedCall{SYS_getdents64},
    helpers::AllowedCall{SYS_fcntl},
    helpers::AllowedCall{SYS_lseek},
    helpers::AllowedCall{SYS_brk},
    helpers::AllowedCall{SYS_munmap},
    helpers::AllowedCall{SYS_mremap},
    helpers::AllowedCall{SYS_madvise},
    helpers::AllowedCall{SYS_futex},
    helpers::AllowedCall{SYS_getrandom},
    helpers::AllowedCall{SYS_getpid},
    helpers::AllowedCall{SYS_gettid},
    helpers::AllowedCall{SYS_tgkill},
    helpers::AllowedCall{SYS_rt_sigprocmask},
    helpers::AllowedCall{SYS_rt_sigreturn},
    helpers::AllowedCall{SYS_restart_syscall},
    helpers::AllowedCall{SYS_exit},
    helpers::AllowedCall{SYS_exit_group},
    helpers::AllowedCall{SYS_mmap, 2, kExecutable, 0},
    helpers::AllowedCall{SYS_mprotect, 2, kExecutable, 0},
};

struct CloseFolder {
    void operator()(DIR* folder) const { ::closedir(folder); }
};

class Collector {
public:
    explicit Collector(std::uint64_t limit) : tar_(image::fdSink(kOutput)), left_(limit) {}

    // An error is the pipe's: what cannot be read is left out and said.
    Result<bool> run() {
        if (auto done = folder("", 0); !done) return forward(std::move(done));
        if (auto done = tar_.finish(); !done) return forward(std::move(done));
        return complete_;
    }

private:
    void leaveOut(const std::string& path, std::string_view why) {
        complete_ = false;
        if (++notes_ > kMaxNotes) return;
        static_cast<void>(image::writeAll(kNotes, "left out " + image::shown(path) + ": " + std::string(why) + "\n"));
    }

    std::vector<std::string> namesIn(const std::string& path) {
        auto fd = image::openBeneath(kFolder, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        const std::unique_ptr<DIR, CloseFolder> listing(fd ? ::fdopendir(fd.get()) : nullptr);
        std::vector<std::string> names;
        if (!listing) {
            leaveOut(path, ::strerrordesc_np(errno));
            return names;
        }
        fd.release();
        while (const auto* entry = ::readdir(listing.get())) {
            const std::string_view name = entry->d_name;
            if (name == "." || name == "..") continue;
            if (names.size() + entries_ >= kMaxEntries) {
                leaveOut(path, "more than " + std::to_string(kMaxEntries) + " entries");
                break;
            }
            names.emplace_back(name);
        }
        std::sort(names.begin(), names.end());
        return names;
    }

    Result<void> folder(const std::string& path, std::size_t depth) {
        for (const auto& name : namesIn(path)) {
            const auto inner = path.empty() ? name : path + "/" + name;
            const image::Limits limits;  // what a reader of the archive accepts
            if (depth + 1 > limits.depth || inner.size() > limits.path) {
                leaveOut(inner, "the path is too long or too deep");
                continue;
            }
            if (entries_ >= kMaxEntries) {
                leaveOut(inner, "more than " + std::to_string(kMaxEntries) + " entries");
                return {};
            }
            if (auto done = entry(inner, depth); !done) return done;
        }
        return {};
    }

    static UniqueFd openEntry(const std::string& path) {
        if (!launcher::weakened(launcher::Threat::CopyRaces))
            return image::openBeneath(kFolder, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        struct open_how loose {};
        return UniqueFd(static_cast<int>(::syscall(SYS_openat2, kFolder, path.c_str(), &loose, sizeof loose)));
    }

    Result<void> entry(const std::string& path, std::size_t depth) {
        const auto fd = openEntry(path);
        struct stat info {};
        if (!fd || ::fstat(fd.get(), &info) != 0) {
            leaveOut(path, errno == ELOOP ? "a symbolic link" : errno == EXDEV ? "on another mount" : ::strerrordesc_np(errno));
            return {};
        }
        ++entries_;
        image::TarMember member;
        member.path = path;
        member.mode = info.st_mode & 0777;
        member.mtime = info.st_mtime;
        if (S_ISDIR(info.st_mode)) {
            member.kind = image::TarMember::Kind::Directory;
            if (auto begun = tar_.begin(member); !begun) return begun;
            return folder(path, depth + 1);
        }
        if (!S_ISREG(info.st_mode)) {
            leaveOut(path, "neither a regular file nor a folder");
            return {};
        }
        member.size = static_cast<std::uint64_t>(info.st_size);
        if (member.size > left_) {
            leaveOut(path, "with its " + std::to_string(member.size) + " bytes the artifacts are over their size");
            return {};
        }
        left_ -= member.size;
        return content(fd.get(), member);
    }

    Result<void> content(int fd, const image::TarMember& member) {
        if (auto begun = tar_.begin(member); !begun) return begun;
        image::FdSource bytes(fd);
        for (std::uint64_t done = 0; done < member.size;) {
            auto got = bytes.read(buffer_.data(), buffer_.size());
            if (!got || *got == 0) {
                leaveOut(member.path, "it changed while it was read; the rest is zeros");
                break;
            }
            done += *got;
            if (auto put = tar_.data({buffer_.data(), *got}); !put) return put;
        }
        return tar_.end();
    }

    image::TarWriter tar_;
    std::uint64_t left_;
    std::size_t entries_ = 0;
    std::size_t notes_ = 0;
    bool complete_ = true;
    std::vector<char> buffer_ = std::vector<char>(128 * 1024);
};

int refuse(std::string_view sentence) {
    static_cast<void>(image::writeAll(kNotes, "recap-collect: " + std::string(sentence) + "\n"));
    return 1;
}

const char* enterJail() {
    for (const auto resource : {RLIMIT_CORE, RLIMIT_FSIZE}) {
        if (const char* failed = helpers::limitResource(resource, 0)) return failed;
    }
#ifndef __SANITIZE_ADDRESS__
    if (const char* failed = helpers::limitResource(RLIMIT_AS, 256u << 20)) return failed;
#endif
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return "dumpable";
    return helpers::allowOnly(kCalls);
}

int run(int argc, char** argv) {
    std::uint64_t limit = 0;
    const std::string_view text = argc == 2 ? argv[1] : "";
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), limit);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return refuse("usage: recap-collect BYTES");
    if (!helpers::hasNoCapabilities()) return refuse("it was started with capabilities; it reads what a capsule made, and takes none");
    struct stat info {};
    if (::fstat(kFolder, &info) != 0 || !S_ISDIR(info.st_mode)) return refuse("fd 3: no artifacts folder given");
    ::close_range(kFolder + 1, ~0u, 0);
    std::signal(SIGPIPE, SIG_IGN);
    if (const char* failed = enterJail()) return refuse(std::string("could not confine itself: ") + failed);
    auto complete = Collector(limit).run();
    if (!complete) return refuse(complete.error().message);
    return *complete ? 0 : kIncomplete;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        ::_exit(run(argc, argv));
    } catch (const std::exception& error) {
        ::_exit(refuse(error.what()));
    }
}
