// SPDX-License-Identifier: Apache-2.0
// Capsules as they are shipped: their own manifests and scripts, on images of what this machine has of the packages that they name.
#pragma once

#include "sdk/manifest/reader.hpp"
#include "tests/system/stack/stack_fixture.hpp"

namespace recap::test {

inline manifest::Manifest shippedManifest(const std::string& name) {
    const auto file = sourceDir() / "sdk/capsules" / name / "capsule.toml";
    auto read = manifest::readManifest(readFile(file), file.string());
    if (!read.value || !read.value->build) throw std::runtime_error(manifest::join(read.diagnostics) + " in " + file.string());
    return std::move(*read.value);
}

// What its [build] makes, and `more`: paths in the image and their text.
inline image::FileList shippedImage(const std::string& name, const std::map<std::string, std::string>& more = {}) {
    const manifest::Manifest capsule = shippedManifest(name);
    const TempDir folder;
    Rootfs root{folder.path() / "root"};
    root.debianPackages(capsule.build->packages);
    for (const auto& program : capsule.build->binaries)
        root.copy((binDir().parent_path() / "capsules" / program).string(), "/usr/bin/" + program);
    for (const auto& [path, source] : capsule.build->files) root.copy((sourceDir() / "sdk/capsules" / name / source).string(), path);
    for (const auto& [path, to] : capsule.build->links) root.link(to, path);
    for (const auto& [path, text] : more) root.text(path, text);
    root.folder("/tmp");
    std::filesystem::permissions(root.path() / "tmp", std::filesystem::perms::all);
    image::FileList files = filesOf(root.path());
    for (auto& [path, file] : files) {  // the folder goes with this function
        if (file.kind != image::FileSpec::Kind::Regular) continue;
        file.data = readFile(file.source);
        file.source.clear();
    }
    return files;
}

inline std::string shippedText(const std::string& name) { return readFile(sourceDir() / "sdk/capsules" / name / "capsule.toml"); }

inline void installShipped(const std::string& name) {
    Stack::get().importImage(shippedManifest(name).image, shippedImage(name));
    Stack::get().install(shippedText(name));
}

class CatalogueTest : public StackTest {
protected:
    static std::string replaced(std::string text, const std::string& part, const std::string& by) {
        const auto at = text.find(part);
        if (at == std::string::npos) throw std::runtime_error("no " + part + " in\n" + text);
        return text.replace(at, part.size(), by);
    }
    // A container that the daemons know.
    static std::unique_ptr<MicroContainer> container(ContainerOptions options) {
        auto made = std::make_unique<MicroContainer>(std::move(options));
        Stack::get().run("t-payload", targetOf(*made), {"exit"});
        return made;
    }
    static std::filesystem::path artifact(const TempDir& folder, const std::string& name) {
        for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path()))
            if (entry.path().filename() == name) return entry.path();
        throw std::runtime_error("no artifact " + name);
    }
};

}  // namespace recap::test
