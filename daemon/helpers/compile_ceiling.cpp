// SPDX-License-Identifier: Apache-2.0
// recap-compile-ceiling IN.toml OUT: the administrator's text as the flat file that recap-launcher reads, so that no parser
// of text runs with the launcher's rights. Without IN the compiled-in defaults. OUT "-" is standard output. A wrong text
// leaves OUT as it was: everything that is wrong goes to standard error, one a line, and the status is 1.
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>

#include "daemon/launcher/ceiling.hpp"
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
    set(ceiling.processes, file.processes);
    set(ceiling.views, file.views);
    set(ceiling.writes, file.writes);
    set(ceiling.capabilities, file.capabilities);
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

recap::Result<Ceiling> compile(const std::string& path) {
    auto text = recap::manifest::readText(path);
    if (!text && text.error().code == recap::Errc::NotFound) return Ceiling{};
    if (!text) return recap::forward(std::move(text));
    const auto read = recap::manifest::readCeiling(*text, path);
    if (!read) return recap::fail(recap::Errc::InvalidArgument, recap::manifest::join(read.diagnostics));
    return merged(*read.value);
}

recap::Result<void> store(const std::string& bytes, const std::string& path) {
    if (path != "-") return recap::manifest::writeText(path, bytes, 0644);
    const bool written = std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size() && std::fflush(stdout) == 0;
    return written ? recap::Result<void>{} : recap::failErrno("write to standard output");
}

int complain(const recap::Error& error) {
    std::fprintf(stderr, "%s\n", error.message.c_str());
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
    if (const auto stored = store(recap::launcher::encodeCeiling(*ceiling), argv[2]); !stored) return complain(stored.error());
    return 0;
}
