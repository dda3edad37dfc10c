// SPDX-License-Identifier: Apache-2.0
#include "daemon/host/engine_socket.hpp"

#include <sys/inotify.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>

namespace recap::host {
namespace {

constexpr std::string_view kUnix = "unix://";

}  // namespace

EngineSocket::EngineSocket(const PluginSetting& setting) {
    const auto endpoint = setting.values.find("endpoint");
    if (endpoint == setting.values.end() || endpoint->second.size() != 1) return;
    const std::string& text = endpoint->second.front();
    if (text.starts_with(kUnix) && text.size() > kUnix.size() && text[kUnix.size()] == '/') path_ = text.substr(kUnix.size());
}

bool EngineSocket::isMissing() const {
    struct stat info {};
    return !path_.empty() && ::stat(path_.c_str(), &info) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

bool EngineSocket::watch(sd_event* loop, std::function<void()> changed) {
    std::error_code ignored;
    auto folder = std::filesystem::path(path_).parent_path();
    while (folder.has_relative_path() && !std::filesystem::exists(folder, ignored)) folder = folder.parent_path();
    changed_ = std::move(changed);
    const auto onChange = [](sd_event_source*, const inotify_event*, void* self) {
        auto& socket = *static_cast<EngineSocket*>(self);
        const auto call = std::move(socket.changed_);
        socket.watch_.reset();
        if (call) call();
        return 0;
    };
    sd_event_source* source = nullptr;
    const bool watching = sd_event_add_inotify(loop, &source, folder.c_str(),
                                               IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR, onChange, this) >= 0;
    watch_.reset(source);
    return watching;
}

}  // namespace recap::host
