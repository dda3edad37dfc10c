// SPDX-License-Identifier: Apache-2.0
// What the built plugins show to the outside, read with nm(1), and the border of the author header.
#include <gmock/gmock.h>
#include <recap/plugin.hpp>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

extern "C" const recap_plugin_entry recap_test_entry;

namespace {

using testing::ElementsAre;
namespace plugin = recap::plugin;

std::vector<std::string> exportedSymbols(const std::filesystem::path& file) {
    const std::string command = "nm -D --defined-only --format=posix '" + file.string() + "'";
    std::unique_ptr<FILE, int (*)(FILE*)> out(::popen(command.c_str(), "r"), ::pclose);
    std::vector<std::string> symbols;
    std::array<char, 4096> line{};
    while (std::fgets(line.data(), line.size(), out.get()) != nullptr) {
        const std::string text = line.data();
        symbols.push_back(text.substr(0, text.find(' ')));
    }
    return symbols;
}

std::filesystem::path buildDir() { return std::getenv("RECAP_BUILD_DIR"); }

TEST(PluginAbi, APluginExportsOneSymbol) {
    EXPECT_THAT(exportedSymbols(buildDir() / "tests/plugins/demo.so"), ElementsAre("recap_plugin"));
    const auto inTree = buildDir() / "lib/recap/plugins";
    if (!std::filesystem::exists(inTree)) return;
    for (const auto& entry : std::filesystem::directory_iterator(inTree))
        EXPECT_THAT(exportedSymbols(entry.path()), ElementsAre("recap_plugin")) << entry.path();
}

TEST(PluginAbi, APluginInCFitsTheSameEntry) { EXPECT_EQ(recap_test_entry.get_factory(&recap_test_entry, RECAP_BACKEND_FACTORY), nullptr); }

struct Thrower {
    explicit Thrower(plugin::Settings& settings) {
        if (settings.text("fail")) throw 42;
    }
    void run(plugin::Sink&) { throw plugin::Error(plugin::Code::Unavailable, "engine: gone"); }
    void find(plugin::Sink&, std::string_view id) { throw std::runtime_error("no container '" + std::string(id) + "'"); }
};
struct NoFind {
    explicit NoFind(plugin::Settings&) {}
    void run(plugin::Sink&) {}
};
struct WrongFind : NoFind {
    using NoFind::NoFind;
    int find(std::string_view) { return 0; }
};
struct NoRun {
    explicit NoRun(plugin::Settings&) {}
};
static_assert(plugin::BackendImpl<Thrower>);
static_assert(plugin::BackendImpl<NoFind>);
static_assert(!plugin::BackendImpl<WrongFind>);
static_assert(!plugin::BackendImpl<NoRun>);

struct Made {
    recap_error error{sizeof(recap_error), 0, {}};
    const recap_backend* backend = nullptr;
};
template <class Impl>
Made make(std::vector<std::pair<std::string, std::string>> settings) {
    static const recap_host host{sizeof(recap_host), 0, nullptr, "test", "one", nullptr};
    const auto entry = plugin::detail::backendEntry<Impl>("one", "1");
    const auto* factory = static_cast<const recap_backend_factory*>(entry.get_factory(&entry, RECAP_BACKEND_FACTORY));
    std::vector<recap_pair> pairs;
    for (const auto& [key, value] : settings) pairs.push_back({plugin::detail::text(key), plugin::detail::text(value)});
    Made made;
    made.backend = factory->create(factory, &host, pairs.data(), pairs.size(), &made.error);
    return made;
}

TEST(PluginBorder, NothingThrownPasses) {
    auto made = make<Thrower>({});
    ASSERT_NE(made.backend, nullptr);
    EXPECT_EQ(made.backend->run(made.backend->self, nullptr, &made.error), RECAP_UNAVAILABLE);
    EXPECT_STREQ(made.error.message, "engine: gone");
    EXPECT_EQ(made.backend->find(made.backend->self, plugin::detail::text("web"), nullptr, &made.error), RECAP_INTERNAL);
    EXPECT_STREQ(made.error.message, "no container 'web'");
    made.backend->destroy(made.backend->self);
}

TEST(PluginBorder, AThrowingConstructorMakesNoBackend) {
    const auto made = make<Thrower>({{"fail", "yes"}});
    EXPECT_EQ(made.backend, nullptr);
    EXPECT_EQ(made.error.code, RECAP_INTERNAL);
}

TEST(PluginBorder, AnUnknownSettingIsNamedWithTheKnownOnes) {
    const auto made = make<Thrower>({{"fial", "yes"}});
    EXPECT_EQ(made.backend, nullptr);
    EXPECT_STREQ(made.error.message, "unknown setting 'fial'; known are: fail");
}

TEST(PluginBorder, ALongMessageIsCutAndEndsInZero) {
    const auto made = make<Thrower>({{std::string(2000, 'x'), "yes"}});
    EXPECT_EQ(std::strlen(made.error.message), sizeof made.error.message - 1);
}

TEST(PluginBorder, WithoutFindTheTableSaysSo) {
    const auto made = make<NoFind>({});
    EXPECT_EQ(made.backend->find, nullptr);
    made.backend->destroy(made.backend->self);
}

TEST(PluginSettings, DurationsHaveAUnit) {
    const recap_pair pairs[] = {{plugin::detail::text("a"), plugin::detail::text("2s")},
                                {plugin::detail::text("b"), plugin::detail::text("7")}};
    plugin::Settings settings("one", pairs);
    EXPECT_EQ(settings.duration("a"), std::chrono::seconds(2));
    EXPECT_THROW(settings.duration("b"), plugin::Error);
    EXPECT_EQ(settings.duration("c"), std::nullopt);
}

}  // namespace
