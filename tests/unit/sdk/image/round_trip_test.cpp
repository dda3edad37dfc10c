// SPDX-License-Identifier: Apache-2.0
// What the writer makes, the importer takes; unjailed, as root (owners are set).
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "sdk/base/unique_fd.hpp"
#include "sdk/image/import.hpp"
#include "sdk/image/writer.hpp"
#include "tests/support/command.hpp"
#include "tests/support/files.hpp"

namespace recap::image {
namespace {

namespace fs = std::filesystem;

ImageSpec twoLayers(Compression compression) {
    ImageSpec spec;
    spec.layers.resize(2);
    spec.layers[0]["usr/bin/tool"] = {FileSpec::Kind::Regular, 0755, 1'600'000'000, {}, {}, "one"};
    spec.layers[0]["etc/gone"] = {FileSpec::Kind::Regular, 0644, 0, {}, {}, "old"};
    spec.layers[0]["bin"] = {FileSpec::Kind::Symlink, 0777, 0, "usr/bin", {}, {}};
    spec.layers[1]["etc/.wh.gone"] = {};
    spec.layers[1]["tmp"] = {FileSpec::Kind::Directory, 01777, 0, {}, {}, {}};
    spec.config.cmd = {"tool"};
    spec.config.labels = {{"org.recap1.package.tool", "1.0"}};
    spec.reference = "recap/tool:1";
    spec.compression = compression;
    return spec;
}

class RoundTrip : public testing::TestWithParam<Compression> {
protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root: the importer sets owners";
        fs::create_directory(staging());
    }
    fs::path staging() const { return folder_.path() / "staging"; }

    void expectImported(Source& source, const std::string& digest) {
        const UniqueFd fd(::open(staging().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        const auto imported = importImage(source, fd.get(), hostArchitecture());
        ASSERT_TRUE(imported) << imported.error().message;
        EXPECT_EQ(imported->digest, digest);
        EXPECT_EQ(imported->reference, "recap/tool:1");
        EXPECT_EQ(imported->config.cmd, std::vector<std::string>{"tool"});
        EXPECT_EQ(imported->size, 6u);
        std::vector<std::string> paths;
        for (const auto& [path, entry] : imported->files) paths.push_back(path);
        EXPECT_THAT(paths, testing::ElementsAre("bin", "etc", "tmp", "usr", "usr/bin", "usr/bin/tool"));
        const auto lower = staging() / "layers" / imported->config.diffIds[0];
        const auto upper = staging() / "layers" / imported->config.diffIds[1];
        EXPECT_EQ(test::readFile(lower / "usr/bin/tool"), "one");
        struct stat info {};
        ASSERT_EQ(::lstat((lower / "usr/bin/tool").c_str(), &info), 0);
        EXPECT_EQ(info.st_mode & 07777, 0755u);
        EXPECT_EQ(info.st_mtime, 1'600'000'000);
        ASSERT_EQ(::lstat((upper / "etc/gone").c_str(), &info), 0);
        EXPECT_TRUE(S_ISCHR(info.st_mode) && info.st_rdev == 0);
        ASSERT_EQ(::lstat((upper / "tmp").c_str(), &info), 0);
        EXPECT_EQ(info.st_mode & 07777, 01777u);
    }

    test::TempDir folder_;
};

TEST_P(RoundTrip, ThroughALayoutFolder) {
    const auto written = writeLayoutFolder(twoLayers(GetParam()), folder_.path() / "layout");
    ASSERT_TRUE(written) << written.error().message;
    const UniqueFd layout(::open((folder_.path() / "layout").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    const auto source = openFolder(layout.get());
    ASSERT_TRUE(source) << source.error().message;
    expectImported(**source, written->digest);
}

TEST_P(RoundTrip, ThroughAnArchive) {
    const auto path = folder_.path() / "image.tar";
    const auto written = writeOciArchive(twoLayers(GetParam()), path);
    ASSERT_TRUE(written) << written.error().message;
    const UniqueFd archive(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    const UniqueFd spool(::open(staging().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const auto source = openArchive(archive.get(), spool.get(), {});
    ASSERT_TRUE(source) << source.error().message;
    expectImported(**source, written->digest);
}

INSTANTIATE_TEST_SUITE_P(Compressions, RoundTrip, testing::Values(Compression::None, Compression::Gzip, Compression::Zstd));

TEST(Writer, MakesTheSameBytesTwice) {
    test::TempDir folder;
    ASSERT_TRUE(writeOciArchive(twoLayers(Compression::Gzip), folder.path() / "a.tar"));
    ASSERT_TRUE(writeOciArchive(twoLayers(Compression::Gzip), folder.path() / "b.tar"));
    EXPECT_EQ(test::readFile(folder.path() / "a.tar"), test::readFile(folder.path() / "b.tar"));
    EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator{}), 2);
}

TEST(Writer, RefusesAnEntryBelowAFile) {
    test::TempDir folder;
    auto spec = twoLayers(Compression::None);
    spec.layers[0]["bin/x"] = {};
    const auto written = writeLayoutFolder(spec, folder.path() / "layout");
    ASSERT_FALSE(written);
    EXPECT_THAT(written.error().message, testing::HasSubstr("'bin' is no folder"));
}

}  // namespace
}  // namespace recap::image
