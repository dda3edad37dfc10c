// SPDX-License-Identifier: Apache-2.0
// The paper's way to show correctness: what a tool says inside a container and what the same tool says as a capsule. The container
// has the tools here, so that there is something to compare with; image and container are made of the same packages.
#include "tests/support/environment.hpp"
#include "tests/system/stack/acceptance_tools.hpp"
#include "tests/system/stack/stack_fixture.hpp"

namespace recap::test {
namespace {

using nlohmann::json;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class Equality : public ::testing::Test {
protected:
    static void SetUpTestSuite() {
        box_ = std::make_unique<MicroContainer>(ContainerOptions{.kind = "debian", .uid = 1000, .gid = 1000, .runtimeRoot = kRuncRoot});
        const TempDir folder;
        Rootfs root{folder.path() / "root"};
        fillDebian(root);
        Stack& stack = Stack::get();
        stack.importImage("test/debian:1", filesOf(root.path()));
        const std::string limits = "[limits]\ntimeout = \"20s\"\n";
        stack.install(
            manifestOf("e-ps", "test/debian:1", "[\"/usr/bin/busybox\", \"ps\"]", "[sandbox]\nprocesses = \"observe\"\n" + limits));
        stack.install(manifestOf("e-ip", "test/debian:1", "[\"/usr/bin/ip\"]",
                                 "[sandbox]\nnamespaces = [\"net\"]\n[sandbox.syscalls]\nallow = [\"capset\"]\n" + limits));
        stack.install(manifestOf("e-hostname", "test/debian:1", "[\"/usr/bin/hostname\"]", "[sandbox]\nnamespaces = [\"uts\"]\n" + limits));
        stack.install(manifestOf("e-ls", "test/debian:1", "[\"/usr/bin/ls\"]", "[sandbox]\nview = \"read-only\"\n" + limits));
        stack.install(manifestOf("e-packages", "test/debian:1", "[\"/usr/bin/dpkg-query\"]", "[sandbox]\nview = \"read-only\"\n" + limits));
    }
    static void TearDownTestSuite() { box_.reset(); }

    static std::string inside(const std::vector<std::string>& argv) {
        const CommandResult result = box_->exec(argv);
        EXPECT_TRUE(result.ok()) << result.all();
        return result.out;
    }
    static std::string capsule(const std::string& name, const std::vector<std::string>& words) {
        const json report = Stack::get().run(name, targetOf(*box_), words);
        EXPECT_EQ(report.value("outcome", ""), "succeeded") << report.dump(2) << Stack::get().logs();
        EXPECT_EQ(report.value("escape", ""), "clean");
        return report.value("stdout", "");
    }

    static std::unique_ptr<MicroContainer> box_;
};
std::unique_ptr<MicroContainer> Equality::box_;

// A12: same PIDs, names, users and arguments; inside, the tool sees itself too, as a capsule it does not. (procps looks itself up
// by its own number, which in the target's procfs is nobody's or another's; busybox doesn't.)
TEST_F(Equality, A12_ProcessesAreTheContainersExactly) {
    std::vector<std::string> expected = lines(inside({"/usr/bin/busybox", "ps", "-o", "pid,ppid,user,group,comm,args"}));
    std::erase_if(expected, [](const std::string& line) { return line.find("busybox ps") != std::string::npos; });
    EXPECT_THAT(expected, SizeIs(4)) << "a heading and three processes";
    EXPECT_THAT(lines(capsule("e-ps", {"-o", "pid,ppid,user,group,comm,args"})), ElementsAreArray(expected));
}

TEST_F(Equality, NetworkInterfacesAndAddressesAreTheSame) {
    EXPECT_EQ(capsule("e-ip", {"address"}), inside({"/usr/bin/ip", "address"}));
    EXPECT_EQ(capsule("e-ip", {"-s", "link"}), inside({"/usr/bin/ip", "-s", "link"})) << "a loopback that nobody uses counts nothing";
}

TEST_F(Equality, TheHostnameIsTheSame) { EXPECT_EQ(capsule("e-hostname", {}), inside({"/usr/bin/hostname"})); }

TEST_F(Equality, FilesAreTheSame) {
    const std::string list = capsule("e-ls", {"-lRn", "--time-style=full-iso", "/target/etc"});
    std::string expected = inside({"/usr/bin/ls", "-lRn", "--time-style=full-iso", "/etc"});
    for (std::size_t at = 0; (at = expected.find("/etc", at)) != std::string::npos; at += 11)
        if (at == 0 || expected[at - 1] == '\n') expected.insert(at, "/target");
    EXPECT_EQ(list, expected);
}

// A8: byte-equal.
TEST_F(Equality, A8_ThePackageListIsTheSame) {
    std::vector<std::string> query{"/usr/bin/dpkg-query"}, ofTarget{"--admindir=/target/var/lib/dpkg"};
    for (auto* words : {&query, &ofTarget}) words->insert(words->end(), kPackageList.begin(), kPackageList.end());
    const std::string expected = inside(query);
    EXPECT_THAT(lines(expected), testing::Not(IsEmpty()));
    EXPECT_EQ(capsule("e-packages", ofTarget), expected);
}

}  // namespace
}  // namespace recap::test
