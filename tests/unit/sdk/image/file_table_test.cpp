// SPDX-License-Identifier: Apache-2.0
#include "sdk/image/file_table.hpp"

#include <gmock/gmock.h>

namespace recap::image {
namespace {

using Kind = FileEntry::Kind;

std::vector<std::string> paths(const FileTable& table) {
    std::vector<std::string> all;
    for (const auto& [path, entry] : table) all.push_back(path);
    return all;
}

const FileTable kLower{{"", {Kind::Directory, 0755, {}, false}},  {"a", {Kind::Directory, 0755, {}, false}},
                       {"a/x", {Kind::Regular, 0644, {}, false}}, {"a/y", {Kind::Regular, 0644, {}, false}},
                       {"a-b", {Kind::Regular, 0644, {}, false}}, {"a0", {Kind::Regular, 0644, {}, false}}};

TEST(ApplyLayer, AWhiteoutHidesAFolderWithAllThatIsInItAndNothingElse) {
    auto image = kLower;
    applyLayer(image, {{"a", {Kind::Whiteout, 0, {}, false}}});
    EXPECT_THAT(paths(image), testing::ElementsAre("", "a-b", "a0"));
}

TEST(ApplyLayer, AnOpaqueFolderHidesLowerEntriesButNotItsOwn) {
    auto image = kLower;
    applyLayer(image, {{"a", {Kind::Directory, 0700, {}, true}}, {"a/new", {Kind::Regular, 0600, {}, false}}});
    EXPECT_THAT(paths(image), testing::ElementsAre("", "a", "a-b", "a/new", "a0"));
    EXPECT_FALSE(image.at("a").opaque);
    EXPECT_EQ(image.at("a").mode, 0700u);
}

TEST(ApplyLayer, AFileInAFoldersPlaceHidesWhatTheFolderHeld) {
    auto image = kLower;
    applyLayer(image, {{"a", {Kind::Symlink, 0777, "elsewhere", false}}});
    EXPECT_THAT(paths(image), testing::ElementsAre("", "a", "a-b", "a0"));
}

TEST(ApplyLayer, AnOpaqueRootHidesEverything) {
    auto image = kLower;
    applyLayer(image, {{"", {Kind::Directory, 0755, {}, true}}, {"only", {Kind::Regular, 0644, {}, false}}});
    EXPECT_THAT(paths(image), testing::ElementsAre("", "only"));
}

}  // namespace
}  // namespace recap::image
