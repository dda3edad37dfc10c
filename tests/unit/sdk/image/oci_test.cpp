// SPDX-License-Identifier: Apache-2.0
#include "sdk/image/oci.hpp"

#include <gmock/gmock.h>

namespace recap::image {
namespace {

const std::string kHex(64, 'a');

std::string manifestWith(const std::string& layerType) {
    return R"({"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:)" + kHex +
           R"(","size":2},"layers":[{"mediaType":")" + layerType + R"(","digest":"sha256:)" + kHex + R"(","size":3}]})";
}

TEST(Oci, ReadsWhatItPrints) {
    ImageConfig config;
    config.architecture = "amd64";
    config.cmd = {"tcpdump", "-i"};
    config.labels = {{"org.recap1.package.libc6", "2.36"}};
    config.diffIds = {kHex};
    const auto read = parseConfig(printConfig(config), {});
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->cmd, config.cmd);
    EXPECT_EQ(read->labels, config.labels);
    EXPECT_EQ(read->diffIds, config.diffIds);
}

TEST(Oci, KnowsTheLayerTypesOfOciAndDockerAndNoOthers) {
    EXPECT_EQ(*layerCompression("application/vnd.oci.image.layer.v1.tar"), Compression::None);
    EXPECT_EQ(*layerCompression("application/vnd.oci.image.layer.v1.tar+gzip"), Compression::Gzip);
    EXPECT_EQ(*layerCompression("application/vnd.oci.image.layer.v1.tar+zstd"), Compression::Zstd);
    EXPECT_EQ(*layerCompression("application/vnd.docker.image.rootfs.diff.tar.gzip"), Compression::Gzip);
    for (const auto* type : {"", "text/plain", "application/vnd.oci.image.layer.v1.tar+encrypted",
                             "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"})
        EXPECT_FALSE(layerCompression(type)) << type;
}

TEST(Oci, RefusesDocumentsOfTheWrongShape) {
    EXPECT_TRUE(parseManifest(manifestWith("application/vnd.oci.image.layer.v1.tar"), {}));
    EXPECT_FALSE(parseManifest("[]", {}));
    EXPECT_FALSE(parseManifest("{", {}));
    EXPECT_FALSE(parseManifest(R"({"layers":[]})", {}));
    EXPECT_FALSE(parseManifest(R"({"mediaType":"application/vnd.oci.artifact.manifest.v1+json"})", {}));
    EXPECT_FALSE(parseIndex(R"({"manifests":[{"digest":"md5:00","size":1}]})"));
    EXPECT_FALSE(parseIndex(R"({"manifests":[{"digest":"sha256:)" + kHex + R"(","size":-1}]})"));
    EXPECT_FALSE(parseIndex(R"({"manifests":{}})"));
    EXPECT_FALSE(parseConfig(R"({"os":"linux"})", {}));
    EXPECT_FALSE(parseConfig(R"({"os":"windows","rootfs":{"diff_ids":[]}})", {}));
    EXPECT_FALSE(parseConfig(R"({"config":{"Env":["A=1",2]},"rootfs":{"diff_ids":[]}})", {}));
    EXPECT_FALSE(parseConfig(R"({"rootfs":{"diff_ids":["../../x"]}})", {}));
}

TEST(Oci, SurvivesDeepNesting) {
    const std::string deep(200'000, '[');
    EXPECT_FALSE(parseIndex(R"({"manifests":)" + deep));
    EXPECT_FALSE(parseIndex(R"({"x":)" + deep + std::string(deep.size(), ']') + "}"));
}

TEST(Oci, CountsLayers) {
    Limits limits;
    limits.layers = 0;
    const auto manifest = parseManifest(manifestWith("application/vnd.oci.image.layer.v1.tar"), limits);
    ASSERT_FALSE(manifest);
    EXPECT_EQ(manifest.error().code, Errc::LimitExceeded);
}

}  // namespace
}  // namespace recap::image
