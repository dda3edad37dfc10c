// SPDX-License-Identifier: Apache-2.0
// What people attach to containers for, with tools in images of their own: tried in every place, by tests in several files.
#pragma once

#include <iomanip>
#include <sstream>

#include "tests/system/stack/acceptance_tools.hpp"
#include "tests/system/stack/catalogue_fixture.hpp"
#include "tests/system/stack/engine_places.hpp"

namespace recap::test {

inline constexpr const char* kTools = "test/case-tools:1";

// The numbers that the kernel has of the target, by its own mount of its cgroup.
inline constexpr const char* kMetrics = R"sh(busybox wget -q -O - http://127.0.0.1:8080/status
busybox ps -o args
cd /target/sys/fs/cgroup
for file in memory/memory.limit_in_bytes memory/memory.max_usage_in_bytes cpuacct/cpuacct.usage memory.max memory.current cpu.stat; do
    [ ! -e $file ] || busybox echo "$file: $(busybox cat $file)"
done
)sh";

class Cases : public EngineCases {
protected:
    static void SetUpTestSuite() {
        EngineCases::SetUpTestSuite();
        const TempDir folder;
        importTools(folder.path() / "tools");
        importScanner(folder.path() / "scanner");
        importGdb();
        Rootfs tcpdump{folder.path() / "tcpdump"};
        tcpdump.program("/usr/bin/tcpdump");
        tcpdump.text("/etc/passwd", "root:x:0:0:root:/:/bin/sh\n");
        tcpdump.folder("/tmp");
        Stack::get().importImage("recap/tcpdump:1.0.0", filesOf(tcpdump.path()));
        Stack::get().install(readFile(sourceDir() / "sdk/capsules/tcpdump/capsule.toml"));
        installShell();
        installShipped("stats");
        installShipped("oom-report");
        makeLogger(folder.path() / "logger");
        makeDebian(folder.path() / "debian");
    }
    // recap-logger, an app that keeps a log in its volume, and recap-tampered: the same, but somebody was at its files.
    static void makeLogger(const std::filesystem::path& folder) {
        const nlohmann::json command{"/bin/sh", "-c", loggerInto("/data")};
        Rootfs logger{folder};
        fillBusybox(logger);
        logger.folder("/data");
        for (const char* file : {"/opt/app.conf", "/opt/private"}) logger.text(file, "as it was built\n");
        std::filesystem::permissions(folder / "opt/private", std::filesystem::perms::owner_read);
        makeImage("recap-logger:1", folder, command.dump());
        asBuilt_ = listOf(folder, kChecked);
        for (const char* file : {"/opt/app.conf", "/opt/private", "/bin/miner"}) logger.text(file, "as somebody wants it\n");
        makeImage("recap-tampered:1", folder, command.dump());
    }
    static void makeDebian(const std::filesystem::path& folder) {
        Rootfs debian{folder};
        fillDebian(debian);
        debian.folder("/data");
        makeImage("recap-debian:1", folder, R"(["/usr/bin/sleep", "86400"])");
        Stack::get().importImage("test/debian:1", filesOf(folder));
    }
    static void importTools(const std::filesystem::path& folder) {
        Rootfs tools{folder};
        for (const char* program : {"/usr/bin/strace", "/usr/bin/iperf3", "/usr/sbin/logrotate", "/usr/bin/busybox"})
            tools.program(program);
        tools.link("/usr/bin/busybox", "/bin/sh");
        tools.text("/etc/logrotate.conf", rotationOf("/target/data"));
        tools.text("/check.sh", integrityCheckOf(kChecked));
        tools.text("/metrics.sh", kMetrics);
        tools.folder("/tmp");
        std::filesystem::permissions(folder / "tmp", std::filesystem::perms::all);
        Stack::get().importImage(kTools, filesOf(folder));
    }
    // clamscan with a database of one signature.
    static void importScanner(const std::filesystem::path& folder) {
        Rootfs scanner{folder};
        scanner.program("/usr/bin/clamscan");
        std::ostringstream signature;
        for (const unsigned char byte : kEicar) signature << std::hex << std::setw(2) << std::setfill('0') << int{byte};
        scanner.text("/db/test.ndb", "Test.Eicar:0:*:" + signature.str() + "\n");
        scanner.folder("/tmp");
        std::filesystem::permissions(folder / "tmp", std::filesystem::perms::all);
        Stack::get().importImage("test/clamscan:1", filesOf(folder));
    }
    static void tool(const std::string& name, const std::string& command, const std::string& sandbox, const std::string& timeout = "30s") {
        installTool(name, command, sandbox, timeout, kTools);
    }
    static void installScanner(const std::string& name, const std::string& sandbox) {
        const char* command = R"c(["clamscan", "--database=/db", "--tempdir=/tmp", "--recursive", "--infected",
            "--exclude-dir=^/target/(dev|proc|sys)", "/target"])c";
        Stack::get().install(
            manifestOf(name, "test/clamscan:1", command,
                       "[sandbox]\nview = \"read-only\"\nreason = \"a test\"\n" + sandbox + "[limits]\ntimeout = \"30s\"\n"));
    }
    // Who is not in a user namespace may trace nobody there without a capability.
    std::string tracing() const { return std::string("processes = \"join\"\n") + (place().remapped ? "namespaces = [\"user\"]\n" : ""); }

    static constexpr const char* kChecked = "./bin ./opt";  // of /etc the engines mount files of their own
    static std::string asBuilt_;                            // recap-logger's, with their digests
};
inline std::string Cases::asBuilt_;

}  // namespace recap::test
