// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "daemon/core/image.hpp"

namespace recap {
namespace {

using Kind = ImageFile::Kind;
using testing::HasSubstr;

constexpr std::string_view kPath = "/usr/local/bin:/usr/bin:/bin";

Image merged() {
    Image image;
    image.references = {"recap/tool:1"};
    image.files = {{"/bin", {Kind::Symlink, 0777, "usr/bin"}},
                   {"/usr", {Kind::Directory, 0755, ""}},
                   {"/usr/bin", {Kind::Directory, 0755, ""}},
                   {"/usr/bin/tool", {Kind::Regular, 0755, ""}},
                   {"/usr/bin/alias", {Kind::Symlink, 0777, "tool"}},
                   {"/usr/bin/far", {Kind::Symlink, 0777, "/etc/alternatives/far"}},
                   {"/usr/bin/data", {Kind::Regular, 0644, ""}},
                   {"/usr/bin/loop", {Kind::Symlink, 0777, "loop"}},
                   {"/usr/bin/gone", {Kind::Symlink, 0777, "/nowhere"}},
                   {"/usr/bin/up", {Kind::Symlink, 0777, "../../../../bin/tool"}},
                   {"/usr/bin/dev", {Kind::Other, 0777, ""}},
                   {"/etc", {Kind::Directory, 0755, ""}},
                   {"/etc/alternatives", {Kind::Directory, 0755, ""}},
                   {"/etc/alternatives/far", {Kind::Symlink, 0777, "/bin/tool"}}};
    return image;
}

TEST(FindExecutable, LooksAlongTheSearchPath) { EXPECT_EQ(*findExecutable(merged(), "tool", kPath), "/usr/bin/tool"); }

TEST(FindExecutable, FollowsLinksWithinTheImage) {
    EXPECT_EQ(*findExecutable(merged(), "/bin/tool", kPath), "/usr/bin/tool");
    EXPECT_EQ(*findExecutable(merged(), "alias", kPath), "/usr/bin/tool");
    EXPECT_EQ(*findExecutable(merged(), "far", kPath), "/usr/bin/tool");
    EXPECT_EQ(*findExecutable(merged(), "tool", "/bin"), "/usr/bin/tool");
    EXPECT_EQ(*findExecutable(merged(), "bin/tool", kPath), "/usr/bin/tool");
    EXPECT_EQ(*findExecutable(merged(), "/usr/bin/../../bin/./tool", kPath), "/usr/bin/tool");
}

TEST(FindExecutable, DoesNotClimbAboveTheImagesRoot) { EXPECT_EQ(*findExecutable(merged(), "up", kPath), "/usr/bin/tool"); }

TEST(FindExecutable, NamesTheCommandAndTheImageItIsNotIn) {
    for (const auto* command : {"missing", "/bin/missing", "gone", "/usr/bin/tool/x", "loop"}) {
        const auto found = findExecutable(merged(), command, kPath);
        ASSERT_FALSE(found) << command;
        EXPECT_EQ(found.error().code, Errc::NoCommand);
        EXPECT_THAT(found.error().message, HasSubstr(command));
        EXPECT_THAT(found.error().message, HasSubstr("recap/tool:1"));
    }
}

TEST(FindExecutable, TellsWhatIsThereButNotExecutable) {
    for (const auto* command : {"data", "/usr/bin/dev", "/usr/bin"}) {
        const auto found = findExecutable(merged(), command, kPath);
        ASSERT_FALSE(found) << command;
        EXPECT_EQ(found.error().code, Errc::NotExecutable);
        EXPECT_THAT(found.error().message, HasSubstr("not an executable file"));
    }
}

TEST(FindExecutable, IgnoresFoldersOfTheSearchPathThatAreNotAbsolute) {
    EXPECT_FALSE(findExecutable(merged(), "tool", "usr/bin::."));
    EXPECT_FALSE(findExecutable(merged(), "", kPath));
}

}  // namespace
}  // namespace recap
