// SPDX-License-Identifier: Apache-2.0
// image import|list|remove|scan. An import ends in "imported"; that an image may run is root's word, said to the launcher
// by recap-admit and never through recapd. For root, import says it too.
#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "sdk/client/recapctl/cli.hpp"
#include "sdk/client/recapctl/exit_status.hpp"
#include "sdk/client/recapctl/progress.hpp"
#include "sdk/client/recapctl/text.hpp"

namespace recapctl {

using namespace recap;
using client::Dict;
using client::Rows;

namespace {

struct Options {
    std::string source;
    std::string image;
    std::string admitProgram;
    std::string admitSocket;
    std::string reference;
    std::string backend;
    bool noAdmit = false;
};

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

// Named, beside this program (a build tree), or where it is installed.
std::string admitProgram(const Options& options) {
    if (!options.admitProgram.empty()) return options.admitProgram;
    if (auto named = environment("RECAP_ADMIT"); !named.empty()) return named;
    char self[4096];
    const ssize_t size = ::readlink("/proc/self/exe", self, sizeof self);
    std::string folder(self, size > 0 ? static_cast<std::size_t>(size) : 0);
    folder.resize(folder.rfind('/') == std::string::npos ? 0 : folder.rfind('/'));
    for (const char* relative : {"/recap-admit", "/../libexec/recap/recap-admit"})
        if (::access((folder + relative).c_str(), X_OK) == 0) return folder + relative;
    return RECAP_LIBEXEC "/recap-admit";
}

Result<void> admit(const Options& options, const std::string& digest) {
    const std::string program = admitProgram(options);
    std::string socket = options.admitSocket.empty() ? environment("RECAP_ADMIT_SOCKET") : options.admitSocket;
    std::vector<std::string> words{program};
    if (!socket.empty()) words.insert(words.end(), {"--socket", socket});
    words.push_back(digest);
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);  // results are ours to print
    pid_t pid = -1;
    const int r = ::posix_spawn(&pid, program.c_str(), &actions, nullptr, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (r != 0) return failErrno(program, r);
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return failErrno("waiting for " + program);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
    return fail(Errc::NotAdmitted, "image " + digest + " is imported, but " + program + " did not admit it");
}

// The path that a file's scheme has in front of it; empty: it has none.
std::string pathOf(const std::string& source) {
    for (const std::string_view scheme : {"oci:", "oci-archive:", "docker-archive:"})
        if (source.starts_with(scheme)) return source.substr(scheme.size());
    return "";
}

// SCHEME:NAME, with a word that a backend may have: never a file, or whoever may put one of that name into the folder that root
// works in would have it admitted. "./SCHEME:NAME" is a file, as "oci-archive:SCHEME:NAME" is.
bool namesABackend(const std::string& source) {
    const auto colon = source.find(':');
    return colon != std::string::npos && colon > 0 && source.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == colon;
}

// What is a file here is opened here, and handed over by descriptor; "docker-daemon:NAME" and the like are recapd's to resolve.
Result<std::string> import(client::Client& client, const Options& options) {
    const std::string path = pathOf(options.source);
    const std::string& source = path.empty() ? options.source : path;
    Dict asked;
    if (!options.reference.empty()) asked.set("reference", options.reference);
    if (path.empty() && namesABackend(source)) {
        if (!options.backend.empty()) asked.set("backend", options.backend);
        const Progress progress("importing " + source, -1, STDERR_FILENO);
        return client.importImageFrom(source, asked);
    }
    const UniqueFd archive(::open(source.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    if (!archive) return failErrno(source);
    if (!options.backend.empty())
        return fail(Errc::InvalidArgument, source + ": a file has no backend; --backend is for an engine's images");
    struct stat about {};
    if (::fstat(archive.get(), &about) != 0) return failErrno(source);
    if (!S_ISREG(about.st_mode) && !S_ISDIR(about.st_mode))
        return fail(Errc::InvalidArgument, source + ": neither an archive nor a folder with an OCI layout");
    auto digest = [&] {
        const Progress progress("importing " + source, S_ISREG(about.st_mode) ? archive.get() : -1, STDERR_FILENO);
        return client.importImage(archive.get(), asked);
    }();
    if (!digest && digest.error().code == Errc::InvalidArgument) return forward(std::move(digest), source);  // its own fault
    return digest;
}

int importAndAdmit(const Style& style, const Options& options) {
    return withClient(style, [&](client::Client& client) {
        auto digest = import(client, options);
        if (!digest) return complain(digest.error(), style);
        const bool admitting = !options.noAdmit && ::geteuid() == 0;
        if (admitting)
            if (auto admitted = admit(options, *digest); !admitted) return complain(admitted.error(), style);
        if (style.json) return printJson(Dict{{"digest", *digest}, {"state", admitting ? "admitted" : "imported"}});
        if (!admitting) note("imported; it may run once root has admitted it: recap-admit " + *digest);
        return print(*digest + "\n");
    });
}

int listAll(const Style& style) {
    return withClient(style, [&](client::Client& client) {
        return unlessFailed<Rows>(style, client.images(), [&](Rows& rows) {
            const Column digest{"DIGEST", [](const Dict& row) { return std::string(row.text("digest").substr(0, 12)); }};
            const Column size{"SIZE", [](const Dict& row) { return bytes(static_cast<std::uint64_t>(row.number("size"))); }};
            return printRows({digest, list("REFERENCES", "references"), text("STATE", "state"), text("ARCHITECTURE", "architecture"), size,
                              text("IMPORTED", "imported")},
                             rows, "images", style);
        });
    });
}

using Change = Result<void> (client::Client::*)(const std::string&);

void addChange(Cli& cli, Verb& group, const char* name, const char* description, Change change) {
    auto options = std::make_shared<Options>();
    const auto act = [&cli, options, change] {
        return withClient(cli.style, [&](client::Client& client) { return done(cli.style, (client.*change)(options->image)); });
    };
    group.verb(name, description, act).operand("IMAGE", options->image, "A reference, or at least 12 digits of its digest");
}

}  // namespace

void addImages(Cli& cli) {
    Verb& group = cli.top.verb("image", "Import, list, remove or scan images");
    auto options = std::make_shared<Options>();
    group
        .verb("import", "Import an image, and for root admit it, so that it may run",
              [&cli, options] { return importAndAdmit(cli.style, *options); })
        .operand(
            "SOURCE", options->source,
            "An OCI layout's folder, a tar of one or of docker save, or an engine's image: docker-daemon:NAME:TAG, containerd:NAME:TAG")
        .option("--reference", options->reference, "NAME:TAG to call it (default: as the archive or the engine does)")
        .option("--backend", options->backend, "Whose engine has it, where several could")
        .flag("--no-admit", options->noAdmit, "Leave it imported, not admitted")
        .option("--admit-program", options->admitProgram, "Another recap-admit (also RECAP_ADMIT)")
        .option("--admit-socket", options->admitSocket, "The launcher's other socket for it (also RECAP_ADMIT_SOCKET)");
    group.verb("list", "List the images in the store", [&cli] { return listAll(cli.style); });
    addChange(cli, group, "remove", "Remove an image, and the layers that no other image has", &client::Client::removeImage);
    addChange(cli, group, "scan", "Scan an image (not supported yet by this version)", &client::Client::scanImage);
}

}  // namespace recapctl
