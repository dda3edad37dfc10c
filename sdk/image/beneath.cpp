// SPDX-License-Identifier: Apache-2.0
#include "sdk/image/beneath.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace recap::image {

UniqueFd openBeneath(int folder, const std::string& path, int flags, unsigned mode) {
    struct open_how how {};
    how.flags = static_cast<unsigned>(flags | O_CLOEXEC);
    how.mode = mode;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
    return UniqueFd(static_cast<int>(::syscall(SYS_openat2, folder, path.empty() ? "." : path.c_str(), &how, sizeof how)));
}

Result<UniqueFd> namelessFile(int folder) {
    UniqueFd file(::openat(folder, ".spool", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file || ::unlinkat(folder, ".spool", 0) != 0) return failErrno("spool");
    return file;
}

}  // namespace recap::image
