// SPDX-License-Identifier: Apache-2.0
#include "daemon/host/loader.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "sdk/base/unique_fd.hpp"

namespace recap::host {
namespace {

constexpr std::size_t kEntrySize = offsetof(recap_plugin_entry, get_factory) + sizeof(void*);
constexpr std::size_t kFactorySize = offsetof(recap_backend_factory, create) + sizeof(void*);
constexpr std::size_t kBackendSize = offsetof(recap_backend, destroy) + sizeof(void*);

Result<void> checkOwned(int fd, const std::string& path, const LoadRules& rules, mode_t type) {
    struct stat info {};
    if (::fstat(fd, &info) != 0) return failErrno(path);
    if ((info.st_mode & S_IFMT) != type)
        return fail(Errc::InvalidArgument, path + ": is no " + (type == S_IFDIR ? "folder" : "regular file"));
    if (info.st_uid != rules.owner)
        return fail(Errc::Denied, path + ": owned by uid " + std::to_string(info.st_uid) + "; plugins are loaded from uid " +
                                      std::to_string(rules.owner) + "'s files only");
    if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return fail(Errc::Denied, path + ": writable by group or others; chmod go-w would allow it");
    return {};
}

Result<void> checkSize(const char* table, std::size_t size, std::size_t wanted) {
    if (size >= wanted) return {};
    return fail(Errc::NotSupported, std::string(table) + " has " + std::to_string(size) + " bytes, fewer than the " +
                                        std::to_string(wanted) + " of plugin ABI 1.0");
}

bool isPluginName(const std::string& name) {
    return !name.empty() && name.size() <= 63 && name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
}

}  // namespace

Result<LoadedPlugin> checkEntry(const recap_plugin_entry* entry, const std::string& name) {
    if (entry == nullptr) return fail(Errc::InvalidArgument, "exports no recap_plugin");
    if (entry->size < offsetof(recap_plugin_entry, abi_minor))
        return fail(Errc::NotSupported, "its recap_plugin is too short to say its version");
    if (entry->abi_major != RECAP_PLUGIN_ABI_MAJOR)
        return fail(Errc::NotSupported, "made for plugin ABI " + std::to_string(entry->abi_major) + "; this host has " +
                                            std::to_string(RECAP_PLUGIN_ABI_MAJOR) + ": build it again");
    if (auto sized = checkSize("its recap_plugin", entry->size, kEntrySize); !sized) return forward(std::move(sized));
    if (entry->name == nullptr || entry->name != name)
        return fail(Errc::InvalidArgument,
                    "calls itself '" + std::string(entry->name == nullptr ? "" : entry->name) + "', not '" + name + "'");
    if (entry->version == nullptr || entry->get_factory == nullptr)
        return fail(Errc::InvalidArgument, "its recap_plugin lacks version or get_factory");
    const auto* factory = static_cast<const recap_backend_factory*>(entry->get_factory(entry, RECAP_BACKEND_FACTORY));
    if (factory == nullptr) return fail(Errc::NotSupported, "offers no " RECAP_BACKEND_FACTORY ", the one kind that this host loads");
    if (auto sized = checkSize("its backend factory", factory->size, kFactorySize); !sized) return forward(std::move(sized));
    if (factory->create == nullptr) return fail(Errc::InvalidArgument, "its backend factory lacks create");
    return LoadedPlugin{entry, factory};
}

Result<void> checkBackend(const recap_backend* backend) {
    if (auto sized = checkSize("its backend", backend->size, kBackendSize); !sized) return sized;
    if (backend->run == nullptr) return fail(Errc::InvalidArgument, "its backend lacks run");
    if (backend->destroy == nullptr) return fail(Errc::InvalidArgument, "its backend lacks destroy");
    return {};
}

Result<LoadedPlugin> loadPlugin(const std::filesystem::path& folder, const std::string& name, LoadRules rules) {
    if (!isPluginName(name)) return fail(Errc::InvalidArgument, "plugin '" + name + "': a name has a-z 0-9 - only");
    const std::string path = folder / (name + ".so");
    const UniqueFd dir(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!dir) return failErrno("plugin folder " + folder.string());
    if (auto owned = checkOwned(dir.get(), folder, rules, S_IFDIR); !owned) return forward(std::move(owned), "plugin folder");
    const UniqueFd file(::openat(dir.get(), (name + ".so").c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!file) return failErrno("plugin " + path);
    if (auto owned = checkOwned(file.get(), path, rules, S_IFREG); !owned) return forward(std::move(owned), "plugin");
    // By the descriptor that was judged, so that no other file can take its place in between.
    void* handle = ::dlopen(("/proc/self/fd/" + std::to_string(file.get())).c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (handle == nullptr) return fail(Errc::InvalidArgument, "plugin " + path + ": " + ::dlerror());
    auto loaded = checkEntry(static_cast<const recap_plugin_entry*>(::dlsym(handle, "recap_plugin")), name);
    if (!loaded) return forward(std::move(loaded), "plugin " + path);
    return loaded;
}

}  // namespace recap::host
