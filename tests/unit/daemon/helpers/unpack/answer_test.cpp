// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <nlohmann/json.hpp>

#include "tests/support/raw_tar.hpp"
#include "tests/unit/daemon/helpers/unpack/unpack_run.hpp"

namespace recap::test {
namespace {

using testing::HasSubstr;

RawImage toolImage() {
    const auto lower = rawTar({{.name = "./", .type = '5', .mode = 0755},
                               {.name = "usr/bin/tool", .content = "#!", .mode = 04755, .uid = 7, .gid = 8},
                               {.name = "usr/bin/other", .type = '1', .link = "usr/bin/tool"},
                               {.name = "bin", .type = '2', .link = "usr/bin"},
                               {.name = "etc/gone", .content = "old"}});
    const auto upper = rawTar({{.name = "etc/.wh.gone"}, {.name = "var/.wh..wh..opq"}, {.name = "var/kept", .content = "new"}});
    return {.layers = {lower, upper},
            .configExtra = R"(,"config":{"Cmd":["tool"],"Env":["A=1"],"Labels":{"k":"v"},"WorkingDir":"/var"})",
            .reference = "recap/tool:1"};
}

void expectUnpacked(const UnpackRun& run, const std::string& digest) {
    const auto answer = nlohmann::json::parse(readFile(run.staging() / "answer.json"));
    EXPECT_EQ(answer["digest"], digest);
    EXPECT_EQ(answer["reference"], "recap/tool:1");
    EXPECT_EQ(answer["architecture"], "amd64");
    EXPECT_EQ(answer["size"], 8);
    EXPECT_EQ(answer["config"]["Cmd"], nlohmann::json({"tool"}));
    EXPECT_EQ(answer["config"]["WorkingDir"], "/var");
    const auto files = answer["files"].dump();
    EXPECT_THAT(files, HasSubstr(R"(["/usr/bin/tool","f",493,""])"));
    EXPECT_THAT(files, HasSubstr(R"(["/usr/bin/other","f",493,""])"));
    EXPECT_THAT(files, HasSubstr(R"(["/bin","l",511,"usr/bin"])"));
    EXPECT_THAT(files, testing::Not(HasSubstr("gone")));
    const auto record = readFile(run.staging() / "image");
    EXPECT_EQ(record.substr(0, 4), "RIMG");
    EXPECT_EQ(record.size(), 16u + 32 * 3);
    const auto layers = answer["layers"].get<std::vector<std::string>>();
    ASSERT_EQ(layers.size(), 2u);
    struct stat info {};
    const auto tool = run.staging() / "layers" / layers[0] / "usr/bin/tool";
    ASSERT_EQ(::lstat(tool.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0755u) << "setuid is cleared";
    EXPECT_EQ(info.st_uid, 7u);
    EXPECT_EQ(info.st_nlink, 2u);
    ASSERT_EQ(::lstat((run.staging() / "layers" / layers[1] / "etc/gone").c_str(), &info), 0);
    EXPECT_TRUE(S_ISCHR(info.st_mode) && info.st_rdev == 0);
    char opaque = 0;
    ASSERT_EQ(::getxattr((run.staging() / "layers" / layers[1] / "var").c_str(), "user.overlay.opaque", &opaque, 1), 1);
    EXPECT_EQ(opaque, 'y');
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(run.staging())) names.push_back(entry.path().filename());
    EXPECT_THAT(names, testing::UnorderedElementsAre("layers", "image", "answer.json"));
    EXPECT_THAT(run.outsideChanges(), testing::IsEmpty());
}

TEST(RecapUnpack, TakesAnArchive) {
    UnpackRun run;
    const auto digest = writeRawImage(toolImage(), run.folder() / "layout");
    const auto done = run.archive(rawArchive(run.folder() / "layout"));
    ASSERT_EQ(done.status, 0) << done.sentence;
    expectUnpacked(run, digest);
}

TEST(RecapUnpack, TakesAnArchiveInGzip) {
    UnpackRun run;
    const auto digest = writeRawImage(toolImage(), run.folder() / "layout");
    const auto done = run.archive(gzipped(rawArchive(run.folder() / "layout")));
    ASSERT_EQ(done.status, 0) << done.sentence;
    expectUnpacked(run, digest);
}

TEST(RecapUnpack, TakesLayersInGzip) {
    UnpackRun run;
    auto image = toolImage();
    image.blobs = {gzipped(image.layers[0]), gzipped(image.layers[1])};
    image.mediaType = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    const auto digest = writeRawImage(image, run.folder() / "layout");
    const auto done = run.archive(rawArchive(run.folder() / "layout"));
    ASSERT_EQ(done.status, 0) << done.sentence;
    expectUnpacked(run, digest);
}

TEST(RecapUnpack, TakesALayoutFolderByItsDescriptor) {
    for (const int flags : {O_PATH, O_RDONLY}) {
        UnpackRun run;
        const auto digest = writeRawImage(toolImage(), run.folder() / "layout");
        const UniqueFd folder(::open((run.folder() / "layout").c_str(), flags | O_DIRECTORY | O_CLOEXEC));
        run.start(folder.get());
        const auto done = run.finish();
        ASSERT_EQ(done.status, 0) << done.sentence;
        expectUnpacked(run, digest);
    }
}

TEST(RecapUnpack, UnpacksALayerOnceThatAnImageHasTwice) {
    UnpackRun run;
    auto image = toolImage();
    image.layers = {image.layers[0], image.layers[1], image.layers[0]};
    const auto done = run.layout(image);
    ASSERT_EQ(done.status, 0) << done.sentence;
    const auto answer = nlohmann::json::parse(readFile(run.staging() / "answer.json"));
    EXPECT_EQ(answer["layers"].size(), 3u);
    EXPECT_THAT(answer["files"].dump(), HasSubstr("/etc/gone"));
}

TEST(RecapUnpack, NamesAnotherArchitectureInItsRecord) {
    UnpackRun run;
    auto image = toolImage();
    image.architecture = "arm64";
    ASSERT_EQ(run.layout(image).status, 0);
    EXPECT_EQ(readFile(run.staging() / "image").substr(8, 4), std::string("\xb7\0\0\0", 4));
}

TEST(RecapUnpack, SaysWhatItNeeds) {
    UnpackRun run;
    const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    run.start(null.get());
    const auto done = run.finish();
    EXPECT_EQ(done.status, 1);
    EXPECT_THAT(done.sentence, HasSubstr("a regular file, a pipe, or the folder of an OCI layout"));
}

}  // namespace
}  // namespace recap::test
