// SPDX-License-Identifier: Apache-2.0
#include "plugins/docker/events.hpp"

#include <gmock/gmock.h>

namespace recap::docker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::string line(char id, const std::string& action, std::uint64_t time) {
    return R"({"Type":"container","Action":")" + action + R"(","Actor":{"ID":")" + std::string(64, id) + R"("},"timeNano":)" +
           std::to_string(time) + "}\n";
}

class DockerEvents : public testing::Test {
protected:
    void feed(const std::string& bytes) {
        reader_.feed(bytes, [this](const Event& event) { seen_.push_back(event.action); });
    }
    EventReader reader_;
    std::vector<std::string> seen_;
};

TEST_F(DockerEvents, AreCutWhereverTheBytesAre) {
    const std::string all = line('a', "start", 1) + "\n" + line('b', "die", 2);
    for (const char byte : all) feed(std::string(1, byte));
    EXPECT_THAT(seen_, ElementsAre("start", "die"));
    EXPECT_EQ(reader_.lastTime(), 2u);
}

TEST_F(DockerEvents, ThatCameBeforeAreDropped) {
    feed(line('a', "start", 1) + line('a', "die", 2) + line('a', "die", 2));
    reader_.restart();
    feed(line('a', "die", 2) + line('b', "die", 2) + line('a', "die", 3));
    EXPECT_THAT(seen_, ElementsAre("start", "die", "die", "die"));
}

TEST_F(DockerEvents, OfAnEarlierTimeDoNotTurnItBack) {
    feed(line('a', "start", 5) + line('b', "start", 4));
    EXPECT_EQ(reader_.lastTime(), 5u);
}

TEST_F(DockerEvents, ALineThatIsTooLongIsSkippedAndSaid) {
    const std::string large(EventReader::kMaxLine, 'x');
    EXPECT_FALSE(reader_.hasMissed());
    feed(line('a', "start", 1));
    for (int i = 0; i < 8; ++i) feed(large);
    feed("\n" + line('a', "die", 2));
    EXPECT_THAT(seen_, ElementsAre("start", "die"));
    EXPECT_TRUE(reader_.hasMissed());
    EXPECT_FALSE(reader_.hasMissed());
}

TEST_F(DockerEvents, HalfALineEndsWithItsStream) {
    const std::string whole = line('a', "start", 1);
    feed(whole.substr(0, 20));
    reader_.restart();
    feed(whole.substr(20) + line('b', "die", 2));
    EXPECT_THAT(seen_, ElementsAre("die"));
}

TEST_F(DockerEvents, NoiseIsNone) {
    feed("{}\n[]\nnot json\n\0\n" + std::string(1000, '\n') + "{\"Type\":\"image\"}\n");
    EXPECT_THAT(seen_, IsEmpty());
    for (std::uint64_t time = 1; time <= 3000; ++time) feed(line('a', "start", time));
    EXPECT_THAT(seen_, SizeIs(3000));
}

TEST(DockerEventsQuery, SaysNanosecondsAndKinds) {
    const std::string query = eventsQuery(1'700'000'000'000'000'007);
    EXPECT_THAT(query, HasSubstr("since=1700000000.000000007&filters=%7B%22type%22"));
    EXPECT_THAT(query, HasSubstr("health_status"));
}

}  // namespace
}  // namespace recap::docker
