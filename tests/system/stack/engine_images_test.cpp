// SPDX-License-Identifier: Apache-2.0
// Images from an engine, which is the SDK's demo of a backend: its images are tars in a folder (engine-images.toml).
#include "tests/support/raw_image.hpp"
#include "tests/support/wait.hpp"
#include "tests/system/stack/stack_fixture.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

const fs::path kEngine = "/run/recap-demo-images";

class EngineImages : public StackTest {
protected:
    static void SetUpTestSuite() {
        fs::create_directories(kEngine / ".images");
        StackTest::SetUpTestSuite();
        const Stack& stack = Stack::get();
        const auto ready = [&] {
            const json backends = stack.ctlJson({"backends"});
            for (const auto& backend : backends.at("backends"))
                if (backend.value("name", "") == "demo") return backend.value("state", "") == "ready";
            return false;
        };
        ASSERT_TRUE(waitUntil(ready, Deadline(kPatience)));
    }
    static void TearDownTestSuite() {
        StackTest::TearDownTestSuite();
        fs::remove_all(kEngine);
    }

    // The payload's layer as the engine's image, in the form that `docker save` has.
    static std::string dockerArchive(const std::string& reference) {
        const auto payload = readFile(fs::path(RECAP_TEST_PROGRAMS) / "recap-test-payload");
        return rawTar(
            rawDockerArchive({.layers = {rawTar({{.name = "payload", .content = payload, .mode = 0755}})}, .reference = reference}));
    }
    static void expectRun(const std::string& reference) {
        const std::string name = "t-engine-" + reference.substr(reference.rfind(':') + 1);
        Stack::get().install(manifestOf(name, reference, "[\"/payload\"]", kJoined));
        const json report = Stack::get().run(name, targetOf(*nginx_), {"exit"});
        EXPECT_EQ(report.value("outcome", "?"), "succeeded") << report.dump(2);
        expectClean(report);
    }
};

TEST_F(EngineImages, OneOfDockerSaveIsImportedAdmittedAndRun) {
    writeFile(kEngine / ".images/engine:docker", dockerArchive("docker.io/library/engine:docker"));
    const json imported = Stack::get().ctlJson({"image", "import", "demo:engine:docker"});
    ASSERT_EQ(imported.value("state", "?"), "admitted") << imported.dump();
    expectRun("engine:docker");
    const json again = Stack::get().ctlJson({"image", "import", "demo:engine:docker", "--reference", "recap/engine:again"});
    EXPECT_EQ(again.at("digest"), imported.at("digest"));
    expectRun("recap/engine:again");
}

TEST_F(EngineImages, OneInAnOciLayoutIsImportedAdmittedAndRun) {
    image::ImageSpec spec;
    spec.layers = {payloadFiles()};
    spec.reference = "engine:oci";
    spec.compression = image::Compression::Zstd;
    ASSERT_TRUE(image::writeOciArchive(spec, (kEngine / ".images/engine:oci").string()));
    const json imported = Stack::get().ctlJson({"image", "import", "demo:engine:oci"});
    ASSERT_EQ(imported.value("state", "?"), "admitted") << imported.dump();
    expectRun("engine:oci");
}

// Whoever names images in an engine would else say which capsule's image theirs is.
TEST_F(EngineImages, OneThatCallsItselfAsAnotherIsCalledTakesNothingFromThatOne) {
    const auto before = Stack::get().ctlJson({"image", "list"});
    writeFile(kEngine / ".images/harmless:1", dockerArchive("test/payload:1"));
    const json refused = Stack::get().ctlJson({"image", "import", "demo:harmless:1"}).at("error");
    EXPECT_EQ(refused.at("code"), "Denied");
    EXPECT_THAT(refused.at("message").get<std::string>(), HasSubstr("it calls itself 'test/payload:1', and 'harmless:1' was asked for"));
    EXPECT_EQ(Stack::get().ctlJson({"image", "list"}), before);
    const json given = Stack::get().ctlJson({"image", "import", "demo:harmless:1", "--reference", "harmless:1"});
    EXPECT_EQ(given.value("state", "?"), "admitted") << given.dump();
}

TEST_F(EngineImages, WhatIsNotThereOrIsNoImageIsSaidAndNothingIsLeft) {
    const auto refusal = [](const std::string& reference) { return Stack::get().ctlJson({"image", "import", reference}).at("error"); };
    EXPECT_EQ(refusal("demo:gone:1").at("code"), "NotFound");
    EXPECT_EQ(refusal("demo:gone:1").at("message"), "demo: no such image: gone:1");
    EXPECT_EQ(refusal("process:tool:1").at("code"), "NotSupported");
    EXPECT_THAT(refusal("docker-daemon:tool:1").at("message").get<std::string>(), HasSubstr("there are: demo, process"));
    writeFile(kEngine / ".images/text:1", std::string(1 << 20, 'x'));
    EXPECT_THAT(refusal("demo:text:1").at("message").get<std::string>(), HasSubstr("demo: recap-unpack: "));
    const auto whole = dockerArchive("recap/engine:cut");
    writeFile(kEngine / ".images/cut:1", whole.substr(0, whole.size() / 2));
    EXPECT_THAT(refusal("demo:cut:1").at("message").get<std::string>(), HasSubstr("demo: recap-unpack: "));
    EXPECT_THAT(left(), testing::IsEmpty());
}

TEST_F(EngineImages, WhoMayNotImportIsRefused) {
    const json refused = Stack::get().ctlJson({"image", "import", "demo:tool:1"}, 65534);
    EXPECT_EQ(refused.at("error").at("code"), "AccessDenied") << refused.dump();
}

}  // namespace
}  // namespace recap::test
