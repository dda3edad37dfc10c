// SPDX-License-Identifier: Apache-2.0
// What `docker save` of 20.10 writes, and others in its form: well made ones give one image each time, and hostile ones are
// refused by name.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <thread>

#include <nlohmann/json.hpp>

#include "tests/support/raw_tar.hpp"
#include "tests/unit/daemon/helpers/unpack/unpack_run.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;
using Members = std::vector<RawMember>;

RawImage toolImage() {
    const auto lower = rawTar({{.name = "usr/bin/tool", .content = "#!", .mode = 0755}, {.name = "etc/gone", .content = "old"}});
    const auto upper = rawTar({{.name = "etc/.wh.gone"}});
    return {.layers = {lower, upper, lower}, .configExtra = R"(,"config":{"Cmd":["tool"]})", .reference = "recap/tool:1"};
}

RawMember& memberOf(Members& members, const std::string& end) {
    for (auto& member : members) {
        if (member.type == '0' && member.name.ends_with(end)) return member;
    }
    throw std::runtime_error("no member " + end);
}

RawMember& configOf(Members& members) {
    for (auto& member : members) {
        if (member.name.size() == 64 + 5 && member.name.ends_with(".json")) return member;
    }
    throw std::runtime_error("no config");
}

nlohmann::json answerOf(const UnpackRun& run) { return nlohmann::json::parse(readFile(run.staging() / "answer.json")); }

// Of an image that has to be taken.
std::string digestOf(const Members& members) {
    UnpackRun run;
    const auto done = run.archive(rawTar(members));
    EXPECT_EQ(done.status, 0) << done.sentence;
    return done.status == 0 ? answerOf(run)["digest"].get<std::string>() : "";
}

TEST(DockerArchive, IsUnpackedAndNamedByItsTag) {
    UnpackRun run;
    const auto done = run.archive(rawTar(rawDockerArchive(toolImage())));
    ASSERT_EQ(done.status, 0) << done.sentence;
    const auto answer = answerOf(run);
    EXPECT_EQ(answer["reference"], "recap/tool:1");
    EXPECT_EQ(answer["config"]["Cmd"], nlohmann::json({"tool"}));
    EXPECT_EQ(answer["layers"].size(), 3u);
    EXPECT_EQ(answer["layers"][0], answer["layers"][2]) << "the third is a link to the first";
    EXPECT_THAT(answer["files"].dump(), HasSubstr(R"(["/usr/bin/tool","f",493,""])"));
    EXPECT_TRUE(fs::exists(run.staging() / "image"));
    EXPECT_EQ(std::distance(fs::directory_iterator(run.staging()), fs::directory_iterator{}), 3) << "nothing of the spool is left";
    EXPECT_THAT(run.outsideChanges(), IsEmpty());
}

TEST(DockerArchive, HasOneDigestHoweverItIsOrderedAndTagged) {
    const auto members = rawDockerArchive(toolImage());
    const auto digest = digestOf(members);
    EXPECT_EQ(digestOf(members), digest);
    EXPECT_EQ(digestOf({members.rbegin(), members.rend()}), digest) << "links before and behind what they lead to";
    auto image = toolImage();
    image.reference.clear();
    EXPECT_EQ(digestOf(rawDockerArchive(image)), digest);
    auto unlinked = members;
    for (auto& member : unlinked) {
        if (member.type == '2') member = {.name = member.name, .content = image.layers[0]};
    }
    EXPECT_EQ(digestOf(unlinked), digest);
    image.layers.pop_back();
    EXPECT_NE(digestOf(rawDockerArchive(image)), digest);
}

