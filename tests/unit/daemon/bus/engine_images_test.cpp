// SPDX-License-Identifier: Apache-2.0
// Images from engines: which backend is asked, and what the caller hears of the two that may fail.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>

#include "daemon/bus/engine_image.hpp"
#include "tests/unit/daemon/bus/house.hpp"

namespace recap::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::vector<BackendStatus> backends(const std::vector<std::pair<std::string, std::string>>& namesAndPlugins) {
    std::vector<BackendStatus> all;
    for (const auto& [name, plugin] : namesAndPlugins) all.push_back({name, plugin, BackendState::Ready, "", 0});
    return all;
}

// "BACKEND NAME", or the refusal.
std::string meant(const std::string& reference, const std::vector<BackendStatus>& there, const std::string& chosen = "") {
    const auto image = bus::engineImage(reference, chosen, there);
    return image ? image->backend + " " + image->name : image.error().message;
}

TEST(EngineImage, ItsSchemeNamesAPluginOrABackend) {
    const auto all = backends({{"process", "process"}, {"docker", "docker"}, {"podman", "docker"}, {"k3s", "containerd"}});
    EXPECT_EQ(meant("docker-daemon:web:1", all), "docker web:1");
    EXPECT_EQ(meant("docker-daemon:web:1", all, "podman"), "podman web:1");
    EXPECT_EQ(meant("podman:localhost/web:1", all), "podman localhost/web:1");
    EXPECT_EQ(meant("containerd:k8s.io/docker.io/library/web:1", all), "k3s k8s.io/docker.io/library/web:1");
}

TEST(EngineImage, ItsArchiveMayBeCalledAsWasAskedInThatEnginesWaysOnly) {
    const auto all = backends({{"podman", "docker"}, {"k3s", "containerd"}, {"demo", "demo"}});
    const auto names = [&](const std::string& reference) { return bus::engineImage(reference, "", all).value().names; };
    EXPECT_EQ(names("docker-daemon:x/web:1"), (std::vector<std::string>{"x/web:1", "localhost/x/web:1"}));
    EXPECT_EQ(names("podman:web:1"), (std::vector<std::string>{"web:1", "localhost/web:1"}));
    EXPECT_EQ(names("containerd:moby/docker.io/library/web:1"),
              (std::vector<std::string>{"moby/docker.io/library/web:1", "docker.io/library/web:1"}));
    EXPECT_EQ(names("demo:x/web:1"), std::vector<std::string>{"x/web:1"});
}

TEST(EngineImage, WhatItDoesNotNameIsSaidWithWhatThereIs) {
    const auto none = backends({{"process", "process"}});
    EXPECT_EQ(meant("docker-daemon:web:1", none), "docker-daemon: no backend is served by the plugin 'docker'; there are: process");
    EXPECT_EQ(meant("dokcer:web:1", none),
              "reference 'dokcer:web:1': 'dokcer' is neither docker-daemon, containerd nor a backend; there are: process");
    const auto two = backends({{"a", "docker"}, {"b", "docker"}});
    EXPECT_THAT(meant("docker-daemon:web:1", two), HasSubstr("a, b; the option 'backend' chooses one"));
    EXPECT_THAT(meant("docker-daemon:web:1", two, "c"), HasSubstr("no backend 'c'; there are: a, b"));
    EXPECT_THAT(meant("containerd:web:1", two, "a"), HasSubstr("has no containerd: images"));
    EXPECT_THAT(meant("a:web:1", two, "b"), HasSubstr("has no a: images"));
    for (const auto* reference : {"", "web", "docker-daemon:", ":web"}) EXPECT_THAT(meant(reference, two), StartsWith("reference '"));
    EXPECT_THAT(meant("oci-archive:/a.tar", two), HasSubstr("a file of the caller's"));
    EXPECT_THAT(meant("docker://web:1", two), HasSubstr("no registries; 'skopeo copy docker://web:1"));
}

