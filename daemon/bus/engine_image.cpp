// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/engine_image.hpp"

#include <algorithm>

namespace recap::bus {
namespace {

std::string pluginOf(std::string_view scheme) {
    if (scheme == "docker-daemon") return "docker";
    if (scheme == "containerd") return "containerd";
    return "";
}

std::string names(const std::vector<BackendStatus>& backends, const std::string& plugin = "") {
    std::string all;
    for (const auto& backend : backends) {
        if (plugin.empty() || backend.plugin == plugin) all += (all.empty() ? "" : ", ") + backend.name;
    }
    return all.empty() ? "none" : all;
}

const BackendStatus* called(const std::vector<BackendStatus>& backends, const std::string& name) {
    const auto found = std::find_if(backends.begin(), backends.end(), [&](const auto& backend) { return backend.name == name; });
    return found == backends.end() ? nullptr : &*found;
}

// References that are none of an engine's: the sentence says what takes them instead.
Result<void> refuseOthers(const std::string& scheme, const std::string& name) {
    for (const auto* file : {"oci", "oci-archive", "docker-archive"}) {
        if (scheme == file)
            return fail(Errc::InvalidArgument,
                        scheme + ":" + name + " is a file of the caller's, who opens it for ImportImage, as recapctl image import does");
    }
    if (scheme == "docker" && name.starts_with("//"))
        return fail(Errc::NotSupported, "recapd reaches no registries; 'skopeo copy docker:" + name +
                                            " oci-archive:FILE' fetches the image, and recapctl image import takes the file");
    return {};
}

// The backend that a plugin's scheme means.
Result<std::string> servedBy(const std::string& plugin, const std::string& scheme, const std::vector<BackendStatus>& backends) {
    if (const auto* own = called(backends, plugin); own != nullptr && own->plugin == plugin) return plugin;
    std::string only;
    std::size_t count = 0;
    for (const auto& backend : backends) {
        if (backend.plugin == plugin && ++count == 1) only = backend.name;
    }
    if (count == 1) return only;
    if (count == 0)
        return fail(Errc::NotFound, scheme + ": no backend is served by the plugin '" + plugin + "'; there are: " + names(backends));
    return fail(Errc::Ambiguous, scheme + ": several backends are served by the plugin '" + plugin + "': " + names(backends, plugin) +
                                     "; the option 'backend' chooses one");
}

// What an archive of the image may call itself.
std::vector<std::string> meanings(const std::string& plugin, const std::string& name) {
    std::vector<std::string> all{name};
    if (plugin == "docker") all.push_back("localhost/" + name);
    if (const auto slash = name.find('/'); plugin == "containerd" && slash != std::string::npos) all.push_back(name.substr(slash + 1));
    return all;
}

Result<std::string> backendOf(const EngineImage& image, const std::string& chosen, const std::vector<BackendStatus>& backends) {
    const std::string plugin = pluginOf(image.scheme);
    if (!chosen.empty()) {
        const auto* backend = called(backends, chosen);
        if (backend == nullptr) return fail(Errc::NotFound, "no backend '" + chosen + "'; there are: " + names(backends));
        if (plugin.empty() ? chosen != image.scheme : backend->plugin != plugin)
            return fail(Errc::InvalidArgument, "the backend '" + chosen + "', which the plugin '" + backend->plugin + "' serves, has no " +
                                                   image.scheme + ": images");
        return chosen;
    }
    if (!plugin.empty()) return servedBy(plugin, image.scheme, backends);
    if (called(backends, image.scheme) == nullptr)
        return fail(Errc::NotFound, "reference '" + image.scheme + ":" + image.name + "': '" + image.scheme +
                                        "' is neither docker-daemon, containerd nor a backend; there are: " + names(backends));
    return image.scheme;
}

}  // namespace

Result<EngineImage> engineImage(const std::string& reference, const std::string& chosen, const std::vector<BackendStatus>& backends) {
    const auto colon = reference.find(':');
    if (colon == std::string::npos || colon == 0 || colon + 1 == reference.size())
        return fail(Errc::InvalidArgument,
                    "reference '" + reference + "': docker-daemon:, containerd: or a backend's name and ':' goes before an image's name");
    EngineImage image{reference.substr(0, colon), {}, reference.substr(colon + 1), {}};
    if (auto engines = refuseOthers(image.scheme, image.name); !engines) return forward(std::move(engines));
    auto backend = backendOf(image, chosen, backends);
    if (!backend) return forward(std::move(backend));
    image.backend = std::move(*backend);
    image.names = meanings(called(backends, image.backend)->plugin, image.name);
    return image;
}

}  // namespace recap::bus
