// SPDX-License-Identifier: Apache-2.0
// recap-compile-ceiling IN.toml OUT: the administrator's text as the flat file that recap-launcher reads, so that no parser
// of text runs with the launcher's rights: started as root, it only reads IN and writes OUT as that, and a child without any right
// makes the one of the other. Without IN the compiled-in defaults. OUT "-" is standard output. A wrong text leaves OUT as it was:
// everything that is wrong goes to standard error, one a line, and the status is 1.
#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

#include "daemon/helpers/jail.hpp"
#include "daemon/launcher/ceiling.hpp"
#include "sdk/base/unique_fd.hpp"
#include "sdk/manifest/ceiling.hpp"
#include "sdk/manifest/files.hpp"

namespace {

using recap::launcher::Ceiling;
using recap::manifest::CeilingFile;

template <class T>
void set(T& into, const std::optional<T>& value) {
    if (value) into = *value;
}

void set(std::uint64_t& into, const std::optional<std::chrono::microseconds>& value) {
    if (value) into = static_cast<std::uint64_t>(value->count());
}

Ceiling merged(const CeilingFile& file) {
    Ceiling ceiling;
    set(ceiling.namespaces, file.namespaces);
    set(ceiling.hostNamespaces, file.hostNamespaces);
    set(ceiling.processes, file.processes);
    set(ceiling.views, file.views);
    set(ceiling.writes, file.writes);
    set(ceiling.capabilities, file.capabilities);
    set(ceiling.watch, file.watch);
    set(ceiling.freeze, file.freeze);
    set(ceiling.rootUser, file.rootUser);
    if (file.bestEffortLimits)
        ceiling.limits = *file.bestEffortLimits ? recap::launcher::LimitsMode::BestEffort : recap::launcher::LimitsMode::Enforced;
    set(ceiling.maxMemory, file.maxMemory);
    set(ceiling.maxCpuMilli, file.maxCpuMilli);
    set(ceiling.maxPids, file.maxPids);
    set(ceiling.maxScratch, file.maxScratch);
    set(ceiling.maxTimeoutUsec, file.maxTimeout);
    set(ceiling.maxGraceUsec, file.maxGrace);
    set(ceiling.maxArtifacts, file.maxArtifacts);
    set(ceiling.maxLog, file.maxLog);
    set(ceiling.noFile, file.openFiles);
    set(ceiling.maxRuns, file.maxRuns);
    set(ceiling.estateKeepUsec, file.estateKeep);
    set(ceiling.estateMax, file.estateMax);
    return ceiling;
}

constexpr std::size_t kMostBytes = 1 << 20;  // of a compiled ceiling; the launcher takes no more
constexpr uid_t kNobody = 65534;

recap::Result<Ceiling> parse(const std::string& text, const std::string& path) {
    const auto read = recap::manifest::readCeiling(text, path);
    if (!read) return recap::fail(recap::Errc::InvalidArgument, recap::manifest::join(read.diagnostics));
    return merged(*read.value);
}

// For good: another user, no capability.
const char* giveUpRights() {
    if (::geteuid() != 0) return nullptr;
    if (const char* failed = recap::helpers::keepCapabilities(1u << 6 | 1u << 7)) return failed;  // SETGID, SETUID: for the next line
    if (::setgroups(0, nullptr) != 0 || ::setresgid(kNobody, kNobody, kNobody) != 0 || ::setresuid(kNobody, kNobody, kNobody) != 0)
        return "identity";
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return "no_new_privs";
    return recap::helpers::hasNoCapabilities() ? nullptr : "capabilities";
}

// In the child: its status.
int compileInto(int out, const std::string& text, const std::string& path) {
    if (const char* failed = giveUpRights()) {
        std::fprintf(stderr, "recap-compile-ceiling: giving up its rights: %s: %s\n", failed, ::strerrordesc_np(errno));
        return 1;
    }
    const auto ceiling = parse(text, path);
    if (!ceiling) {
        std::fprintf(stderr, "%s\n", ceiling.error().message.c_str());
        return 1;
    }
    const std::string bytes = recap::launcher::encodeCeiling(*ceiling);
    return ::write(out, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()) ? 0 : 1;
}

std::string readAll(int fd) {
    std::string bytes;
    char part[4096];
    for (ssize_t got = 0; bytes.size() <= kMostBytes && (got = ::read(fd, part, sizeof part)) > 0;)
        bytes.append(part, static_cast<std::size_t>(got));
    return bytes;
}

// The compiled ceiling; an error without words has been told already.
recap::Result<std::string> compile(const std::string& path) {
    auto text = recap::manifest::readText(path);
    if (!text && text.error().code == recap::Errc::NotFound) return recap::launcher::encodeCeiling(Ceiling{});
    if (!text) return recap::forward(std::move(text));
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return recap::failErrno("pipe");
    const recap::UniqueFd read(ends[0]);
    recap::UniqueFd write(ends[1]);
    const pid_t child = ::fork();
    if (child < 0) return recap::failErrno("fork");
    if (child == 0) ::_exit(compileInto(write.get(), *text, path));
    write.reset();
    std::string bytes = readAll(read.get());
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    if (!WIFEXITED(status))
        return recap::fail(recap::Errc::Internal, path + ": its compiler was ended by signal " + std::to_string(WTERMSIG(status)));
    if (WEXITSTATUS(status) != 0) return recap::fail(recap::Errc::InvalidArgument, {});
    if (auto valid = recap::launcher::decodeCeiling(bytes); !valid) return recap::forward(std::move(valid), path);
    return bytes;
}

recap::Result<void> store(const std::string& bytes, const std::string& path) {
    if (path != "-") return recap::manifest::writeText(path, bytes, 0644);
    const bool written = std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size() && std::fflush(stdout) == 0;
    return written ? recap::Result<void>{} : recap::failErrno("write to standard output");
}

int complain(const recap::Error& error) {
    if (!error.message.empty()) std::fprintf(stderr, "%s\n", error.message.c_str());
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 2 && std::string_view(argv[1]) == "--version") return std::puts("recap-compile-ceiling " RECAP_VERSION) < 0;
    if (argc != 3) {
        std::fputs("usage: recap-compile-ceiling IN.toml OUT|-\n", stderr);
        return 2;
    }
    const auto ceiling = compile(argv[1]);
    if (!ceiling) return complain(ceiling.error());
    if (const auto stored = store(*ceiling, argv[2]); !stored) return complain(stored.error());
    return 0;
}