struct EngineImagesTest : House {
    EngineImagesTest() {
        launcher.keepsImports = true;
        targets.state({"docker", "docker", BackendState::Ready, "", 0});
    }
    std::shared_ptr<Reply<std::string>> import(const std::string& reference, Values options = {}) {
        auto reply = ask<std::string>("/org/recap1", kManager, "ImportImageFrom", reference, options);
        const std::size_t before = exporter.asked.size();
        turnUntil([&] { return exporter.asked.size() > before; });
        return reply;
    }
    FakeExporter::Export& asked() { return exporter.asked.back(); }
    void write(const std::string& bytes) {
        EXPECT_EQ(::write(asked().out.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    }
    void writeAndWait() {
        write("tar");
        turnUntil([&] { return !launcher.kept.empty(); });
    }
    std::string outcome(const std::shared_ptr<Reply<std::string>>& reply) {
        turnUntil([&] { return !reply->outcome.empty(); });
        return reply->outcome;
    }
    void exported(Result<void> result) {
        asked().out.reset();
        asked().reply(std::move(result));
    }
    bool readerHasGone() {
        pollfd out{asked().out.get(), 0, 0};
        return ::poll(&out, 1, 0) > 0 && (out.revents & POLLERR) != 0;
    }
    void imported(Result<ImportedImage> result) { launcher.kept.back().reply(std::move(result)); }
};

TEST_F(EngineImagesTest, AnImageGoesFromTheHostToTheLauncherByAPipe) {
    const auto reply = import("docker-daemon:web:1", {{"reference", sdbus::Variant(std::string("recap/web:1"))}});
    EXPECT_EQ(asked().backend, "docker");
    EXPECT_EQ(asked().reference, "web:1");
    EXPECT_TRUE(launcher.kept.empty()) << "no import waits for an engine";
    writeAndWait();
    char bytes[8];
    EXPECT_EQ(::read(launcher.kept.back().archive.get(), bytes, sizeof bytes), 3);
    exported({});
    imported(ImportedImage{std::string(64, 'b'), {}});
    EXPECT_EQ(outcome(reply), "ok");
    EXPECT_EQ(std::get<0>(reply->values), std::string(64, 'b'));
    EXPECT_EQ(images.recorded.back().second, "recap/web:1");
    EXPECT_EQ(images.askedFor, (std::vector<std::string>{"web:1", "localhost/web:1"})) << "so that the archive may have no other name";
}

TEST_F(EngineImagesTest, AnExportThatFailsIsTheReasonWhetherItHasBegunOrNot) {
    const auto none = import("docker-daemon:gone:1");
    exported(fail(Errc::NotFound, "no such image: gone:1"));
    EXPECT_EQ(outcome(none), "org.recap1.Error.NotFound: docker-daemon: no such image: gone:1");
    EXPECT_EQ(launcher.imports, 0);
    for (const bool importFirst : {true, false}) {
        launcher.kept.clear();
        const auto cut = import("docker:web:1");
        writeAndWait();
        if (importFirst) imported(fail(Errc::InvalidArgument, "recap-unpack: tar: truncated"));
        exported(fail(Errc::Unavailable, "the engine went away"));
        if (!importFirst) imported(fail(Errc::InvalidArgument, "recap-unpack: tar: truncated"));
        EXPECT_EQ(outcome(cut), "org.recap1.Error.Unavailable: docker: the engine went away");
    }
}

TEST_F(EngineImagesTest, AnImportThatFailsOfItselfIsTheReason) {
    const auto reply = import("docker-daemon:web:1");
    writeAndWait();
    imported(fail(Errc::InvalidArgument, "recap-unpack: not an image"));
    launcher.kept.clear();
    EXPECT_TRUE(readerHasGone());
    exported({});
    EXPECT_EQ(outcome(reply), "org.recap1.Error.InvalidArgument: docker-daemon: recap-unpack: not an image");
}

TEST_F(EngineImagesTest, AnExportOfNothingIsAnError) {
    const auto reply = import("docker-daemon:web:1");
    exported({});
    EXPECT_THAT(outcome(reply), HasSubstr("docker-daemon: the export ended without an image"));
}

TEST_F(EngineImagesTest, WhoLeavesBeforeItsFirstByteGivesItUp) {
    import("docker-daemon:web:1");
    proxies.clear();
    client = sdbus::createSystemBusConnection();
    turnUntil([&] { return readerHasGone(); });
    EXPECT_TRUE(launcher.kept.empty());
    exported({});
}

TEST_F(EngineImagesTest, WhatIsWrongIsSaidBeforeAnythingIsAsked) {
    const Values none;
    EXPECT_THAT((callManager<std::string>("ImportImageFrom", std::string("podman:web:1"), none).outcome),
                HasSubstr("NotFound: reference 'podman:web:1'"));
    const Values unknown{{"refrence", sdbus::Variant(std::string("x"))}};
    EXPECT_THAT((callManager<std::string>("ImportImageFrom", std::string("docker:web:1"), unknown).outcome),
                HasSubstr("unknown option 'refrence'; known here: reference, backend, interactive"));
    const Values bad{{"reference", sdbus::Variant(std::string("Bad Name"))}};
    EXPECT_THAT((callManager<std::string>("ImportImageFrom", std::string("docker:web:1"), bad).outcome), HasSubstr("a bad name"));
    EXPECT_TRUE(exporter.asked.empty());
}

}  // namespace
}  // namespace recap::test
