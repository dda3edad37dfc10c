// SPDX-License-Identifier: Apache-2.0
// What containerd hands on from others: payloads of events, specs, a runtime's options, documents of images. A byte that says which,
// and its bytes.
#include "plugins/containerd/readers.hpp"
#include "sdk/image/oci.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace recap::fuzz {
namespace {

constexpr const char* kTypes[]{"containerd.events.TaskStart",       "containerd.events.TaskExit",
                               "containerd.events.TaskDelete",      "containerd.events.TaskPaused",
                               "containerd.events.ContainerUpdate", "types.containerd.io/containerd.events.ContainerDelete"};

void spec(std::string_view text) {
    const auto facts = containerd::specOf(text);
    promise(facts.cgroupsPath.size() <= 4096, "a cgroup's path has a bound");
    static_cast<void>(containerd::isCgroupOf("/system.slice/a-b.scope", "b", facts.cgroupsPath));
    static_cast<void>(containerd::isCgroupOf(text, "b", facts.cgroupsPath));
}

void documents(std::string_view text) {
    if (const auto index = image::parseIndex(text)) {
        for (const auto& one : *index) promise(one.digest.size() == 64, "a descriptor has a whole digest");
    }
    if (const auto manifest = image::parseManifest(text, {})) promise(!manifest->layers.empty(), "a manifest has layers");
}

}  // namespace

std::vector<std::string> seeds() {
    const std::string digest(64, 'a');
    const std::string descriptor = R"("digest":"sha256:)" + digest + R"(","size":7)";
    return {std::string("\0\x0a\x03", 3) + "app" + "\x10\x2a",
            std::string("\1\x0a\x03", 3) + "app" + "\x12\x03" + "app" + "\x18\x2a",
            std::string("\2\x0a\x03", 3) + "app" + "\x10\x2a\x2a\x01x",
            std::string("\5\x0a\x03", 3) + "app",
            "\6"
            R"({"linux":{"cgroupsPath":"system.slice:a:b","namespaces":[{"type":"user"}]}})",
            std::string("\7\x32\x0d", 3) + "/usr/bin/crun",
            "\x08"
            R"({"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json",)" +
                descriptor + R"(,"platform":{"os":"linux","architecture":"amd64"}}]})",
            "\x08"
            R"({"config":{"mediaType":"application/vnd.oci.image.config.v1+json",)" +
                descriptor + R"(},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar",)" + descriptor + "}]}"};
}

void input(std::string_view bytes) {
    if (bytes.empty()) return;
    const std::string_view rest = bytes.substr(1);
    const auto which = static_cast<unsigned char>(bytes[0]) % 9;
    if (which == 6) return spec(rest);
    if (which == 7) {
        promise(!containerd::runtimeOf("io.containerd.runc.v2", "containerd.runc.v1.Options", rest).empty(), "a runtime has a name");
        return;
    }
    if (which == 8) return documents(rest);
    if (const auto event = containerd::eventOf("k8s.io", kTypes[which], rest)) {
        promise(containerd::isName(event->container) && event->nameSpace == "k8s.io", "an event names a container");
        promise(event->pid >= 0, "a pid is one");
    }
}

}  // namespace recap::fuzz
