// SPDX-License-Identifier: Apache-2.0
#include "daemon/plan/adjust.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sdk/manifest/reader.hpp"

using namespace recap;
using namespace recap::plan;
using manifest::Manifest;
using testing::HasSubstr;
using testing::IsEmpty;

namespace {

constexpr std::uint32_t kPid = 1, kNet = 2;

Manifest manifestWith(const std::string& sandbox) {
    auto read = manifest::readManifest(
        "manifest = 1\n[capsule]\nname = \"a\"\nimage = \"a:1\"\ncommand = [\"a\"]\n[sandbox]\n" + sandbox + "\n", "a.toml");
    EXPECT_TRUE(read) << manifest::join(read.diagnostics);
    return std::move(*read.value);
}

const std::string kAll = "adjustable = [\"view\", \"user\", \"processes\", \"image\"]\n";

Error refusal(const std::string& sandbox, const Adjustments& by) {
    auto adjusted = adjust(manifestWith(sandbox), by);
    EXPECT_FALSE(adjusted) << "was adjusted";
    return adjusted ? Error{Errc::None, ""} : adjusted.error();
}

CapsuleInfo capsule(const std::string& view = "none") {
    CapsuleInfo info;
    info.namespaces = {"net"};
    info.view = view;
    return info;
}

}  // namespace

TEST(Adjust, OnlyWhatTheManifestLeavesToItsCallers) {
    const Adjustments choices[] = {{.view = "none"}, {.user = "target"}, {.processes = "none"}, {.image = "b:1"}};
    const char* keys[] = {"view", "user", "processes", "image"};
    for (std::size_t i = 0; i < std::size(choices); ++i) {
        const auto refused = refusal("", choices[i]);
        EXPECT_EQ(refused.code, Errc::Denied);
        EXPECT_EQ(refused.message, "capsule 'a' does not leave '" + std::string(keys[i]) +
                                       "' to its callers: it is not among sandbox.adjustable of its manifest");
        EXPECT_TRUE(adjust(manifestWith("adjustable = [\"" + std::string(keys[i]) + "\"]"), choices[i])) << keys[i];
    }
    EXPECT_EQ(refusal("adjustable = [\"view\"]", {.view = "none", .user = "root"}).code, Errc::Denied);
}

TEST(Adjust, IsAsIfTheManifestSaidIt) {
    const auto adjusted = adjust(manifestWith(kAll + "namespaces = [\"net\"]\nprocesses = \"join\"\nview = \"merged\""),
                                 {.view = "read-only", .user = "1000:2000", .processes = "observe", .image = "b:2"});
    ASSERT_TRUE(adjusted);
    EXPECT_EQ(adjusted->sandbox.view, manifest::View::ReadOnly);
    EXPECT_EQ(adjusted->sandbox.user.kind, manifest::User::Kind::Ids);
    EXPECT_EQ(adjusted->sandbox.user.gid, 2000u);
    EXPECT_EQ(adjusted->sandbox.processes, manifest::Processes::Observe);
    EXPECT_EQ(adjusted->sandbox.namespaces, kNet);
    EXPECT_EQ(adjusted->image, "b:2");
    EXPECT_THAT(adjusted->command, IsEmpty()) << "that is of the image that is not used";
    EXPECT_EQ(adjust(manifestWith(kAll), {.processes = "join"})->sandbox.namespaces, kPid);
    const auto plain = adjust(manifestWith("processes = \"join\"\nview = \"merged\""), {});
    EXPECT_EQ(plain->sandbox.namespaces, kPid);
    EXPECT_EQ(plain->sandbox.view, manifest::View::Merged);
}

TEST(Adjust, WritingIsNobodysToChoose) {
    EXPECT_THAT(refusal(kAll, {.view = "write"}).message, HasSubstr("view 'write' can't be chosen; it is one of none, read-only, merged"));
    EXPECT_THAT(adjust(manifestWith(kAll + "view = \"write\"\nwrites = [\"/var/log\"]"), {.view = "read-only"})->sandbox.writes, IsEmpty());
    EXPECT_EQ(adjust(manifestWith(kAll + "view = \"write\"\nwrites = [\"/var/log\"]"), {.user = "target"})->sandbox.writes.size(), 1u);
}

TEST(Adjust, RefusesWordsThatAreNone) {
    EXPECT_EQ(refusal(kAll, {.view = "everything"}).code, Errc::InvalidArgument);
    EXPECT_THAT(refusal(kAll, {.processes = "all\n"}).message, HasSubstr("can't be chosen; it is one of none, observe, join"));
    EXPECT_THAT(refusal(kAll, {.user = "nobody"}).message, HasSubstr("'nobody' is not a user"));
    EXPECT_EQ(refusal(kAll, {.image = "../x"}).code, Errc::InvalidArgument);
}

TEST(Adjusted, ForPolkitHasTheNamespacesOfTheChoice) {
    EXPECT_EQ(adjusted(capsule(), {.processes = "join"}).namespaces, (std::vector<std::string>{"pid", "net"}));
    auto joins = capsule();
    joins.namespaces = {"pid", "net"};
    joins.processes = "join";
    EXPECT_EQ(adjusted(joins, {.processes = "observe"}).namespaces, std::vector<std::string>{"net"});
    EXPECT_EQ(adjusted(joins, {.view = "none"}).namespaces, joins.namespaces);
}

TEST(Adjusted, NeverTakesALesserRightThanTheCapsules) {
    EXPECT_FALSE(privileged(capsule(), {}));
    EXPECT_FALSE(privileged(capsule(), {.view = "read-only", .user = "target", .processes = "observe"}));
    EXPECT_TRUE(privileged(capsule(), {.view = "merged"}));
    EXPECT_TRUE(privileged(capsule(), {.user = "root"}));
    EXPECT_TRUE(privileged(capsule(), {.processes = "join"}));
    EXPECT_TRUE(privileged(capsule(), {.image = "b:1"}));
    EXPECT_TRUE(privileged(capsule("merged"), {.view = "none"}));
}
