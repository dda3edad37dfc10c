// SPDX-License-Identifier: Apache-2.0
#include "plugins/process/oci_state.hpp"

#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "sdk/base/unique_fd.hpp"

namespace recap::process {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::size_t kMaxFile = 1024 * 1024;
constexpr std::size_t kMaxContainers = 8192;
constexpr std::size_t kMaxLabels = 256;

struct Text {
    std::string text;
    uid_t owner = 0;
};

// A regular file right in `dir`, no link on the way, never a pipe that would make us wait.
std::optional<Text> readIn(int dir, const char* file) {
    // One component, so that O_NOFOLLOW is enough; openat2 answers ENOSYS under a unit's RestrictSUIDSGID=.
    const UniqueFd fd(::openat(dir, file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
    struct stat info {};
    if (!fd || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode) || static_cast<std::size_t>(info.st_size) > kMaxFile)
        return std::nullopt;
    Text read{std::string(static_cast<std::size_t>(info.st_size), '\0'), info.st_uid};
    const ssize_t got = ::pread(fd.get(), read.text.data(), read.text.size(), 0);
    if (got < 0) return std::nullopt;
    read.text.resize(static_cast<std::size_t>(got));
    return read;
}

json parse(const std::string& text) { return json::parse(text, nullptr, false); }

std::string textAt(const json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::uint64_t numberAt(const json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

pid_t pidAt(const json& object, const char* key) {
    const std::uint64_t pid = numberAt(object, key);
    return pid <= 0x7fffffff ? static_cast<pid_t>(pid) : 0;
}

// runc keeps annotations as "key=value" beside its own "bundle=…".
std::map<std::string, std::string> runcLabels(const json& state) {
    std::map<std::string, std::string> labels;
    const auto config = state.find("config");
    if (config == state.end() || !config->is_object()) return labels;
    const auto list = config->find("labels");
    if (list == config->end() || !list->is_array()) return labels;
    for (const auto& item : *list) {
        if (!item.is_string() || labels.size() >= kMaxLabels) continue;
        const auto& text = item.get_ref<const std::string&>();
        const auto equals = text.find('=');
        if (equals != std::string::npos && equals > 0 && !text.starts_with("bundle="))
            labels.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
    return labels;
}

std::map<std::string, std::string> annotations(const json& config) {
    std::map<std::string, std::string> labels;
    if (!config.is_object()) return labels;
    const auto all = config.find("annotations");
    if (all == config.end() || !all->is_object()) return labels;
    for (const auto& [key, value] : all->items()) {
        if (value.is_string() && labels.size() < kMaxLabels) labels.emplace(key, value.get<std::string>());
    }
    return labels;
}

std::optional<OciContainer> runcContainer(int dir) {
    const auto text = readIn(dir, "state.json");
    if (!text) return std::nullopt;
    const json state = parse(text->text);
    if (!state.is_object()) return std::nullopt;
    return OciContainer{
        textAt(state, "id"), "runc", pidAt(state, "init_process_pid"), numberAt(state, "init_process_start"), runcLabels(state),
        text->owner,         true};
}

std::optional<OciContainer> crunContainer(int dir, const std::string& id) {
    const auto text = readIn(dir, "status");
    if (!text) return std::nullopt;
    const json status = parse(text->text);
    if (!status.is_object()) return std::nullopt;
    OciContainer container{id, "crun", pidAt(status, "pid"), numberAt(status, "process-start-time"), {}, text->owner, true};
    auto config = readIn(dir, "config.json");
    if (!config && text->owner == 0) {  // an older crun leaves it in the bundle
        const UniqueFd bundle(::open(textAt(status, "bundle").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (bundle) config = readIn(bundle.get(), "config.json");
    }
    if (config) container.labels = annotations(parse(config->text));
    return container;
}

std::vector<fs::path> expand(const std::vector<std::string>& roots) {
    std::vector<fs::path> found;
    for (const auto& root : roots) {
        glob_t matches{};
        if (::glob(root.c_str(), GLOB_ONLYDIR, nullptr, &matches) == 0) {
            for (std::size_t i = 0; i < matches.gl_pathc; ++i) found.emplace_back(matches.gl_pathv[i]);
        }
        ::globfree(&matches);
    }
    return found;
}

std::vector<fs::path> containerFolders(const fs::path& root) {
    std::vector<fs::path> folders;
    std::error_code ignored;
    for (fs::directory_iterator it(root, ignored), end; it != end && folders.size() < kMaxContainers; it.increment(ignored)) {
        if (!ignored && it->is_directory(ignored) && !it->is_symlink(ignored)) folders.push_back(it->path());
        if (ignored) break;
    }
    std::sort(folders.begin(), folders.end());
    return folders;
}

}  // namespace

std::vector<OciContainer> readOciState(const std::vector<std::string>& roots) {
    std::vector<OciContainer> containers;
    for (const auto& root : expand(roots)) {
        for (const auto& folder : containerFolders(root)) {
            const UniqueFd dir(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
            if (!dir) continue;
            auto container = runcContainer(dir.get());
            if (!container) container = crunContainer(dir.get(), folder.filename());
            if (!container || container->pid <= 0 || container->id.empty()) continue;
            container->started = ::faccessat(dir.get(), "exec.fifo", F_OK, AT_SYMLINK_NOFOLLOW) != 0;
            containers.push_back(std::move(*container));
        }
    }
    return containers;
}

std::vector<fs::path> ociFolders(const std::vector<std::string>& roots) {
    std::vector<fs::path> folders;
    for (const auto& root : roots) {
        const auto found = expand({root});
        if (found.empty()) {
            for (auto& parent : expand({fs::path(root).parent_path().string()})) folders.push_back(std::move(parent));
        }
        for (const auto& folder : found) {
            folders.push_back(folder);
            for (auto& container : containerFolders(folder)) folders.push_back(std::move(container));
        }
    }
    return folders;
}

}  // namespace recap::process
