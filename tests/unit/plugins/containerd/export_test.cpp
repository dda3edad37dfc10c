// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <thread>

#include "sdk/image/archive.hpp"
#include "sdk/image/digest.hpp"
#include "sdk/image/oci.hpp"
#include "tests/support/files.hpp"
#include "tests/support/wait.hpp"
#include "tests/unit/plugins/containerd/fake_containerd.hpp"
#include "tests/unit/plugins/containerd/observed_backend.hpp"

namespace recap::test {
namespace {

using image::Descriptor;
using testing::HasSubstr;

constexpr const char* kName = "docker.io/library/app:v1";

class ContainerdExport : public testing::Test {
protected:
    ContainerdExport() {
        layer_ = put(std::string(image::media::kLayer), std::string(5000, 'l'));
        image::ManifestDocument manifest;
        manifest.config = put(std::string(image::media::kConfig), R"({"architecture":"amd64","os":"linux"})");
        manifest.layers = {layer_};
        manifest_ = put(std::string(image::media::kManifest), image::printManifest(manifest));
        name("one", manifest_);
    }

    Descriptor put(const std::string& mediaType, const std::string& bytes) {
        Descriptor descriptor{mediaType, image::sha256(bytes), bytes.size(), {}, {}, {}};
        fake_.putContent("sha256:" + descriptor.digest, bytes);
        return descriptor;
    }
    void name(const std::string& nameSpace, const Descriptor& target) {
        fake_.putImage(nameSpace, kName, target.mediaType, "sha256:" + target.digest, target.size);
    }
    // What was written, by name.
    std::map<std::string, std::string> exported(const std::string& reference) {
        const std::string path = folder_.path() / "image.tar";
        const UniqueFd out(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
        said_ = backend_.exportTo(reference, out.get());
        std::map<std::string, std::string> members;
        if (!said_.empty()) return members;
        ::lseek(out.get(), 0, SEEK_SET);
        image::prepareArchives();
        image::FdSource bytes(out.get());
        auto tar = image::readTar(bytes, image::Wrapping::Plain);
        for (auto entry = (*tar)->next(); entry && *entry; entry = (*tar)->next()) {
            auto& member = members[(*entry)->path];
            for (auto block = (*tar)->data(); block && *block; block = (*tar)->data()) member += (*block)->bytes;
        }
        return members;
    }

    TempDir folder_{"recap-fake"};
    std::string socket_ = folder_.path() / "containerd.sock";
    FakeContainerd fake_{socket_};
    ObservedBackend backend_{testOptions(socket_)};
    Descriptor layer_, manifest_;
    std::string said_;
};

TEST_F(ContainerdExport, AnImageIsALayoutOfItsOwn) {
    const auto members = exported(kName);
    ASSERT_EQ(said_, "");
    EXPECT_EQ(members.size(), 5u);
    EXPECT_TRUE(image::parseLayoutMarker(members.at("oci-layout")));
    const auto index = image::parseIndex(members.at("index.json"));
    ASSERT_TRUE(index);
    ASSERT_EQ(index->size(), 1u);
    EXPECT_EQ(index->front().digest, manifest_.digest);
    EXPECT_EQ(index->front().reference(), kName);
    EXPECT_EQ(members.at(layer_.blobPath()), std::string(5000, 'l'));
}

TEST_F(ContainerdExport, ThisPlatformIsTakenOutOfAnIndex) {
    const auto foreign = put(std::string(image::media::kManifest), "{}");
    const auto entry = [](const Descriptor& one, const std::string& architecture) {
        return R"({"mediaType":")" + one.mediaType + R"(","digest":"sha256:)" + one.digest + R"(","size":)" + std::to_string(one.size) +
               R"(,"platform":{"os":"linux","architecture":")" + architecture + R"("}})";
    };
    name("one", put(std::string(image::media::kIndex), R"({"schemaVersion":2,"manifests":[)" + entry(foreign, "pdp11") + "," +
                                                           entry(manifest_, std::string(image::hostArchitecture())) + "]}"));
    const auto members = exported("one/" + std::string(kName));
    ASSERT_EQ(said_, "");
    EXPECT_TRUE(members.contains(manifest_.blobPath()));
    EXPECT_FALSE(members.contains(foreign.blobPath()));
}

TEST_F(ContainerdExport, ShortNamesAreThoseOfDockersRegistry) {
    EXPECT_EQ(exported("app:v1").size(), 5u) << said_;
    exported("app:v2");
    EXPECT_THAT(said_, HasSubstr("no image 'app:v2' in containerd at '"));
    EXPECT_EQ(backend_.code, plugin::Code::NotFound);
}

TEST_F(ContainerdExport, ANameOfTwoImagesIsRefusedWithBoth) {
    name("two", manifest_);
    EXPECT_EQ(exported(kName).size(), 5u) << "the same in both: " << said_;
    name("two", put(std::string(image::media::kManifest), "{\"other\":1}"));
    exported(kName);
    EXPECT_THAT(said_, HasSubstr("one/docker.io/library/app:v1, two/docker.io/library/app:v1"));
    EXPECT_EQ(backend_.code, plugin::Code::Invalid);
    EXPECT_EQ(exported("one/app:v1").size(), 5u) << said_;
}

TEST_F(ContainerdExport, WhatTheStoreLacksIsSaidBeforeAnythingIsWritten) {
    {
        const std::lock_guard lock(fake_.state().mutex);
        fake_.state().content.erase("sha256:" + layer_.digest);
    }
    exported(kName);
    EXPECT_THAT(said_, HasSubstr("content sha256:" + layer_.digest + " is not in containerd's store"));
    EXPECT_EQ(std::filesystem::file_size(folder_.path() / "image.tar"), 0u);
}

TEST_F(ContainerdExport, MoreOrOtherBytesThanPromisedAreRefused) {
    fake_.liesAboutSize = true;
    exported(kName);
    EXPECT_THAT(said_, HasSubstr("is not of"));
    fake_.liesAboutSize = false;
    fake_.putContent("sha256:" + manifest_.digest, std::string(manifest_.size, ' '));
    exported(kName);
    EXPECT_THAT(said_, HasSubstr("its bytes have another digest"));
}

TEST_F(ContainerdExport, AReaderThatStopsReadingDoesNotHoldItUp) {
    const std::string large(1024 * 1024, 'x');
    image::ManifestDocument manifest;
    manifest.config = put(std::string(image::media::kConfig), "{}");
    manifest.layers = {put(std::string(image::media::kLayer), large)};
    name("one", put(std::string(image::media::kManifest), image::printManifest(manifest)));
    int pipe[2];
    ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
    const UniqueFd in(pipe[0]), out(pipe[1]);
    std::string said;
    std::thread exporter([&] { said = backend_.exportTo(kName, out.get()); });
    EXPECT_TRUE(waitReadable(in.get(), Deadline(kPatience)));
    backend_.stop();
    exporter.join();
    EXPECT_THAT(said, HasSubstr("stopped"));
    EXPECT_EQ(backend_.code, plugin::Code::Unavailable);
}

}  // namespace
}  // namespace recap::test
