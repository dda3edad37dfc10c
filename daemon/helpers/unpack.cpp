// SPDX-License-Identifier: Apache-2.0
// recap-unpack: an OCI image, which a stranger made, into unpacked layers. Started by recap-launcher as root: fd 0 is the
// archive (a file or a pipe) or the folder of an OCI layout, fd 2 takes one sentence if it fails, fd 3 is the empty staging
// folder. It jails itself before it reads a byte: what an archive could make of it reaches the staging folder and nothing else.
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <new>

#include "daemon/helpers/jail.hpp"
#include "daemon/helpers/unpack_output.hpp"
#include "sdk/image/archive.hpp"
#include "sdk/image/digest.hpp"
#include "sdk/image/import.hpp"
#include "sdk/image/stream.hpp"

namespace {

using namespace recap;

constexpr int kInput = 0;
constexpr int kErrors = 2;
constexpr int kStaging = 3;

constexpr std::uint64_t bit(int capability) { return std::uint64_t{1} << capability; }
constexpr std::uint64_t kKept = bit(CAP_CHOWN) | bit(CAP_FOWNER) | bit(CAP_DAC_OVERRIDE) | bit(CAP_FSETID);

constexpr std::uint32_t kExecutable = 4;  // PROT_EXEC

constexpr std::array kCalls{
    helpers::AllowedCall{SYS_read},
    helpers::AllowedCall{SYS_pread64},
    helpers::AllowedCall{SYS_write},
    helpers::AllowedCall{SYS_pwrite64},
    helpers::AllowedCall{SYS_lseek},
    helpers::AllowedCall{SYS_close},
    helpers::AllowedCall{SYS_openat},
    helpers::AllowedCall{SYS_openat2},
    helpers::AllowedCall{SYS_fstat},
    helpers::AllowedCall{SYS_newfstatat},
    helpers::AllowedCall{SYS_fcntl},
    helpers::AllowedCall{SYS_ftruncate},
    helpers::AllowedCall{SYS_mkdirat},
    helpers::AllowedCall{SYS_symlinkat},
    helpers::AllowedCall{SYS_linkat},
    helpers::AllowedCall{SYS_unlinkat},
    helpers::AllowedCall{SYS_fchown},
    helpers::AllowedCall{SYS_fchownat},
    helpers::AllowedCall{SYS_fchmod},
    helpers::AllowedCall{SYS_utimensat},
    helpers::AllowedCall{SYS_fsetxattr},

    helpers::AllowedCall{SYS_brk},
    helpers::AllowedCall{SYS_munmap},
    helpers::AllowedCall{SYS_mremap},
    helpers::AllowedCall{SYS_madvise},
    helpers::AllowedCall{SYS_futex},
    helpers::AllowedCall{SYS_getrandom},
    helpers::AllowedCall{SYS_clock_gettime},
    helpers::AllowedCall{SYS_getpid},
    helpers::AllowedCall{SYS_gettid},
    helpers::AllowedCall{SYS_tgkill},
    helpers::AllowedCall{SYS_rt_sigaction},
    helpers::AllowedCall{SYS_rt_sigprocmask},
    helpers::AllowedCall{SYS_rt_sigreturn},
    helpers::AllowedCall{SYS_restart_syscall},
    helpers::AllowedCall{SYS_exit},
    helpers::AllowedCall{SYS_exit_group},
    helpers::AllowedCall{SYS_mmap, 2, kExecutable, 0},
    helpers::AllowedCall{SYS_mprotect, 2, kExecutable, 0},
    helpers::AllowedCall{SYS_mknodat, 2, S_IFMT, S_IFCHR},  // whiteouts; other devices need CAP_MKNOD
};

// The staging folder as a detached mount of its own: ".." ends at it, and nothing is mounted below it. Taken before the
// mount namespace changes, since the kernel clones only what is mounted in the caller's.
int detachedStaging() {
    const auto tree = static_cast<int>(::syscall(SYS_open_tree, kStaging, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));
    struct mount_attr attr {};
    attr.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    if (tree >= 0 && ::syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr) != 0) return -1;
    return tree;
}

