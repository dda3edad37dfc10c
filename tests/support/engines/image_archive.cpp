// SPDX-License-Identifier: Apache-2.0
#include "tests/support/engines/image_archive.hpp"

#include <nlohmann/json.hpp>

#include "tests/support/command.hpp"
#include "tests/support/files.hpp"
#include "tests/support/raw_image.hpp"
#include "tests/support/raw_tar.hpp"

namespace recap::test {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

std::string busyboxLayer(const EngineImage& image) {
    std::vector<RawMember> members;
    for (const char* folder : {"bin/", "dev/", "etc/", "proc/", "sys/", "tmp/"})
        members.push_back({.name = folder, .type = '5', .mode = 0755});
    members.push_back({.name = "bin/busybox", .content = readFile("/usr/bin/busybox"), .mode = 0755});
    for (const std::string& applet : lines(mustRun({"/usr/bin/busybox", "--list"}).out))
        if (applet != "busybox") members.push_back({.name = "bin/" + applet, .type = '2', .link = "busybox"});
    members.push_back({.name = "etc/passwd", .content = "root:x:0:0:root:/:/bin/sh\napp:x:1000:1000:app:/:/bin/sh\n"});
    members.push_back({.name = "etc/group", .content = "root:x:0:\napp:x:1000:\n"});
    for (const auto& [path, text] : image.files) members.push_back({.name = path, .content = text});
    return rawTar(members);
}

// docker and podman know an image by manifest.json, containerd by its own annotation in index.json.
void nameFor(const EngineImage& image, const fs::path& layout) {
    json index = json::parse(readFile(layout / "index.json"));
    json& described = index.at("manifests").at(0);
    described["annotations"]["io.containerd.image.name"] = "docker.io/library/" + image.reference;
    writeFile(layout / "index.json", index.dump());
    const auto blob = [](const json& descriptor) { return "blobs/sha256/" + descriptor.at("digest").get<std::string>().substr(7); };
    const json manifest = json::parse(readFile(layout / blob(described)));
    json layers = json::array();
    for (const auto& layer : manifest.at("layers")) layers.push_back(blob(layer));
    const json legacy = {{{"Config", blob(manifest.at("config"))}, {"RepoTags", {image.reference}}, {"Layers", layers}}};
    writeFile(layout / "manifest.json", legacy.dump());
}

}  // namespace

std::string writeImageArchive(const fs::path& archive, const EngineImage& image) {
    const TempDir layout("recap-image");
    const json config = {{"Cmd", image.command}, {"Env", {"PATH=/bin"}}, {"Labels", image.labels}};
    const std::string digest = writeRawImage(
        {.layers = {busyboxLayer(image)}, .configExtra = ",\"config\":" + config.dump(), .reference = image.reference}, layout.path());
    nameFor(image, layout.path());
    writeFile(archive, rawArchive(layout.path()));
    return "sha256:" + digest;
}

}  // namespace recap::test
