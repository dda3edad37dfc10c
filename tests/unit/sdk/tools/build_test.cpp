// SPDX-License-Identifier: Apache-2.0
// recap-capsule build from outside: packages from a repository made here, programs of this machine; and what comes out runs.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "sdk/base/unique_fd.hpp"
#include "sdk/image/archive.hpp"
#include "sdk/image/import.hpp"
#include "tests/support/command.hpp"
#include "tests/support/environment.hpp"
#include "tests/support/files.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::HasSubstr;
using testing::Key;
using testing::Not;

class Build : public testing::Test {
protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root: images are unpacked with their owners";
        image::prepareArchives();
    }

    void capsule(const std::string& build, const std::string& command = "tool") {
        writeFile(path("capsule.toml"),
                  "manifest = 1\n[capsule]\nname = \"tool\"\nversion = \"1.0.0\"\ndescription = \"a tool\"\nimage = \"recap/tool:1.0.0\"\n"
                  "command = [\"" +
                      command + "\"]\n[build]\n" + build + "\n[output]\nartifacts = \"/out\"\n");
    }
    CommandResult build(std::vector<std::string> more = {}) {
        std::vector<std::string> argv{binDir() / "recap-capsule", "build",           path("capsule.toml"), "-o",
                                      path("image.tar"),          "--package-cache", path("cache")};
        argv.insert(argv.end(), more.begin(), more.end());
        return run({.argv = argv, .env = {{"APT_CONFIG", path("apt.conf")}}});
    }
    // Unpacks the built archive; its one layer is at root().
    image::ImportedImage unpack() {
        fs::create_directories(path("staging"));
        const UniqueFd archive(::open(path("image.tar").c_str(), O_RDONLY | O_CLOEXEC));
        const UniqueFd staging(::open(path("staging").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        auto source = image::openArchive(archive.get(), staging.get(), {});
        EXPECT_TRUE(source) << source.error().message;
        auto imported = image::importImage(**source, staging.get(), image::hostArchitecture());
        EXPECT_TRUE(imported) << imported.error().message;
        root_ = path("staging") + "/layers/" + imported->config.diffIds.at(0);
        return std::move(*imported);
    }

    // A Debian package of these files in the repository; apt reads nothing but that.
    void package(const std::string& name, const std::string& fields, const std::vector<std::pair<std::string, std::string>>& files) {
        const auto tree = folder_.path() / "trees" / name;
        for (const auto& [file, text] : files) {
            fs::create_directories((tree / file).parent_path());
            writeFile(tree / file, text);
            fs::permissions(tree / file, static_cast<fs::perms>(0755));
        }
        fs::create_directories(tree / "DEBIAN");
        const auto control = "Package: " + name + "\nVersion: 1:2.0-3\nArchitecture: all\nMaintainer: none <none@localhost>\n" + fields +
                             "Description: test\n";
        writeFile(tree / "DEBIAN/control", control);
        fs::create_directories(path("repository"));
        mustRun({"dpkg-deb", "--root-owner-group", "--build", tree, path("repository/") + name + ".deb"});
        const auto deb = readFile(path("repository/") + name + ".deb");
        const auto sum = mustRun({"sha256sum", path("repository/") + name + ".deb"}).out.substr(0, 64);
        index_ += control + "Filename: ./" + name + ".deb\nSize: " + std::to_string(deb.size()) + "\nSHA256: " + sum + "\n\n";
        writeFile(path("repository/Packages"), index_);
    }
    void useRepository() {
        fs::create_directories(path("lists/partial"));
        writeFile(path("sources.list"), "deb [trusted=yes] copy:" + path("repository") + " ./\n");
        writeFile(path("apt.conf"), "Dir::Etc::sourcelist \"" + path("sources.list") +
                                        "\";\nDir::Etc::sourceparts \"/dev/null\";\nDir::State::lists \"" + path("lists") + "\";\n");
    }

    std::string path(const std::string& name) const { return folder_.path() / name; }

    TempDir folder_{"recap-build"};
    std::string index_;
    std::string root_;
};

TEST_F(Build, PacksPackagesWithWhatTheyNeedAndNothingElse) {
    package("tool", "Depends: tool-lib (>= 1), adduser\n",
            {{"bin/tool", "#!/bin/sh\n"},
             {"usr/share/doc/tool/copyright", "long"},
             {"usr/share/man/man1/tool.1", "long"},
             {"etc/tool.conf", "x"}});
    package("tool-lib", "Recommends: tool-extra\n", {{"lib/tool.so", "lib"}});
    package("tool-extra", "", {{"usr/share/extra", "x"}});
    package("adduser", "", {{"usr/sbin/adduser", "x"}});
    useRepository();
    capsule("packages = [\"tool\"]");
    const auto built = build();
    ASSERT_EQ(built.status, 0) << built.all();
    EXPECT_THAT(built.out, HasSubstr("tool 1:2.0-3\ntool-lib 1:2.0-3\nbuilt recap/tool:1.0.0 as "));
    const auto image = unpack();
    EXPECT_EQ(image.reference, "recap/tool:1.0.0");
    EXPECT_EQ(image.config.cmd, std::vector<std::string>{"tool"});
    EXPECT_EQ(image.config.labels.at("org.recap1.package.tool"), "1:2.0-3");
    EXPECT_EQ(image.config.labels.at("org.recap1.package.tool-lib"), "1:2.0-3");
    EXPECT_THAT(image.config.labels, Not(Contains(Key("org.recap1.package.adduser"))));
    for (const auto* kept : {"usr/bin/tool", "usr/lib/tool.so", "etc/tool.conf", "bin", "lib", "out", "tmp", "proc"})
        EXPECT_THAT(image.files, Contains(Key(kept)));
    for (const auto* gone : {"usr/share/doc/tool/copyright", "usr/share/man/man1/tool.1", "usr/share/extra", "usr/sbin/adduser"})
        EXPECT_THAT(image.files, Not(Contains(Key(gone))));
    EXPECT_EQ(image.files.at("bin").link, "usr/bin");
}

TEST_F(Build, WhatWillLieOverATargetsFilesHidesNoFolderOfIts) {
    package("tool", "", {{"bin/tool", "#!/bin/sh\n"}, {"lib/deep/tool.so", "lib"}, {"usr/bin/other", "x"}});
    useRepository();
    capsule("packages = [\"tool\"]\nlinks = { \"/bin/t\" = \"tool\" }\n[sandbox]\nview = \"merged\"");
    const auto built = build();
    ASSERT_EQ(built.status, 0) << built.all();
    const auto image = unpack();
    EXPECT_TRUE(fs::is_directory(fs::symlink_status(root_ + "/bin")));
    EXPECT_TRUE(fs::is_directory(fs::symlink_status(root_ + "/lib/deep")));
    EXPECT_EQ(image.files.at("bin/tool").link, "/usr/bin/tool");
    EXPECT_EQ(image.files.at("bin/other").link, "/usr/bin/other");
    EXPECT_EQ(image.files.at("lib/deep/tool.so").link, "/usr/lib/deep/tool.so");
    EXPECT_EQ(image.files.at("usr/bin/t").link, "tool");
    EXPECT_EQ(image.files.at("bin/t").link, "/usr/bin/t");
    EXPECT_THAT(image.files, Not(Contains(Key("sbin"))));
}

TEST_F(Build, PacksWhatIsUsuallyLeftOutWhenItIsAskedForByName) {
    package("adduser", "", {{"usr/sbin/adduser", "x"}});
    useRepository();
    capsule("packages = [\"adduser\"]");
    const auto built = build();
    ASSERT_EQ(built.status, 0) << built.all();
    EXPECT_THAT(unpack().files, Contains(Key("usr/sbin/adduser")));
}

TEST_F(Build, MakesTheSameImageTwiceAndTheSecondTimeWithoutTheRepository) {
    package("tool", "", {{"bin/tool", "x"}});
    useRepository();
    capsule("packages = [\"tool\"]");
    ASSERT_EQ(build().status, 0);
    const auto first = readFile(path("image.tar"));
    const auto again = build();
    ASSERT_EQ(again.status, 0) << again.all();
    EXPECT_EQ(readFile(path("image.tar")), first);
}

TEST_F(Build, SaysWhichPackageThereIsNot) {
    package("tool", "", {{"bin/tool", "x"}});
    useRepository();
    capsule("packages = [\"no-such-tool\"]");
    const auto built = build();
    EXPECT_EQ(built.status, 1);
    EXPECT_THAT(built.err, HasSubstr("no-such-tool"));
    EXPECT_FALSE(fs::exists(path("image.tar")));
    capsule("packages = [\"-oDir=/\"]");
    EXPECT_EQ(build().status, 1);
}

TEST_F(Build, ADynamicProgramRunsFromItsImageAlone) {
    capsule("binaries = [\"/bin/true\"]", "true");
    const auto built = build();
    ASSERT_EQ(built.status, 0) << built.all();
    const auto image = unpack();
    EXPECT_THAT(image.files, Contains(Key("usr/bin/true")));
    EXPECT_EQ(run({"chroot", root_, "/usr/bin/true"}).status, 0);
}

TEST_F(Build, AProgramIsLookedForBesideTheCapsuleAndInTheFoldersGiven) {
    fs::create_directories(path("elsewhere"));
    fs::copy_file("/bin/true", path("elsewhere/tool"));
    capsule("binaries = [\"tool\"]");
    const auto missing = build();
    EXPECT_EQ(missing.status, 1);
    EXPECT_THAT(missing.err, HasSubstr("--binary-dir"));
    const auto built = build({"--binary-dir", path("elsewhere"), "--json"});
    ASSERT_EQ(built.status, 0) << built.all();
    const auto json = nlohmann::json::parse(built.out);
    EXPECT_EQ(json["digest"], "sha256:" + unpack().digest);
    EXPECT_GT(json["size"], 100'000);
}

TEST_F(Build, FilesFromBesideTheCapsuleComeWhereItSays) {
    fs::create_directories(path("scripts"));
    writeFile(path("scripts/go"), "#!/bin/sh\n");
    fs::permissions(path("scripts/go"), static_cast<fs::perms>(0700));
    writeFile(path("conf"), "x = 1\n");
    fs::permissions(path("conf"), static_cast<fs::perms>(0600));
    capsule("binaries = [\"/bin/true\"]\nfiles = { \"/bin/go\" = \"scripts/go\", \"/etc/deep/conf\" = \"conf\" }");
    const auto built = build();
    ASSERT_EQ(built.status, 0) << built.all();
    const auto image = unpack();
    EXPECT_THAT(image.files, Contains(Key("usr/bin/go")));
    EXPECT_EQ(readFile(root_ + "/etc/deep/conf"), "x = 1\n");
    EXPECT_EQ(fs::status(root_ + "/usr/bin/go").permissions(), static_cast<fs::perms>(0755));
    EXPECT_EQ(fs::status(root_ + "/etc/deep/conf").permissions(), static_cast<fs::perms>(0644));
    capsule("binaries = [\"/bin/true\"]\nfiles = { \"/bin/go\" = \"absent\" }");
    EXPECT_THAT(build().err, HasSubstr("file 'absent': No such file"));
    capsule("binaries = [\"/bin/true\"]\nfiles = { \"/bin/go\" = \"scripts\" }");
    EXPECT_THAT(build().err, HasSubstr("file 'scripts': not a regular file"));
}

TEST_F(Build, RefusesAScriptAndACapsuleWithoutABuild) {
    writeFile(path("script"), "#!/bin/sh\n");
    capsule("binaries = [\"script\"]");
    EXPECT_THAT(build().err, HasSubstr("not an ELF program"));
    auto text = readFile(path("capsule.toml"));
    const auto from = text.find("[build]");
    writeFile(path("capsule.toml"), text.replace(from, text.find("[output]") - from, ""));
    EXPECT_THAT(build().err, HasSubstr("no [build]"));
}

TEST(Catalogue, EveryCapsuleIsValid) {
    std::vector<std::string> argv{binDir() / "recap-capsule", "check"};
    for (const auto& entry : fs::directory_iterator(sourceDir() / "sdk/capsules")) {
        if (entry.is_directory()) argv.push_back(entry.path());
    }
    EXPECT_GE(argv.size(), 9u);
    const auto checked = run(argv);
    EXPECT_EQ(checked.status, 0) << checked.out;
}

}  // namespace
}  // namespace recap::test
