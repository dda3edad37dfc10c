// SPDX-License-Identifier: Apache-2.0
// Root file systems for real containers, made of this machine's own installed programs: no download, no image tool.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace recap::test {

class Rootfs {
public:
    explicit Rootfs(std::filesystem::path root);  // the folder is made; a caller's TempDir owns it

    void folder(const std::string& path);
    void mountpoints();  // where an engine mounts /proc, /dev and tmpfs
    void text(const std::string& path, const std::string& content);
    void copy(const std::string& hostPath, const std::string& path);
    void program(const std::string& hostPath);  // with the libraries that the dynamic linker names for it, same paths
    void link(const std::string& target, const std::string& path);
    // Debian packages as installed here: their files, what their programs are linked to, and the package database's
    // entries for just these.
    void debianPackages(const std::vector<std::string>& names);

    const std::filesystem::path& path() const { return root_; }

private:
    std::filesystem::path in(const std::string& path) const;
    void packageFile(const std::string& path);

    std::filesystem::path root_;
};

void fillNginx(Rootfs& root);    // nginx, its libraries, its configuration, one page; no shell
void fillBusybox(Rootfs& root);  // busybox and its applets
void fillScratch(Rootfs& root);  // /app, the static test payload, and nothing else
void fillDebian(Rootfs& root);   // dpkg, coreutils, procps, iproute2, hostname, busybox, a shell: for comparing outputs

}  // namespace recap::test
