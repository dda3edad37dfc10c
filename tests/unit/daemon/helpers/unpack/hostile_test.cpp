// SPDX-License-Identifier: Apache-2.0
// Archives as attackers wrote them (the CVEs of security.md T8 to T10 and T19). Each is refused with a sentence that names
// the entry, or made harmless; and from outside nothing beside the staging folder has changed.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/support/raw_tar.hpp"
#include "tests/unit/daemon/helpers/unpack/unpack_run.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;

struct Layer {
    const char* name;
    std::vector<RawMember> members;
    std::vector<const char*> sentence;  // parts of it
    bool ended = true;
};

void PrintTo(const Layer& layer, std::ostream* out) { *out << layer.name; }

class HostileLayer : public testing::TestWithParam<Layer> {};

TEST_P(HostileLayer, IsRefusedByNameAndTouchesNothingOutside) {
    UnpackRun run;
    const auto done = run.layer(rawTar(GetParam().members, GetParam().ended));
    EXPECT_EQ(done.status, 1);
    for (const auto* part : GetParam().sentence) EXPECT_THAT(done.sentence, HasSubstr(part));
    EXPECT_THAT(run.outsideChanges(), IsEmpty());
    EXPECT_FALSE(fs::exists(run.staging() / "image")) << "a refused image has no record";
}

const std::string kDeep = [] {
    std::string path;
    for (int i = 0; i < 70; ++i) path += "d/";
    return path + "x";
}();

INSTANTIATE_TEST_SUITE_P(
    Corpus, HostileLayer,
    testing::Values(
        Layer{"climbing", {{.name = "../../../host/etc/shadow", .content = "x"}}, {"'/..'", "climbs with '..'"}},
        Layer{"climbing in the middle", {{.name = "a/../../../../host/etc/shadow", .content = "x"}}, {"'a/..'", "climbs"}},
        Layer{"climbing by pax", {{.name = "fine", .content = "x", .pax = {{"path", "../../../host/etc/shadow"}}}}, {"climbs"}},
        Layer{"absolute", {{.name = "/host/etc/shadow", .content = "x"}}, {"'/host/etc/shadow'", "absolute"}},
        Layer{"through a symbolic link",
              {{.name = "a", .type = '2', .link = "../../../../../host/etc"}, {.name = "a/shadow", .content = "x"}},
              {"'a/shadow'", "through 'a'", "symbolic link"}},
        Layer{"through an absolute symbolic link",
              {{.name = "a", .type = '2', .link = "/etc"}, {.name = "a/b/c", .content = "x"}},
              {"'a/b/c'", "through 'a'"}},
        Layer{"a folder over a symbolic link",
              {{.name = "a", .type = '2', .link = "/etc"}, {.name = "a", .type = '5', .mode = 0777}},
              {"'a'", "symbolic link"}},
        Layer{"an opaque whiteout through a symbolic link",
              {{.name = "a", .type = '2', .link = "/etc"}, {.name = "a/.wh..wh..opq"}},
              {"'a/.wh..wh..opq'", "through 'a'"}},
        Layer{"below a file", {{.name = "a", .content = "x"}, {.name = "a/b", .content = "x"}}, {"'a/b'", "not a folder"}},
        Layer{"hard link to an absolute name", {{.name = "h", .type = '1', .link = "/etc/shadow"}}, {"'h'", "absolute"}},
        Layer{"hard link that climbs", {{.name = "h", .type = '1', .link = "../../../host/etc/shadow"}}, {"'h'", "climbs"}},
        Layer{"hard link through a symbolic link",
              {{.name = "s", .type = '2', .link = "/etc"}, {.name = "h", .type = '1', .link = "s/shadow"}},
              {"'h'", "'s/shadow'", "no earlier regular file"}},
        Layer{"hard link to a symbolic link",
              {{.name = "s", .type = '2', .link = "/etc/shadow"}, {.name = "h", .type = '1', .link = "s"}},
              {"'h'", "no earlier regular file"}},
        Layer{"hard link to a later file",
              {{.name = "h", .type = '1', .link = "later"}, {.name = "later", .content = "x"}},
              {"'h'", "no earlier regular file"}},
        Layer{"hard link to a whiteout", {{.name = ".wh.w"}, {.name = "h", .type = '1', .link = "w"}}, {"'h'", "no earlier regular file"}},
        Layer{"character device", {{.name = "dev/kmem", .type = '3'}}, {"'dev/kmem'", "a device"}},
        Layer{"block device", {{.name = "dev/sda", .type = '4'}}, {"'dev/sda'", "a device"}},
        Layer{"fifo", {{.name = "run/f", .type = '6'}}, {"'run/f'", "a fifo"}},
        Layer{"overlay xattr, trusted",
              {{.name = "d", .type = '5', .pax = {{"SCHILY.xattr.trusted.overlay.redirect", "/etc"}}}},
              {"'d'", "trusted.overlay.redirect"}},
        Layer{"overlay xattr, user",
              {{.name = "d", .type = '5', .pax = {{"SCHILY.xattr.user.overlay.metacopy", "x"}}}},
              {"'d'", "user.overlay.metacopy"}},
        Layer{"overlay xattr, the other spelling",
              {{.name = "d", .type = '5', .pax = {{"LIBARCHIVE.xattr.user.overlay.opaque", "eQ"}}}},
              {"'d'", "user.overlay.opaque"}},
        Layer{"overlay xattr, fuse",
              {{.name = "d", .type = '5', .pax = {{"SCHILY.xattr.user.fuseoverlayfs.opaque", "y"}}}},
              {"'d'", "fuseoverlayfs"}},
        Layer{"a second file", {{.name = "a", .content = "1"}, {.name = "./a", .content = "2"}}, {"'a'", "of that name already"}},
        Layer{"a file over a folder", {{.name = "a", .type = '5'}, {.name = "a", .content = "2"}}, {"'a'", "of that name already"}},
        Layer{"a whiteout of what the layer has", {{.name = "a", .content = "1"}, {.name = ".wh.a"}}, {"'.wh.a'", "of that name already"}},
        Layer{"a whiteout of ..", {{.name = "a/.wh..."}}, {"'a/.wh...'", "'..'"}},
        Layer{"a whiteout of .", {{.name = ".wh.."}}, {"'.wh..'", "'.'"}}, Layer{"a whiteout of nothing", {{.name = ".wh."}}, {"'.wh.'"}},
        Layer{"below a whiteout", {{.name = ".wh.a/b", .content = "x"}}, {"below a whiteout"}},
        Layer{"a part that is too long", {{.name = "x", .pax = {{"path", std::string(300, 'n')}}}}, {"longer than 255 bytes"}},
        Layer{"a name that is too long", {{.name = "x", .pax = {{"path", std::string(5000, 'n')}}}}, {"longer than 2048 bytes"}},
        Layer{"a name that is too deep", {{.name = "x", .pax = {{"path", kDeep}}}}, {"deeper than 64 folders"}},
        Layer{"an empty name", {{.name = ""}}, {"empty"}}, Layer{"the root as a file", {{.name = "./.", .content = "x"}}, {"''"}},
        Layer{"a bomb by its header", {{.name = "zeros", .content = "", .pax = {{"size", "9223372036854775000"}}}}, {}},
        Layer{"a size over the cap", {{.name = "big", .pax = {{"size", "5000000000"}}}}, {"'big'", "over 4294967296 bytes"}},
        Layer{"a sparse file over the cap",
              {{.name = "holes", .pax = {{"GNU.sparse.size", "999999999999"}, {"GNU.sparse.numblocks", "1"}, {"GNU.sparse.map", "0,0"}}}},
              {"'holes'", "over 4294967296 bytes"}},
        Layer{"an owner that is none", {{.name = "a", .pax = {{"uid", "4294967295"}}}}, {"'a'", "owner"}},
        Layer{"a truncated member", {{.name = "a", .content = "x", .declaredSize = 4096}}, {}, false}));

