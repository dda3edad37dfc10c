// SPDX-License-Identifier: Apache-2.0
// recap-plugin-host NAME: runs one plugin for recapd, under a user of its own. Started by its socket unit, ends at EOF.
#include <CLI/CLI.hpp>

#include <cstdio>

#include "daemon/host/loader.hpp"
#include "daemon/host/server.hpp"
#include "daemon/host/settings.hpp"

namespace {

using namespace recap;
using namespace recap::host;

struct Options {
    std::string name;
    std::string socket;
    std::string pluginsDir = "/usr/lib/recap/plugins";
    SettingsDirs dirs;
};

// Loads the plugin that the instance's settings name and makes its backend.
Result<const recap_backend*> makeBackend(const Options& options, Hello& hello) {
    auto settings = readInstance(options.dirs, options.name);
    if (!settings) return forward(std::move(settings));
    hello.plugin = settings->plugin;
    auto loaded = loadPlugin(options.pluginsDir, settings->plugin);
    if (!loaded) return forward(std::move(loaded));
    hello.version = cleanText(loaded->entry->version, kMaxText);

    static const recap_host host{sizeof(recap_host),
                                 RECAP_PLUGIN_ABI_MINOR,
                                 nullptr,
                                 "recap-plugin-host " RECAP_VERSION,
                                 options.name.c_str(),
                                 [](void*, const char*) -> const void* { return nullptr; }};
    std::vector<recap_pair> pairs;
    for (const auto& [key, value] : settings->values) pairs.push_back({{key.data(), key.size()}, {value.data(), value.size()}});
    recap_error error{sizeof(recap_error), 0, {}};
    const recap_backend* backend = loaded->backends->create(loaded->backends, &host, pairs.data(), pairs.size(), &error);
    if (backend == nullptr) return fail(errcOf(error.code), "[plugins." + options.name + "]: " + std::string(error.message));
    if (auto checked = checkBackend(backend); !checked) return forward(std::move(checked), "plugin " + settings->plugin);
    return backend;
}

Result<UniqueFd> listener(const Options& options) {
    auto given = listenerFromSystemd();
    if (!given || *given) return given;
    return listenAt(options.socket.empty() ? "/run/recap/plugins/" + options.name : options.socket);
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app("Runs one plugin of RECap for recapd.", "recap-plugin-host");
    app.set_version_flag("--version", "recap-plugin-host " RECAP_VERSION);
    app.add_option("NAME", options.name, "what the backend is called: the table [plugins.NAME] of recapd.toml")->required();
    app.add_option("--socket", options.socket, "where to listen, unless systemd hands a socket over (default: /run/recap/plugins/NAME)");
    app.add_option("--plugins-dir", options.pluginsDir, "root-owned folder of the plugins")->capture_default_str();
    app.add_option("--vendor-dir", options.dirs.vendor, "lowest folder of recapd.toml")->capture_default_str();
    app.add_option("--runtime-dir", options.dirs.runtime, "middle folder of recapd.toml")->capture_default_str();
    app.add_option("--config-dir", options.dirs.config, "highest folder of recapd.toml")->capture_default_str();
    CLI11_PARSE(app, argc, argv);

    auto socket = listener(options);
    if (!socket) {
        std::fprintf(stderr, "<3>%s\n", socket.error().message.c_str());
        return 1;
    }
    Server server(std::move(*socket), [&](Hello& hello) { return makeBackend(options, hello); });
    return server.run();
}
