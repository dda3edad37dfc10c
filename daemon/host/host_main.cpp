// SPDX-License-Identifier: Apache-2.0
// recap-plugin-host NAME: runs one plugin for recapd, under a user of its own. Started by its socket unit, ends at EOF.
#include <cstdio>

#include "daemon/host/loader.hpp"
#include "daemon/host/server.hpp"
#include "daemon/host/settings.hpp"
#include "sdk/cli/verb.hpp"

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
    cli::Verb top("recap-plugin-host", "Run one plugin of RECap for recapd");
    top.operand("NAME", options.name, "What the backend is called: the table [plugins.NAME] of recapd.toml")
        .option("--socket", options.socket, "Where to listen, unless systemd hands a socket over (default: /run/recap/plugins/NAME)")
        .option("--plugins-dir", options.pluginsDir, "Root-owned folder of the plugins (/usr/lib/recap/plugins)")
        .option("--vendor-dir", options.dirs.vendor, "Lowest folder of recapd.toml (/usr/lib/recap)")
        .option("--runtime-dir", options.dirs.runtime, "Middle folder of recapd.toml (/run/recap)")
        .option("--config-dir", options.dirs.config, "Highest folder of recapd.toml (/etc/recap)");
    const auto chosen = top.parse({argv + 1, argv + argc});
    if (!chosen) {
        std::fprintf(stderr, "recap-plugin-host: %s (recap-plugin-host --help says what there is)\n", chosen.error().message.c_str());
        return 2;
    }
    if (!chosen->text.empty()) return std::fputs(chosen->text.c_str(), stdout) < 0 || std::fflush(stdout) != 0 ? 1 : 0;

    auto socket = listener(options);
    if (!socket) {
        std::fprintf(stderr, "<3>%s\n", socket.error().message.c_str());
        return 1;
    }
    Server server(std::move(*socket), [&](Hello& hello) { return makeBackend(options, hello); });
    return server.run();
}