TEST(HostileArchive, SetuidAndFileCapabilitiesAreTakenAway) {
    UnpackRun run;
    std::string capability("\x01\0\0\x02\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    const auto done =
        run.layer(rawTar({{.name = "d", .type = '5', .mode = 06777},
                          {.name = "d/su", .content = "x", .mode = 06755},
                          {.name = "d/cap", .content = "x", .mode = 0755, .pax = {{"SCHILY.xattr.security.capability", capability}}}}));
    ASSERT_EQ(done.status, 0) << done.sentence;
    std::size_t files = 0;
    for (const auto& entry : fs::recursive_directory_iterator(run.staging())) {
        struct stat info {};
        ASSERT_EQ(::lstat(entry.path().c_str(), &info), 0);
        EXPECT_EQ(info.st_mode & (S_ISUID | S_ISGID), 0u) << entry.path();
        char value[64];
        EXPECT_LT(::lgetxattr(entry.path().c_str(), "security.capability", value, sizeof value), 0) << entry.path();
        ++files;
    }
    EXPECT_GE(files, 4u);
}

TEST(HostileArchive, LinksMayPointAnywhereButAreNotFollowed) {
    UnpackRun run;
    const auto done =
        run.layer(rawTar({{.name = "etc", .type = '2', .link = "/etc"}, {.name = "up", .type = '2', .link = "../../../../host"}}));
    ASSERT_EQ(done.status, 0) << done.sentence;
    EXPECT_THAT(run.outsideChanges(), IsEmpty());
}

TEST(HostileArchive, AWrongDigestIsRefused) {
    UnpackRun run;
    const auto done = run.layout({.layers = {rawTar({{.name = "a"}})}, .corruptBlob = "x"});
    EXPECT_EQ(done.status, 1);
    EXPECT_THAT(done.sentence, HasSubstr("longer than"));
    UnpackRun other;
    writeRawImage({.layers = {rawTar({{.name = "a"}})}}, other.folder() / "layout");
    for (const auto& blob : fs::directory_iterator(other.folder() / "layout/blobs/sha256")) {
        auto bytes = readFile(blob.path());
        if (bytes.size() < 1024) continue;
        bytes[0] = 'b';
        writeFile(blob.path(), bytes);
    }
    const auto changed = other.archive(rawArchive(other.folder() / "layout"));
    EXPECT_EQ(changed.status, 1);
    EXPECT_THAT(changed.sentence, HasSubstr("the blob's bytes have the digest"));
}

TEST(HostileArchive, AWrongDiffIdIsRefused) {
    UnpackRun run;
    const auto done = run.layout({.layers = {rawTar({{.name = "a"}})}, .diffIds = {std::string(64, '0')}});
    EXPECT_EQ(done.status, 1);
    EXPECT_THAT(done.sentence, HasSubstr("not the config's sha256:0000"));
}

TEST(HostileArchive, TruncatedAndMislabelledCompressionIsRefused) {
    const auto tar = rawTar({{.name = "a", .content = std::string(100'000, 'x') + std::to_string(::getpid())}});
    const auto packed = gzipped(tar);
    const std::string gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
    for (const auto& [type, blob] : {std::pair{gzip, packed.substr(0, packed.size() / 2)},
                                     {gzip, tar},
                                     {gzip, gzipped(packed)},
                                     {gzip, std::string()},
                                     {std::string("application/vnd.oci.image.layer.v1.tar"), packed}}) {
        UnpackRun run;
        const auto done = run.layout({.layers = {tar}, .mediaType = type, .blobs = {blob}});
        EXPECT_EQ(done.status, 1) << type << " " << blob.size();
        EXPECT_THAT(done.sentence, HasSubstr("layer sha256:"));
    }
}

TEST(HostileArchive, ABombIsStoppedByItsHeadersNotByTheDisk) {
    UnpackRun run;
    std::vector<RawMember> members(3, {.name = "", .pax = {{"size", "2000000000"}}});
    members[0].name = "zeros";
    members[0].content = std::string(1 << 20, '\0');
    const auto done = run.layer(rawTar(members));
    EXPECT_EQ(done.status, 1);
    struct stat info {};
    for (const auto& entry : fs::recursive_directory_iterator(run.staging())) {
        ASSERT_EQ(::lstat(entry.path().c_str(), &info), 0);
        EXPECT_LT(info.st_blocks * 512, 4 << 20) << entry.path();
    }
}

TEST(HostileArchive, TooManyEntriesAreRefused) {
    UnpackRun run;
    std::string tar;
    const auto one = rawTar({{.name = "d", .type = '5'}}, false);
    for (int i = 0; i < 200'001; ++i) tar += one;
    tar = gzipped(tar + std::string(1024, '\0'));
    const auto done = run.layout({.layers = {tar}, .mediaType = "application/vnd.oci.image.layer.v1.tar+gzip", .blobs = {tar}});
    EXPECT_EQ(done.status, 1);
    EXPECT_THAT(done.sentence, HasSubstr("more than 200000 entries"));
}

TEST(HostileArchive, AnArchiveOfSomethingElseIsRefused) {
    for (const auto& bytes : {std::string(), std::string(4096, 'x'), rawTar({{.name = "README", .content = "hello"}}),
                              rawTar({{.name = "../index.json", .content = "{}"}}),
                              rawTar({{.name = "index.json", .type = '2', .link = "/etc/shadow"}, {.name = "oci-layout", .content = "{}"}}),
                              rawTar({{.name = "index.json", .content = "{}"}, {.name = "index.json", .content = "{}"}})}) {
        UnpackRun run;
        const auto done = run.archive(bytes);
        EXPECT_EQ(done.status, 1);
        EXPECT_THAT(done.sentence, testing::Not(IsEmpty()));
        EXPECT_THAT(run.outsideChanges(), IsEmpty());
    }
}

TEST(HostileFolder, LinksInALayoutAreNotFollowed) {
    for (const auto* target : {"/etc/passwd", "../host/etc/shadow", "real.json"}) {
        UnpackRun run;
        writeRawImage({.layers = {rawTar({{.name = "a"}})}}, run.folder() / "layout");
        fs::rename(run.folder() / "layout/index.json", run.folder() / "layout/real.json");
        fs::create_symlink(target, run.folder() / "layout/index.json");
        const UniqueFd folder(::open((run.folder() / "layout").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        run.start(folder.get());
        const auto done = run.finish();
        EXPECT_EQ(done.status, 1) << target;
        EXPECT_THAT(done.sentence, HasSubstr("index.json"));
    }
}

TEST(HostileFolder, AFifoInALayoutDoesNotHoldItUp) {
    UnpackRun run;
    writeRawImage({.layers = {rawTar({{.name = "a"}})}}, run.folder() / "layout");
    fs::remove(run.folder() / "layout/index.json");
    ASSERT_EQ(::mkfifo((run.folder() / "layout/index.json").c_str(), 0600), 0);
    const UniqueFd folder(::open((run.folder() / "layout").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    run.start(folder.get());
    const auto done = run.finish();
    EXPECT_EQ(done.status, 1);
    EXPECT_THAT(done.sentence, HasSubstr("not a regular file"));
}

}  // namespace
}  // namespace recap::test
