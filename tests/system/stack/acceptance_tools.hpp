// SPDX-License-Identifier: Apache-2.0
// What acceptance tests of processes and of engines' containers have in common: the apps that are attached to, and the tools.
#pragma once

#include "tests/support/outside.hpp"
#include "tests/support/rootfs.hpp"
#include "tests/system/stack/stack.hpp"

namespace recap::test {

// A shell's program that keeps a log in `folder`: a line every 10 ms, into a file that it opens anew at USR1.
inline std::string loggerInto(const std::string& folder) {
    const std::string open = "exec >>" + folder + "/app.log";
    return "trap '" + open + "' USR1; " + open + "; i=0; while :; do i=$((i+1)); echo line $i; usleep 10000; done";
}
// What a run changed beside it: the shell's own `usleep`s come and go, and each is another "sh" until it is executed.
inline std::vector<std::string> leftBesideLogger(const Outside& outside, const Picture& before, pid_t shell) {
    const std::string estate = "appeared: file " + Stack::get().folder("RECAP_STATE_DIR").string();
    const std::string itself = " process " + std::to_string(shell) + " ";
    return leftAfter(outside, before, [&](const std::string& difference) {
        const bool ofTheLoop = difference.find(" 'sh' ") != std::string::npos && difference.find(itself) == std::string::npos;
        return difference.starts_with(estate) || ofTheLoop || difference.find("'usleep'") != std::string::npos;
    });
}
// logrotate's settings for it, who is process 1.
inline std::string rotationOf(const std::string& folder) {
    return folder + "/app.log {\n rotate 2\n create\n postrotate\n  kill -USR1 1\n endscript\n}\n";
}
// "line 1" to "line N" without a gap, from the older file into the newer: N; else less than 1.
inline int linesInOrder(const std::string& text) {
    int expected = 0;
    for (const std::string& line : lines(text))
        if (line != "line " + std::to_string(++expected)) return -expected;
    return expected;
}

// A shell's program: a list of the image's files with their digests is on standard input; the target's files are below /target.
inline std::string integrityCheckOf(const std::string& folders) {
    return "cd /target && busybox cat > /tmp/list && busybox sha256sum -c /tmp/list 2>/dev/null | busybox grep -v ': OK$'\n"
           "busybox cut -d' ' -f3 /tmp/list > /tmp/known\n"
           "busybox find " +
           folders + " -type f | busybox grep -vxF -f /tmp/known | busybox sed 's/$/: ADDED/'\n";
}
inline std::string listOf(const std::filesystem::path& root, const std::string& folders) {
    return mustRun({"sh", "-c", "cd " + root.string() + " && find " + folders + " -type f | LC_ALL=C sort | xargs sha256sum"}).out;
}

inline constexpr const char* kGdbBacktrace =
    R"(["gdb", "-batch", "-nx", "-iex", "set sysroot /target", "-ex", "file /target/usr/sbin/nginx", "-ex", "attach 1", "-ex", "bt", "-ex", "detach"])";
inline void importGdb() {
    const TempDir folder;
    Rootfs gdb{folder.path() / "gdb"};
    gdb.debianPackages({"gdb", "libpython3.11-minimal", "libpython3.11-stdlib"});
    Stack::get().importImage("test/gdb:1", filesOf(gdb.path()));
}

// The packages of the database that dpkg-query is pointed at, as it prints them.
inline const std::vector<std::string> kPackageList{"-W", "-f", "${Package} ${Version} ${Architecture} ${db:Status-Status}\n"};

}  // namespace recap::test
