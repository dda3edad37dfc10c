// SPDX-License-Identifier: Apache-2.0
#include "daemon/host/loader.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace recap::host {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const recap_backend_factory kFactory{sizeof(recap_backend_factory), 0,
                                     [](const recap_backend_factory*, const recap_host*, const recap_pair*, size_t,
                                        recap_error*) -> const recap_backend* { return nullptr; }};
const recap_backend_factory kShortFactory{8, 0, nullptr};

const void* good(const recap_plugin_entry*, const char*) { return &kFactory; }
const void* shortFactory(const recap_plugin_entry*, const char*) { return &kShortFactory; }
const void* none(const recap_plugin_entry*, const char*) { return nullptr; }
const void* mustNotBeCalled(const recap_plugin_entry*, const char*) { std::abort(); }

recap_plugin_entry entry() { return {sizeof(recap_plugin_entry), RECAP_PLUGIN_ABI_MAJOR, RECAP_PLUGIN_ABI_MINOR, 0, "one", "1", good}; }

std::string refusal(const recap_plugin_entry& table) {
    const auto checked = checkEntry(&table, "one");
    return checked ? "" : checked.error().message;
}

TEST(Entry, AGoodOneIsTaken) { EXPECT_EQ(refusal(entry()), ""); }

TEST(Entry, AnotherMajorIsRefusedBeforeAnythingIsCalled) {
    auto table = entry();
    table.abi_major = 2;
    table.get_factory = mustNotBeCalled;
    EXPECT_THAT(refusal(table), HasSubstr("made for plugin ABI 2; this host has 1"));
}

TEST(Entry, ALargerMinorAndSizeAreNoError) {
    auto table = entry();
    table.abi_minor = 9;
    table.size += 64;
    EXPECT_EQ(refusal(table), "");
}

TEST(Entry, AShortTableIsRefusedBeforeAnythingIsCalled) {
    auto table = entry();
    table.size = 24;
    table.get_factory = mustNotBeCalled;
    EXPECT_THAT(refusal(table), HasSubstr("has 24 bytes, fewer than the 40"));
    table.size = 4;
    EXPECT_THAT(refusal(table), HasSubstr("too short"));
}

TEST(Entry, WhatItLacksIsNamed) {
    auto table = entry();
    table.name = "two";
    EXPECT_THAT(refusal(table), HasSubstr("calls itself 'two', not 'one'"));
    table = entry();
    table.get_factory = nullptr;
    EXPECT_THAT(refusal(table), HasSubstr("lacks version or get_factory"));
    table.get_factory = none;
    EXPECT_THAT(refusal(table), HasSubstr("offers no recap.backend/1"));
    table.get_factory = shortFactory;
    EXPECT_THAT(refusal(table), HasSubstr("its backend factory has 8 bytes"));
    EXPECT_THAT(checkEntry(nullptr, "one").error().message, HasSubstr("exports no recap_plugin"));
}

TEST(Entry, ABackendWithoutRunIsNamed) {
    recap_backend backend{};
    backend.size = sizeof backend;
    EXPECT_THAT(checkBackend(&backend).error().message, HasSubstr("lacks run"));
    backend.size = 16;
    EXPECT_THAT(checkBackend(&backend).error().message, HasSubstr("has 16 bytes"));
}

class Loading : public testing::Test {
protected:
    void SetUp() override {
        char folder[] = "/tmp/recap-plugins-XXXXXX";
        folder_ = ::mkdtemp(folder);
        ::chmod(folder_.c_str(), 0755);
        fs::copy_file(fs::path(std::getenv("RECAP_BUILD_DIR")) / "tests/plugins/demo.so", folder_ / "demo.so");
        ::chmod((folder_ / "demo.so").c_str(), 0755);
    }
    void TearDown() override { fs::remove_all(folder_); }
    Result<LoadedPlugin> load(const std::string& name = "demo") { return loadPlugin(folder_, name, {::getuid()}); }
    std::string refusal(const std::string& name = "demo") {
        const auto loaded = load(name);
        return loaded ? "" : loaded.error().message;
    }
    fs::path folder_;
};

TEST_F(Loading, TheDemoLoads) {
    const auto loaded = load();
    ASSERT_TRUE(loaded) << loaded.error().message;
    EXPECT_STREQ(loaded->entry->name, "demo");
}

TEST_F(Loading, AWritableFileOrFolderIsRefused) {
    ::chmod((folder_ / "demo.so").c_str(), 0775);
    EXPECT_THAT(refusal(), HasSubstr("demo.so: writable by group or others"));
    ::chmod((folder_ / "demo.so").c_str(), 0755);
    ::chmod(folder_.c_str(), 0777);
    EXPECT_THAT(refusal(), HasSubstr("writable by group or others"));
}

TEST_F(Loading, AForeignersFileOrFolderIsRefused) {
    if (::getuid() != 0) GTEST_SKIP() << "needs root to give a file away";
    ASSERT_EQ(::chown((folder_ / "demo.so").c_str(), 65534, 65534), 0);
    EXPECT_THAT(refusal(), HasSubstr("demo.so: owned by uid 65534"));
    ASSERT_EQ(::chown((folder_ / "demo.so").c_str(), 0, 0), 0);
    ASSERT_EQ(::chown(folder_.c_str(), 65534, 65534), 0);
    EXPECT_THAT(refusal(), HasSubstr("owned by uid 65534"));
}

TEST_F(Loading, ALinkOrAPathIsNoPlugin) {
    fs::create_symlink(folder_ / "demo.so", folder_ / "link.so");
    EXPECT_NE(refusal("link"), "");
    EXPECT_THAT(refusal("../demo"), HasSubstr("a-z 0-9 -"));
    EXPECT_THAT(refusal("absent"), HasSubstr("absent.so"));
}

TEST_F(Loading, TheFilesNameIsThePluginsName) {
    fs::copy_file(folder_ / "demo.so", folder_ / "other.so");
    EXPECT_THAT(refusal("other"), HasSubstr("calls itself 'demo', not 'other'"));
}

}  // namespace
}  // namespace recap::host
