// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/daemon/helpers/unpack/unpack_run.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>

#include "tests/support/environment.hpp"

namespace recap::test {
namespace fs = std::filesystem;
namespace {

Outside neighbours(const fs::path& folder) { return Outside({.contents = {folder / "host", folder / "store/layers"}}); }

}  // namespace

UnpackRun::UnpackRun() {
    fs::create_directories(staging());
    fs::create_directories(folder() / "host/etc");
    fs::create_directories(folder() / "store/layers");
    fs::permissions(staging(), fs::perms::owner_all);
    writeFile(folder() / "host/etc/shadow", "secret");
    before_ = neighbours(folder()).look();
}

pid_t UnpackRun::start(int input) {
    int pipe[2];
    if (::pipe2(pipe, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
    errors_.reset(pipe[0]);
    const UniqueFd writeEnd(pipe[1]);
    const UniqueFd target(::open(staging().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const auto program = (binDir() / "recap-unpack").string();
    pid_ = ::fork();
    if (pid_ != 0) return pid_;
    const int from[] = {::fcntl(input, F_DUPFD, 10), ::fcntl(writeEnd.get(), F_DUPFD, 10), ::fcntl(target.get(), F_DUPFD, 10)};
    const int null = ::open("/dev/null", O_RDWR);
    if (::dup2(from[0], 0) < 0 || ::dup2(null, 1) < 0 || ::dup2(from[1], 2) < 0 || ::dup2(from[2], 3) < 0) ::_exit(125);
    ::close_range(4, ~0u, 0);
    ::execl(program.c_str(), "recap-unpack", nullptr);
    ::_exit(126);
}

Unpacked UnpackRun::finish() {
    Unpacked result;
    char buffer[4096];
    for (ssize_t got; (got = ::read(errors_.get(), buffer, sizeof buffer)) > 0;)
        result.sentence.append(buffer, static_cast<std::size_t>(got));
    int status = 0;
    ::waitpid(pid_, &status, 0);
    result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return result;
}

Unpacked UnpackRun::archive(const std::string& bytes) {
    writeFile(folder() / "image.tar", bytes);
    const UniqueFd fd(::open((folder() / "image.tar").c_str(), O_RDONLY | O_CLOEXEC));
    start(fd.get());
    return finish();
}

Unpacked UnpackRun::layout(const RawImage& image) {
    writeRawImage(image, folder() / "layout");
    return archive(rawArchive(folder() / "layout"));
}

std::vector<std::string> UnpackRun::outsideChanges() const { return differences(before_, neighbours(folder()).look()); }

}  // namespace recap::test
