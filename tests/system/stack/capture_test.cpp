// SPDX-License-Identifier: Apache-2.0
// A1 and A30: tcpdump on a container that has no tools, with the catalogue's own manifest; and the same without any network.
#include <regex>

#include "tests/support/environment.hpp"
#include "tests/system/stack/stack_fixture.hpp"

namespace recap::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class Capture : public StackTest {
protected:
    static void SetUpTestSuite() {
        StackTest::SetUpTestSuite();
        const std::string manifest = readFile(sourceDir() / "sdk/capsules/tcpdump/capsule.toml");
        std::smatch image;
        if (!std::regex_search(manifest, image, std::regex{"\\nimage *= *\"([^\"]+)\""}))
            throw std::runtime_error("no image in " + manifest);
        const TempDir folder;
        Rootfs root{folder.path() / "root"};
        root.program("/usr/bin/tcpdump");
        root.text("/etc/passwd", "root:x:0:0:root:/:/bin/sh\n");
        root.folder("/tmp");
        Stack::get().importImage(image[1], filesOf(root.path()));
        Stack::get().install(manifest);
    }

    // Captures while `count` requests are made; ends by itself when it has as many SYNs. The pcap's folder.
    void capture(int count, const TempDir& folder) {
        Child tcpdump{Command{.argv = {"recapctl", "run", "--output", folder.path().string(), "tcpdump", target(), "--", "-c",
                                       std::to_string(count), "tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn"}}};
        ASSERT_TRUE(tcpdump.waitForOutput("listening on", Deadline{kPatience})) << Stack::get().logs();
        for (int i = 0; i < count; ++i) EXPECT_EQ(nginx_->get("/?" + std::to_string(i)).status, 200);
        const CommandResult ended = tcpdump.wait(Deadline{kPatience});
        EXPECT_EQ(ended.status, 0) << ended.all() << Stack::get().logs();
    }
    static std::vector<std::string> packets(const TempDir& folder) {
        for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path()))
            if (entry.path().extension() == ".pcap") return lines(mustRun({"tcpdump", "-n", "-r", entry.path().string()}).out);
        return {};
    }
};

TEST_F(Capture, A1_AsManyConnectionsAreSeenAsWereMade) {
    const TempDir folder;
    capture(5, folder);
    const auto seen = packets(folder);
    EXPECT_THAT(seen, SizeIs(5));
    for (const std::string& packet : seen) EXPECT_THAT(packet, testing::AllOf(HasSubstr("127.0.0.1.8080"), HasSubstr("Flags [S]")));
    EXPECT_THAT(left(), IsEmpty());
}

// Run by ctest in a stack that was started inside an empty network namespace.
class AirGap : public Capture {};

TEST_F(AirGap, A30_EverythingWorksWithoutAnyNetwork) {
    const CommandResult interfaces = mustRun({"ip", "-o", "link"});
    ASSERT_THAT(lines(interfaces.out), SizeIs(1)) << "this test belongs into an empty network namespace";
    EXPECT_THAT(interfaces.out, HasSubstr("state DOWN"));
    const TempDir folder;
    capture(3, folder);
    EXPECT_THAT(packets(folder), SizeIs(3));
    const json report = Stack::get().run("t-payload", target(), {"exit"});
    EXPECT_EQ(report.at("outcome"), "succeeded") << report.dump(2);
    expectClean(report);
    EXPECT_THAT(left(), IsEmpty());
}

}  // namespace
}  // namespace recap::test
