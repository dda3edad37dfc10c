// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sdk/base/unique_fd.hpp"
#include "sdk/image/tar_index.hpp"
#include "sdk/image/tar_writer.hpp"
#include "tests/support/command.hpp"
#include "tests/support/files.hpp"
#include "tests/support/raw_tar.hpp"

namespace recap::image {
namespace {

std::string written(const std::vector<std::pair<TarMember, std::string>>& members) {
    std::string bytes;
    TarWriter tar([&](std::string_view more) {
        bytes += more;
        return Result<void>{};
    });
    std::uint64_t cost = 0;
    for (const auto& [member, content] : members) {
        cost += TarWriter::cost(member);
        EXPECT_TRUE(tar.begin(member));
        EXPECT_TRUE(tar.data(content));
        EXPECT_TRUE(tar.end());
    }
    EXPECT_EQ(bytes.size(), cost);
    EXPECT_TRUE(tar.finish());
    return bytes;
}

UniqueFd memoryFile(const std::string& bytes) {
    UniqueFd fd(::memfd_create("tar", MFD_CLOEXEC));
    EXPECT_TRUE(writeAll(fd.get(), bytes));
    return fd;
}

TarMember file(std::string path, std::uint64_t size) {
    TarMember member;
    member.path = std::move(path);
    member.size = size;
    return member;
}

const std::string kLong = std::string(90, 'd') + "/" + std::string(120, 'f');  // needs pax: no part fits ustar's name

TEST(TarWriter, IsReadBackByTar) {
    test::TempDir folder;
    TarMember sub;
    sub.path = "sub";
    sub.kind = TarMember::Kind::Directory;
    sub.mode = 0755;
    const auto prefixed = std::string(120, 'p') + "/" + std::string(80, 'n');
    test::writeFile(folder.path() / "a.tar",
                    written({{sub, ""}, {file("sub/a", 5), "hello"}, {file(kLong, 3), "pax"}, {file(prefixed, 6), "prefix"}}));
    const auto listed = test::run({"tar", "-tf", folder.path() / "a.tar"});
    EXPECT_EQ(listed.out, "sub/\nsub/a\n" + kLong + "\n" + prefixed + "\n") << listed.err;
    test::mustRun({"tar", "-C", folder.path(), "-xf", folder.path() / "a.tar"});
    EXPECT_EQ(test::readFile(folder.path() / "sub/a"), "hello");
    EXPECT_EQ(test::readFile(folder.path() / kLong), "pax");
}

TEST(TarWriter, AFileThatShrankOrGrewStillLeavesAValidArchive) {
    const auto fd = memoryFile(written({{file("shrank", 600), "short"}, {file("grew", 2), "longer"}, {file("last", 4), "last"}}));
    const auto members = indexTar(fd.get());
    ASSERT_TRUE(members) << members.error().message;
    ASSERT_EQ(members->size(), 3u);
    const UniqueFd out(::memfd_create("out", MFD_CLOEXEC));
    ASSERT_TRUE(copyMember(fd.get(), (*members)[0], out.get()));
    ASSERT_TRUE(copyMember(fd.get(), (*members)[1], out.get()));
    ASSERT_TRUE(copyMember(fd.get(), (*members)[2], out.get()));
    ::lseek(out.get(), 0, SEEK_SET);
    EXPECT_EQ(*readAll(out.get(), 4096), "short" + std::string(595, '\0') + "lo" + "last");
}

TEST(TarWriter, SaysASizeOverOctalsReachInPax) {
    std::string bytes;
    TarWriter tar([&](std::string_view more) {
        bytes += more;
        return Result<void>{};
    });
    ASSERT_TRUE(tar.begin(file("huge", 9ull << 30)));
    EXPECT_NE(bytes.find("size=9663676416\n"), bytes.npos);
}

TEST(IndexTar, FindsMembersAndTheirContent) {
    const auto fd = memoryFile(written({{file("a", 5), "hello"}, {file(kLong, 3), "pax"}}));
    const auto members = indexTar(fd.get());
    ASSERT_TRUE(members) << members.error().message;
    ASSERT_EQ(members->size(), 2u);
    EXPECT_EQ((*members)[1].path, kLong);
    EXPECT_EQ((*members)[1].size, 3u);
    EXPECT_EQ((*members)[0].offset, 512u);
}

struct Hostile {
    const char* what;
    std::string tar;
};

TEST(IndexTar, RefusesWhatACollectorNeverWrites) {
    using test::rawTar;
    std::string badSum = rawTar({{.name = "a", .content = "x"}});
    badSum[0] = 'b';
    const Hostile cases[] = {
        {"absolute", rawTar({{.name = "/etc/passwd"}})},
        {"climbing", rawTar({{.name = "a/../../b"}})},
        {"pax climbing", rawTar({{.name = "fine", .pax = {{"path", "../x"}}}})},
        {"symlink", rawTar({{.name = "l", .type = '2', .link = "/etc/shadow"}})},
        {"hard link", rawTar({{.name = "l", .type = '1', .link = "a"}})},
        {"device", rawTar({{.name = "d", .type = '3'}})},
        {"longer than the archive", rawTar({{.name = "a", .content = "x", .declaredSize = 1u << 30}})},
        {"size that overflows", rawTar({{.name = "a", .pax = {{"size", "18446744073709551615"}}}})},
        {"not a number", rawTar({{.name = "a", .pax = {{"size", "-1"}}}})},
        {"no end", rawTar({{.name = "a", .content = "x"}}, false)},
        {"empty", ""},
        {"checksum", badSum},
        {"text", std::string(2048, 'x')},
    };
    for (const auto& [what, tar] : cases) {
        const auto fd = memoryFile(tar);
        EXPECT_FALSE(indexTar(fd.get())) << what;
    }
}

TEST(IndexTar, StopsAtItsLimitOfEntries) {
    Limits limits;
    limits.entries = 2;
    const auto fd = memoryFile(written({{file("a", 0), ""}, {file("b", 0), ""}, {file("c", 0), ""}}));
    const auto members = indexTar(fd.get(), limits);
    ASSERT_FALSE(members);
    EXPECT_EQ(members.error().code, Errc::LimitExceeded);
}

}  // namespace
}  // namespace recap::image
