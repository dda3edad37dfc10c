// SPDX-License-Identifier: Apache-2.0
#include "sdk/tools/process.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sdk/base/unique_fd.hpp"
#include "sdk/image/stream.hpp"

namespace recap::tools {
namespace {

constexpr std::size_t kMaxOutput = 64u << 20;

std::vector<std::string> environment() {
    std::vector<std::string> all{"LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"};
    for (char** entry = environ; *entry; ++entry) {
        const std::string_view text = *entry;
        if (!text.starts_with("LC_ALL=") && !text.starts_with("LANGUAGE=") && !text.starts_with("DEBIAN_FRONTEND=")) all.emplace_back(text);
    }
    return all;
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
    std::vector<char*> all;
    for (const auto& string : strings) all.push_back(const_cast<char*>(string.c_str()));  // posix_spawn's old signature
    all.push_back(nullptr);
    return all;
}

// What a program complained about, without what it only told.
std::string complaintOf(int errors) {
    ::lseek(errors, 0, SEEK_SET);
    auto text = image::readAll(errors, 1u << 20).value_or(std::string());
    if (const auto at = text.find("E: "); at != text.npos) text = text.substr(at);
    while (text.ends_with('\n')) text.pop_back();
    constexpr std::size_t kShown = 600;
    return text.size() > kShown ? text.substr(0, kShown) + "…" : text;
}

Result<pid_t> spawn(const std::vector<std::string>& argv, int output, int errors) {
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions, output, 1);
    ::posix_spawn_file_actions_adddup2(&actions, errors, 2);
    const auto env = environment();
    pid_t pid = -1;
    const int error = ::posix_spawnp(&pid, argv.front().c_str(), &actions, nullptr, pointers(argv).data(), pointers(env).data());
    ::posix_spawn_file_actions_destroy(&actions);
    if (error == ENOENT) return fail(Errc::NotFound, argv.front() + ": not installed here");
    if (error != 0) return failErrno(argv.front(), error);
    return pid;
}

}  // namespace

Result<void> runProgram(const std::vector<std::string>& argv, const std::function<Result<void>(int)>& take) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return failErrno("pipe");
    UniqueFd reader(ends[0]);
    UniqueFd writer(ends[1]);
    const UniqueFd errors(::memfd_create("errors", MFD_CLOEXEC));
    if (!errors) return failErrno("memfd");
    auto pid = spawn(argv, writer.get(), errors.get());
    if (!pid) return forward(std::move(pid));
    writer.reset();
    auto taken = take(reader.get());
    reader.reset();
    int status = 0;
    while (::waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (!taken) return taken;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
    const auto how = WIFSIGNALED(status) ? "was ended by signal " + std::to_string(WTERMSIG(status))
                                         : "exited with " + std::to_string(WEXITSTATUS(status));
    const auto complaint = complaintOf(errors.get());
    return fail(Errc::Io, argv.front() + " " + how + (complaint.empty() ? "" : ": " + complaint));
}

Result<std::string> outputOf(const std::vector<std::string>& argv) {
    std::string text;
    auto done = runProgram(argv, [&](int fd) -> Result<void> {
        auto all = image::readAll(fd, kMaxOutput);
        if (!all) return forward(std::move(all));
        text = std::move(*all);
        return {};
    });
    if (!done) return forward(std::move(done));
    return text;
}

}  // namespace recap::tools
