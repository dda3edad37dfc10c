// SPDX-License-Identifier: Apache-2.0
// recap-capsule from outside: its output and its exit status.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

using testing::HasSubstr;

namespace {

struct Ran {
    int status = -1;
    std::string output;
};

Ran run(const std::string& arguments) {
    const std::string command = std::string(std::getenv("RECAP_BIN_DIR")) + "/recap-capsule " + arguments + " 2>&1";
    Ran result;
    FILE* pipe = ::popen(command.c_str(), "r");
    char buffer[4096];
    while (const auto got = std::fread(buffer, 1, sizeof buffer, pipe)) result.output.append(buffer, got);
    const int status = ::pclose(pipe);
    result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return result;
}

class CheckVerb : public testing::Test {
protected:
    CheckVerb() {
        std::string pattern = (std::filesystem::temp_directory_path() / "recap-check-XXXXXX").string();
        folder_ = ::mkdtemp(pattern.data());
    }
    ~CheckVerb() override { std::filesystem::remove_all(folder_); }

    std::string file(const std::string& name, const std::string& text) {
        const auto path = folder_ / name;
        std::ofstream(path) << text;
        return path.string();
    }

    std::filesystem::path folder_;
};

constexpr auto kRight = "manifest = 1\n[capsule]\nname = \"a\"\nimage = \"a:1\"\n";
constexpr auto kWrong = "manifest = 1\n[capsule]\nname = \"a\"\nimage = \"a:1\"\nwrokdir = \"/\"\nargs = \"some\"\n";

}  // namespace

TEST_F(CheckVerb, SaysNothingOfARightManifest) {
    const auto ran = run("check " + file("capsule.toml", kRight) + " " + folder_.string());
    EXPECT_EQ(ran.status, 0);
    EXPECT_EQ(ran.output, "");
    EXPECT_EQ(nlohmann::json::parse(run("check --json " + folder_.string()).output), nlohmann::json::array());
}

TEST_F(CheckVerb, SaysEverythingOfAWrongOne) {
    const auto wrong = file("wrong.toml", kWrong);
    const auto ran = run("check " + file("capsule.toml", kRight) + " " + wrong + " " + (folder_ / "absent.toml").string());
    EXPECT_EQ(ran.status, 1);
    EXPECT_THAT(ran.output, HasSubstr(wrong + ":5:1: capsule.wrokdir: unknown key; did you mean 'workdir'?\n"));
    EXPECT_THAT(ran.output, HasSubstr(wrong + ":6:8: capsule.args: 'some' is not one of append, replace, refuse\n"));
    EXPECT_THAT(ran.output, HasSubstr("absent.toml: No such file or directory"));
}

TEST_F(CheckVerb, PrintsFindingsAsJsonAlone) {
    const auto ran = run("check --json " + file("wrong.toml", kWrong));
    EXPECT_EQ(ran.status, 1);
    const auto rows = nlohmann::json::parse(ran.output);
    ASSERT_EQ(rows.size(), 2u);
    EXPECT_EQ(rows[0]["line"], 5);
    EXPECT_EQ(rows[0]["key"], "capsule.wrokdir");
}

TEST_F(CheckVerb, RefusesWrongUse) {
    EXPECT_EQ(run("check").status, 2);
    EXPECT_EQ(run("frobnicate").status, 2);
    EXPECT_EQ(run("--version").status, 0);
}
