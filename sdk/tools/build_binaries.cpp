// SPDX-License-Identifier: Apache-2.0
#include "sdk/tools/build_binaries.hpp"

#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <sstream>

#include "sdk/base/unique_fd.hpp"
#include "sdk/image/oci.hpp"
#include "sdk/tools/process.hpp"

namespace recap::tools {
namespace {

namespace fs = std::filesystem;

template <class T>
bool readAt(int fd, T& value, std::uint64_t offset) {
    return ::pread(fd, &value, sizeof value, static_cast<off_t>(offset)) == static_cast<ssize_t>(sizeof value);
}

Result<fs::path> locate(const std::string& name, const std::vector<fs::path>& folders) {
    std::string looked;
    if (fs::path(name).is_absolute()) {
        if (fs::is_regular_file(name)) return fs::path(name);
        return fail(Errc::NotFound, "binary '" + name + "': no such file");
    }
    for (const auto& folder : folders) {
        if (fs::is_regular_file(folder / name)) return folder / name;
        looked += (looked.empty() ? "" : ", ") + folder.string();
    }
    return fail(Errc::NotFound, "binary '" + name + "': not in " + looked + "; --binary-dir names more folders");
}

struct Library {
    std::string name;
    std::string path;
};

// "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)", "\tlinux-vdso.so.1 (0x…)", "\tlibx.so => not found"
Result<std::vector<Library>> parseLibraries(const std::string& text) {
    std::vector<Library> all;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) {
        const auto arrow = line.find(" => ");
        if (arrow == line.npos) continue;
        const auto from = line.find_first_not_of(" \t");
        const auto name = line.substr(from, arrow - from);
        const auto rest = line.substr(arrow + 4);
        if (rest.starts_with("not found")) return fail(Errc::NotFound, "its library " + name + " is not on this machine");
        all.push_back({name, rest.substr(0, rest.rfind(" ("))});
    }
    return all;
}

Result<void> addLibraries(Rootfs& rootfs, const fs::path& program, const std::string& interpreter) {
    auto text = outputOf({interpreter, "--list", program.string()});
    if (!text) return forward(std::move(text));
    auto libraries = parseLibraries(*text);
    if (!libraries) return forward(std::move(libraries));
    if (auto added = rootfs.addFile(interpreter, fs::canonical(interpreter), 0755); !added) return added;
    const auto folder = fs::canonical(interpreter).parent_path();
    for (const auto& library : *libraries) {
        const auto name = fs::path(library.name).filename();
        if (auto added = rootfs.addFile(folder / name, fs::canonical(library.path), 0644); !added) return added;
    }
    return {};
}

}  // namespace

Result<std::string> interpreterOf(const fs::path& program) {
    const UniqueFd fd(::open(program.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return failErrno(program.string());
    Elf64_Ehdr header{};
    if (!readAt(fd.get(), header, 0) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_machine != image::elfMachine(image::hostArchitecture())) {
        return fail(Errc::InvalidArgument,
                    program.string() + ": not an ELF program of this machine (" + std::string(image::hostArchitecture()) + ")");
    }
    for (unsigned i = 0; i < header.e_phnum; ++i) {
        Elf64_Phdr segment{};
        if (!readAt(fd.get(), segment, header.e_phoff + i * sizeof segment))
            return fail(Errc::InvalidArgument, program.string() + ": a truncated ELF program");
        if (segment.p_type != PT_INTERP) continue;
        char path[4096]{};
        if (segment.p_filesz == 0 || segment.p_filesz >= sizeof path ||
            ::pread(fd.get(), path, segment.p_filesz, static_cast<off_t>(segment.p_offset)) != static_cast<ssize_t>(segment.p_filesz)) {
            return fail(Errc::InvalidArgument, program.string() + ": its interpreter's name is malformed");
        }
        return std::string(path);
    }
    return std::string();
}

Result<void> addBinaries(Rootfs& rootfs, const std::vector<std::string>& binaries, const std::vector<fs::path>& folders) {
    for (const auto& name : binaries) {
        auto program = locate(name, folders);
        if (!program) return forward(std::move(program));
        auto interpreter = interpreterOf(*program);
        if (!interpreter) return forward(std::move(interpreter));
        if (auto added = rootfs.addFile("/usr/bin/" + program->filename().string(), *program, 0755); !added) return added;
        if (interpreter->empty()) continue;
        if (auto added = addLibraries(rootfs, *program, *interpreter); !added) return forward(std::move(added), program->string());
    }
    return {};
}

}  // namespace recap::tools