TEST(DockerArchive, ComesThroughAPipeAndItsWriterReachesTheEnd) {
    UnpackRun run;
    int pipe[2];
    ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
    const auto bytes = rawTar(rawDockerArchive(toolImage())) + std::string(300'000, '\0');  // padded, more than a pipe holds
    {
        const UniqueFd input(pipe[0]);
        run.start(input.get());
    }
    bool whole = false;
    std::thread writer([&, to = UniqueFd(pipe[1])] {
        std::size_t at = 0;
        for (ssize_t put = 1; put > 0 && at < bytes.size(); at += static_cast<std::size_t>(std::max<ssize_t>(put, 0)))
            put = ::write(to.get(), bytes.data() + at, bytes.size() - at);
        whole = at == bytes.size();
    });
    writer.join();
    const auto done = run.finish();
    EXPECT_EQ(done.status, 0) << done.sentence;
    EXPECT_TRUE(whole);
}

// Podman's and others' names: layers as DIGEST.tar[.gz] beside their config.
TEST(DockerArchive, OtherNamesAndCompressedLayersAreTaken) {
    const auto layer = rawTar({{.name = "a", .content = "x"}});
    const RawImage image{.layers = {layer}, .blobs = {gzipped(layer)}};
    auto members = rawDockerArchive(image);
    auto& stored = memberOf(members, "layer.tar");
    auto& manifest = memberOf(members, "manifest.json");
    const auto name = sha256Hex(stored.content) + ".tar.gz";
    manifest.content.replace(manifest.content.find(stored.name), stored.name.size(), name);
    stored.name = name;
    EXPECT_THAT(digestOf(members), testing::SizeIs(64));
}

TEST(DockerArchive, ALayoutThatBringsAManifestJsonToo) {
    UnpackRun run;
    const auto digest = writeRawImage(toolImage(), run.folder() / "layout");
    writeFile(run.folder() / "layout/manifest.json", R"([{"Config":"nowhere","Layers":["nowhere"]}])");
    const auto done = run.archive(rawArchive(run.folder() / "layout"));
    ASSERT_EQ(done.status, 0) << done.sentence;
    EXPECT_EQ(answerOf(run)["digest"], digest) << "the layout's own manifest is the image";
}

struct Change {
    const char* name;
    std::function<void(Members&)> make;
    std::vector<const char*> sentence;
};
void PrintTo(const Change& change, std::ostream* out) { *out << change.name; }

std::function<void(Members&)> manifest(const std::string& text) {
    return [text](Members& members) { memberOf(members, "manifest.json").content = text; };
}
std::function<void(Members&)> link(const std::string& target) {
    return [target](Members& members) {
        for (auto& member : members) {
            if (member.type == '2') member.link = target;
        }
    };
}
std::function<void(Members&)> add(const RawMember& member) {
    return [member](Members& members) { members.push_back(member); };
}

class HostileDockerArchive : public testing::TestWithParam<Change> {};

TEST_P(HostileDockerArchive, IsRefusedByNameAndTouchesNothingOutside) {
    UnpackRun run;
    auto members = rawDockerArchive(toolImage());
    GetParam().make(members);
    const auto done = run.archive(rawTar(members));
    EXPECT_EQ(done.status, 1);
    for (const auto* part : GetParam().sentence) EXPECT_THAT(done.sentence, HasSubstr(part));
    EXPECT_THAT(run.outsideChanges(), IsEmpty());
    EXPECT_FALSE(fs::exists(run.staging() / "image")) << "a refused image has no record";
}

INSTANTIATE_TEST_SUITE_P(
    Corpus, HostileDockerArchive,
    testing::Values(
        Change{"a changed layer", [](Members& members) { memberOf(members, "layer.tar").content[0] = 'b'; }, {"layer", "digest"}},
        Change{"a changed config",
               [](Members& members) { configOf(members).content.insert(1, " "); },
               {"config '", "its bytes have the digest"}},
        Change{"a config of fewer layers",
               [](Members& members) {
                   auto image = toolImage();
                   image.layers.pop_back();
                   auto other = rawDockerArchive(image);
                   auto& text = memberOf(members, "manifest.json").content;
                   const auto mine = configOf(members).name;
                   text.replace(text.find(mine), mine.size(), configOf(other).name);
                   members.push_back(configOf(other));
               },
               {"2 diff_ids for 3 layers"}},
        Change{"no manifest", [](Members& members) { memberOf(members, "manifest.json").name = "manifest.txt"; }, {"neither"}},
        Change{"a manifest that is none", manifest("{}"), {"manifest.json", "not a list"}},
        Change{"a manifest of numbers", manifest("[1]"), {"not a list of images"}}, Change{"no JSON", manifest("[{"), {"not JSON"}},
        Change{"no image", manifest("[]"), {"not a list of images"}},
        Change{"two images", manifest(R"([{"Config":"a"},{"Config":"b"}])"), {"2 images"}},
        Change{"no config", manifest(R"([{"Layers":["a"]}])"), {"no 'Config'"}},
        Change{"no layers", manifest(R"([{"Config":"a"}])"), {"no layers"}},
        Change{"layers that are none", manifest(R"([{"Config":"a","Layers":[1]}])"), {"'Layers' is not an array of strings"}},
        Change{"a config that is not there", manifest(R"([{"Config":"x.json","Layers":["a"]}])"), {"'x.json'", "does not have it"}},
        Change{"a config that climbs", manifest(R"([{"Config":"../../host/etc/shadow","Layers":["a"]}])"), {"climbs"}},
        Change{"an absolute config", manifest(R"([{"Config":"/etc/shadow","Layers":["a"]}])"), {"absolute"}},
        Change{"a layer that is not there",
               [](Members& members) { memberOf(members, "layer.tar").name = "elsewhere"; },
               {"layer.tar'", "no file of the archive"}},
        Change{"too many layers",
               [](Members& members) {
                   std::string layers;
                   for (int i = 0; i < 128; ++i) layers += std::string(i == 0 ? "" : ",") + "\"a\"";
                   memberOf(members, "manifest.json").content = R"([{"Config":"a","Layers":[)" + layers + "]}]";
               },
               {"more than 127"}},
        Change{"a link that climbs", link("../../host/etc/shadow"), {"a link to", "climbs"}},
        Change{"a link that climbs later", link("../x/../../../host/etc/shadow"), {"climbs"}},
        Change{"an absolute link", link("/etc/shadow"), {"'/etc/shadow'", "out of the archive"}},
        Change{"a link to a link", link("layer.tar"), {"no file of the archive"}},
        Change{"a link to nothing", link("../gone/layer.tar"), {"'gone/layer.tar'", "no file of the archive"}},
        Change{"a hard link", add({.name = "x/layer.tar", .type = '1', .link = "manifest.json"}), {"not a regular file"}},
        Change{"a device", add({.name = "x/layer.tar", .type = '3'}), {"not a regular file"}},
        Change{"a second manifest", add({.name = "./manifest.json", .content = "[]"}), {"'manifest.json'", "twice"}},
        Change{"a link of the manifest's name", add({.name = "manifest.json", .type = '2', .link = "x.json"}), {"twice"}},
        Change{"a name that climbs", add({.name = "../layer.tar", .content = "x"}), {"climbs"}},
        Change{"a size over the cap", add({.name = "x.tar", .pax = {{"size", "7000000000"}}}), {"over 6442450944 bytes"}},
        Change{"too many files",
               [](Members& members) {
                   for (int i = 0; i < 400; ++i) members.push_back({.name = std::to_string(i) + "/layer.tar", .content = ""});
               },
               {"more than 400 files"}},
        Change{"a manifest without end", manifest(std::string(5 << 20, ' ')), {"manifest.json", "longer than 4194304 bytes"}}));

}  // namespace
}  // namespace recap::test
