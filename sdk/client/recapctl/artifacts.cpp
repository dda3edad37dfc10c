// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/artifacts.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>

#include "sdk/client/recapctl/cli.hpp"
#include "sdk/client/recapctl/exit_status.hpp"
#include "sdk/client/recapctl/text.hpp"

namespace recapctl {

using namespace recap;
using client::Dict;
using client::Rows;

namespace {

UniqueFd openBeneath(int folder, const std::string& name, int flags, unsigned mode) {
    open_how how{};
    how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
    how.mode = mode;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    return UniqueFd(static_cast<int>(::syscall(SYS_openat2, folder, name.c_str(), &how, sizeof how)));
}

Result<void> makeFolders(int folder, const std::string& name) {
    for (auto slash = name.find('/'); slash != std::string::npos; slash = name.find('/', slash + 1)) {
        const std::string part = name.substr(0, slash);
        if (openBeneath(folder, part, O_PATH | O_DIRECTORY, 0)) continue;
        const auto last = part.rfind('/');
        UniqueFd above = last == std::string::npos ? openBeneath(folder, ".", O_PATH | O_DIRECTORY, 0)
                                                   : openBeneath(folder, part.substr(0, last), O_PATH | O_DIRECTORY, 0);
        const std::string leaf = last == std::string::npos ? part : part.substr(last + 1);
        if (!above || ::mkdirat(above.get(), leaf.c_str(), 0777) != 0) return failErrno("folder " + part);
    }
    return {};
}

bool isPlain(const std::string& name) {
    if (name.empty() || name.starts_with('/') || name.ends_with('/')) return false;
    for (const auto& part : std::filesystem::path(name))
        if (part == ".." || part == "." || part.empty()) return false;
    return true;
}

Result<std::uint64_t> copy(int from, int to) {
    char buffer[65536];
    std::uint64_t total = 0;
    for (;;) {
        const ssize_t size = ::read(from, buffer, sizeof buffer);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) return failErrno("reading");
        if (size == 0) return total;
        if (!writeAll(to, {buffer, static_cast<std::size_t>(size)})) return failErrno("writing");
        total += static_cast<std::uint64_t>(size);
    }
}

Result<void> fetchOne(client::Client& client, const std::string& run, int folder, const Dict& row) {
    const std::string name(row.text("name"));
    const auto mode = static_cast<unsigned>(row.number("mode"));
    auto from = client.openArtifact(run, name);
    if (!from) return forward(std::move(from));
    auto to = createBeneath(folder, name, row.has("mode") ? mode & 0777U : 0666U);
    if (!to) return forward(std::move(to));
    auto copied = copy(from->get(), to->get());
    if (!copied) return forward(std::move(copied), name);
    const auto size = static_cast<std::uint64_t>(row.number("size"));
    if (*copied != size) return fail(Errc::Io, name + ": " + std::to_string(*copied) + " of " + std::to_string(size) + " bytes came");
    return {};
}

struct Options {
    std::string run;
    std::string output;
};

int listOrFetch(const Style& style, const Options& options) {
    return withClient(style, [&](client::Client& client) {
        auto rows = options.output.empty() ? client.artifacts(options.run) : fetchArtifacts(client, options.run, options.output);
        if (!rows) return complain(rows.error(), style);
        const std::vector<Column> columns{text("NAME", "name"),
                                          {"SIZE", [](const Dict& row) { return bytes(static_cast<std::uint64_t>(row.number("size"))); }}};
        return printRows(columns, *rows, "artifacts", style);
    });
}

}  // namespace

Result<UniqueFd> createBeneath(int folder, const std::string& name, unsigned mode) {
    if (!isPlain(name)) return fail(Errc::InvalidArgument, "artifact '" + name + "' has a name that leads elsewhere: not written");
    if (auto made = makeFolders(folder, name); !made) return forward(std::move(made));
    UniqueFd file = openBeneath(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode | 0200U);
    if (!file) return failErrno(name);
    return file;
}

Result<Rows> fetchArtifacts(client::Client& client, const std::string& run, const std::string& folder) {
    auto rows = client.artifacts(run);
    if (!rows) return rows;
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    UniqueFd directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory) return failErrno("folder " + folder);
    for (const auto& row : *rows)
        if (auto fetched = fetchOne(client, run, directory.get(), row); !fetched) return forward(std::move(fetched), "artifact");
    return rows;
}

void addArtifacts(Cli& cli) {
    auto options = std::make_shared<Options>();
    cli.top
        .verb("artifacts", "List the files that a run left for its caller, or copy them",
              [&cli, options] { return listOrFetch(cli.style, *options); })
        .operand("RUN", options->run, "The run's id")
        .option("-o,--output", options->output, "Copy them below this folder");
}

}  // namespace recapctl