const char* confineFiles() {
    const int root = detachedStaging();
    if (root < 0) return "staging folder";
    if (::unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) != 0) return "namespaces";
    if (::fchdir(root) != 0 || ::chroot(".") != 0 || ::chdir("/") != 0) return "chroot";
    const int staging = ::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (staging < 0 || ::dup3(staging, kStaging, O_CLOEXEC) < 0) return "staging folder";
    ::close(staging);
    return nullptr;
}

const char* limitResources(const image::Limits& limits) {
    constexpr std::uint64_t kOpenFiles = 1024;
    constexpr std::uint64_t kCpuSeconds = 900;
    for (const auto& [resource, value] : {std::pair{RLIMIT_CORE, std::uint64_t{0}},
                                          {RLIMIT_NPROC, std::uint64_t{1}},
                                          {RLIMIT_NOFILE, kOpenFiles},
                                          {RLIMIT_FSIZE, limits.archiveBytes},
#ifndef __SANITIZE_ADDRESS__
                                          {RLIMIT_AS, std::uint64_t{1} << 30},
#endif
                                          {RLIMIT_CPU, kCpuSeconds}}) {
        if (const char* failed = helpers::limitResource(resource, value)) return failed;
    }
    return nullptr;
}

// The order matters: what needs a capability comes before they go, the filter last.
const char* enterJail(const image::Limits& limits) {
    ::umask(0);
    // first: with no more capabilities than a container's root it would be traceable by one
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return "dumpable";
    if (const char* failed = confineFiles()) return failed;
    if (const char* failed = limitResources(limits)) return failed;
    if (const char* failed = helpers::keepCapabilities(kKept)) return failed;
    return helpers::allowOnly(kCalls);
}

using SourceResult = Result<std::unique_ptr<image::Source>>;

Result<void> unpack(std::unique_ptr<image::Source> folder, const image::Limits& limits) {
    auto source = folder ? SourceResult(std::move(folder)) : image::openArchive(kInput, kStaging, limits);
    if (!source) return forward(std::move(source));
    auto imported = image::importImage(**source, kStaging, image::hostArchitecture(), limits);
    if (!imported) return forward(std::move(imported));
    return helpers::writeOutput(kStaging, *imported);
}

int refuse(std::string_view sentence) {
    const auto ignored = image::writeAll(kErrors, sentence);
    return ignored ? 1 : 2;
}

int run() {
    struct stat input {};
    struct stat staging {};
    if (::fstat(kInput, &input) != 0) return refuse("fd 0: no archive or layout folder given");
    if (::fstat(kStaging, &staging) != 0 || !S_ISDIR(staging.st_mode)) return refuse("fd 3: no staging folder given");
    if (!S_ISDIR(input.st_mode) && !S_ISREG(input.st_mode) && !S_ISFIFO(input.st_mode)) {
        return refuse("the image has to be a regular file, a pipe, or the folder of an OCI layout");
    }
    ::close_range(kStaging + 1, ~0u, 0);
    image::prepareArchives();
    static_cast<void>(image::sha256(""));  // libcrypto sets itself up while it still may
    SourceResult folder;
    if (S_ISDIR(input.st_mode)) {  // its files are opened, none is read; then the folder itself goes
        if (folder = image::openFolder(kInput); !folder) return refuse(folder.error().message);
        ::close(kInput);
    }
    const image::Limits limits;
    if (const char* failed = enterJail(limits)) {
        return refuse("could not confine recap-unpack: " + std::string(failed) + ": " + ::strerrordesc_np(errno));
    }
    auto done = unpack(std::move(*folder), limits);
    return done ? 0 : refuse(done.error().message);
}

}  // namespace

int main() {
    try {
        ::_exit(run());
    } catch (const std::bad_alloc&) {
        ::_exit(refuse("the image needs more memory to unpack than recap-unpack may use"));
    } catch (const std::exception& error) {
        ::_exit(refuse(error.what()));
    }
}
