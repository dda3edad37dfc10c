// SPDX-License-Identifier: Apache-2.0
#include "daemon/images/reference.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace recap::images {
namespace {

const std::string kHex(64, 'a');

TEST(Reference, TakesNameTagAndDigestApart) {
    const auto plain = parseReference("recap/tcpdump");
    EXPECT_EQ(plain->name, "recap/tcpdump");
    EXPECT_EQ(plain->text(), "recap/tcpdump:latest");
    const auto full = parseReference("registry.example:5000/team/tool_x:1.2-rc@sha256:" + kHex);
    ASSERT_TRUE(full) << full.error().message;
    EXPECT_EQ(full->name, "registry.example:5000/team/tool_x");
    EXPECT_EQ(full->tag, "1.2-rc");
    EXPECT_EQ(full->digest, kHex);
}

TEST(Reference, HasOneNameWithAndWithoutWhatDockerLeavesOut) {
    EXPECT_EQ(parseReference("docker.io/library/nginx:1")->text(), "nginx:1");
    EXPECT_EQ(parseReference("docker.io/recap/tool:1")->text(), "recap/tool:1");
    EXPECT_EQ(parseReference("docker.io/library/a/b")->name, "library/a/b");
    EXPECT_EQ(parseReference("localhost/recap/tool:1")->name, "localhost/recap/tool");
    EXPECT_FALSE(parseReference("docker.io/library/"));
    EXPECT_FALSE(parseReference("docker.io/"));
}

TEST(Reference, RefusesWhatIsNone) {
    const std::vector<std::string> wrong{"",
                                         ":1",
                                         "a:",
                                         "a:b:c",
                                         "A",
                                         "a//b",
                                         "/a",
                                         "a/",
                                         "../a",
                                         "a..b",
                                         "-a",
                                         "a-",
                                         "a b",
                                         "a@sha256:00",
                                         "a@md5:" + kHex,
                                         "a:-x",
                                         "a:" + std::string(129, 'x'),
                                         std::string(256, 'a'),
                                         "a\nb",
                                         "host:port/a"};
    for (const auto& text : wrong) {
        const auto parsed = parseReference(text);
        ASSERT_FALSE(parsed) << text;
        EXPECT_EQ(parsed.error().code, Errc::InvalidArgument);
    }
}

TEST(Reference, AnImagesNameHasNoDigest) {
    EXPECT_EQ(parseName("recap/tool:1")->text(), "recap/tool:1");
    EXPECT_EQ(parseName("a:1@sha256:" + kHex).error().code, Errc::InvalidArgument);
    EXPECT_EQ(parseName("Not A Name").error().code, Errc::InvalidArgument);
}

}  // namespace
}  // namespace recap::images
