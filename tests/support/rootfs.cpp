// SPDX-License-Identifier: Apache-2.0
#include "tests/support/rootfs.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <regex>
#include <set>
#include <stdexcept>

#include "tests/support/command.hpp"
#include "tests/support/environment.hpp"
#include "tests/support/files.hpp"

namespace recap::test {

namespace fs = std::filesystem;

namespace {

// "libz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x…)" or "/lib64/ld-linux-x86-64.so.2 (0x…)"
std::vector<std::string> librariesOf(const std::string& program) {
    const CommandResult listed = run({"ldd", program});
    if (!listed.ok()) return {};  // a static program or a script
    std::vector<std::string> found;
    static const std::regex kPath{R"((?:=> |^\s)(/\S+) \(0x)"};
    for (const std::string& line : lines(listed.out)) {
        std::smatch match;
        if (std::regex_search(line, match, kPath)) found.push_back(match[1]);
        if (line.find("not found") != std::string::npos) throw std::runtime_error(program + " lacks a library: " + line);
    }
    return found;
}

bool isElf(const fs::path& path) {
    if (!fs::is_regular_file(path) || fs::file_size(path) < 64) return false;
    return readFile(path).rfind("\177ELF", 0) == 0;
}

// The stanzas of the package database for the named packages, in its own order.
std::string databaseOf(const std::set<std::string>& names) {
    std::string text, stanza;
    bool wanted = false;
    for (const std::string& line : lines(readFile("/var/lib/dpkg/status") + "\n")) {
        if (line.rfind("Package: ", 0) == 0) wanted = names.contains(line.substr(9));
        stanza += line + "\n";
        if (!line.empty()) continue;
        if (wanted) text += stanza;
        stanza.clear();
        wanted = false;
    }
    return text;
}

}  // namespace

Rootfs::Rootfs(fs::path root) : root_(std::move(root)) { fs::create_directories(root_); }

fs::path Rootfs::in(const std::string& path) const { return root_ / fs::path(path).relative_path(); }

void Rootfs::folder(const std::string& path) { fs::create_directories(in(path)); }

void Rootfs::mountpoints() {
    for (const char* path : {"/proc", "/sys", "/dev", "/run", "/tmp"}) folder(path);
    for (const char* path : {"/run", "/tmp"})
        fs::permissions(in(path), fs::perms::all | fs::perms::sticky_bit);  // a tmpfs gets its folder's mode
}

void Rootfs::text(const std::string& path, const std::string& content) {
    fs::create_directories(in(path).parent_path());
    writeFile(in(path), content);
}

void Rootfs::copy(const std::string& hostPath, const std::string& path) {
    fs::create_directories(in(path).parent_path());
    fs::copy_file(hostPath, in(path), fs::copy_options::overwrite_existing);
}

void Rootfs::program(const std::string& hostPath) {
    copy(hostPath, hostPath);
    for (const std::string& library : librariesOf(hostPath)) copy(library, library);
}

void Rootfs::link(const std::string& target, const std::string& path) {
    fs::create_directories(in(path).parent_path());
    std::error_code absent;
    fs::remove(in(path), absent);
    fs::create_symlink(target, in(path));
}

void Rootfs::packageFile(const std::string& path) {
    const fs::path source{path};
    if (path == "/." || path.rfind("/usr/share/doc/", 0) == 0 || path.rfind("/usr/share/locale/", 0) == 0) return;
    if (fs::is_symlink(source)) {
        if (fs::exists(in(path)) && fs::is_directory(in(path))) return;
        link(fs::read_symlink(source).string(), path);
    } else if (fs::is_directory(source)) {
        folder(path);
    } else if (fs::is_regular_file(source)) {
        copy(path, path);
        if (isElf(source))
            for (const std::string& library : librariesOf(path)) copy(library, library);
    }
}

void Rootfs::debianPackages(const std::vector<std::string>& names) {
    for (const char* merged : {"bin", "sbin", "lib", "lib64"}) {
        folder(std::string("/usr/") + merged);
        if (!fs::exists(in(std::string("/") + merged))) fs::create_directory_symlink(std::string("usr/") + merged, in(merged));
    }
    for (const std::string& name : names) {
        const CommandResult files = mustRun({"dpkg", "-L", name});
        for (const std::string& path : lines(files.out))
            if (!path.empty() && path[0] == '/') packageFile(path);
    }
    text("/var/lib/dpkg/status", databaseOf({names.begin(), names.end()}));
    text("/var/lib/dpkg/available", "");
    folder("/var/lib/dpkg/info");
    folder("/var/lib/dpkg/updates");
}

void fillNginx(Rootfs& root) {
    root.program("/usr/sbin/nginx");
    const fs::path fixtures = sourceDir() / "tests/fixtures/nginx";
    root.copy(fixtures / "nginx.conf", "/etc/nginx/nginx.conf");
    root.copy(fixtures / "index.html", "/usr/share/nginx/html/index.html");
    root.text("/etc/passwd", "root:x:0:0:root:/:/\nnginx:x:101:101:nginx:/:/\n");
    root.text("/etc/group", "root:x:0:\nnginx:x:101:\n");
    root.mountpoints();
    root.folder("/var/lib/nginx");
}

void fillBusybox(Rootfs& root) {
    root.copy("/usr/bin/busybox", "/bin/busybox");
    for (const std::string& applet : lines(mustRun({"/usr/bin/busybox", "--list"}).out))
        if (applet != "busybox") root.link("/bin/busybox", "/bin/" + applet);
    root.text("/etc/passwd", "root:x:0:0:root:/:/bin/sh\napp:x:1000:1000:app:/:/bin/sh\n");
    root.text("/etc/group", "root:x:0:\napp:x:1000:\n");
    root.text("/etc/app.conf", "answer = 42\n");
    root.mountpoints();
}

void fillScratch(Rootfs& root) {
    root.copy((binDir().parent_path() / "tests/recap-test-payload").string(), "/app");
    root.mountpoints();
}

void fillDebian(Rootfs& root) {
    root.debianPackages({"dpkg", "coreutils", "procps", "iproute2", "hostname", "dash", "findutils", "libc-bin", "base-files"});
    root.copy("/usr/bin/busybox", "/usr/bin/busybox");
    root.text("/etc/passwd", "root:x:0:0:root:/:/bin/sh\napp:x:1000:1000:app:/:/bin/sh\n");
    root.text("/etc/group", "root:x:0:\napp:x:1000:\n");
    root.mountpoints();
}

}  // namespace recap::test
