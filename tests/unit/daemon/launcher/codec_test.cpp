// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/codec.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "daemon/launcher/ceiling.hpp"
#include "daemon/launcher/transport.hpp"

namespace recap::launcher {
namespace {

Plan somePlan() {
    Plan plan;
    plan.runId = "01HZX0000000000000000000AB";
    plan.argv = {"ps", "-ef"};
    plan.layers = {std::string(64, 'a')};
    plan.view = View::ReadOnly;
    plan.limits = {1 << 20, 500, 32, 1 << 20};
    plan.filter = {0x0000000000000006ull};
    plan.expected[1] = 4026531840;
    return plan;
}

TEST(Codec, APlanComesBackAsItWas) {
    const std::string bytes = encode(Verb::Start, 7, somePlan());
    auto header = decodeHeader(bytes);
    ASSERT_TRUE(header) << header.error().message;
    EXPECT_EQ(header->verb, Verb::Start);
    EXPECT_EQ(header->sequence, 7u);
    auto plan = decode<Plan>(bytes);
    ASSERT_TRUE(plan);
    EXPECT_EQ(plan->argv, somePlan().argv);
    EXPECT_EQ(plan->view, View::ReadOnly);
    EXPECT_EQ(plan->limits.pids, 32u);
    EXPECT_EQ(plan->expected, somePlan().expected);
    EXPECT_EQ(plan->filter, somePlan().filter);
}

TEST(Codec, EveryTruncationAndEveryExtraByteIsRefused) {
    const std::string whole = encode(Verb::Start, 1, somePlan());
    for (std::size_t size = kHeaderSize; size < whole.size(); ++size)
        EXPECT_FALSE(decode<Plan>(std::string_view(whole).substr(0, size))) << size;
    EXPECT_FALSE(decode<Plan>(whole + '\0'));
}

TEST(Codec, ALengthThatLiesIsRefused) {
    std::string bytes = encode(Verb::List, 1, Empty{});
    bytes[8] = static_cast<char>(bytes[8] + 1);
    EXPECT_FALSE(decodeHeader(bytes));
}

TEST(Codec, AnEnumerationOutOfItsRangeIsRefused) {
    Plan plan = somePlan();
    plan.view = static_cast<View>(4);
    EXPECT_FALSE(decode<Plan>(encode(Verb::Start, 1, plan)));
}

WatchRequest someWatch() {
    WatchRequest watch{"docker:web", 7, "/docker/1", 4026531841, WatchKind::Pressure, Resource::Io, 100'000, 1'000'000, {}};
    watch.path = "/etc/app.conf";
    return watch;
}

TEST(Codec, AWatchComesBackAsItWasAndDamagedIsRefused) {
    const std::string bytes = encode(Verb::Watch, 9, someWatch());
    const auto back = decode<WatchRequest>(bytes);
    ASSERT_TRUE(back);
    EXPECT_EQ(encode(Verb::Watch, 9, *back), bytes);
    EXPECT_EQ(back->kind, WatchKind::Pressure);
    EXPECT_EQ(back->resource, Resource::Io);
    EXPECT_EQ(back->windowUsec, 1'000'000u);
    EXPECT_EQ(back->path, "/etc/app.conf");
    for (std::size_t size = kHeaderSize; size < bytes.size(); ++size)
        EXPECT_FALSE(decode<WatchRequest>(std::string_view(bytes).substr(0, size))) << size;
    EXPECT_FALSE(decode<WatchRequest>(bytes + '\0'));
    WatchRequest wrong = someWatch();
    wrong.kind = static_cast<WatchKind>(3);
    EXPECT_FALSE(decode<WatchRequest>(encode(Verb::Watch, 1, wrong)));
    wrong = someWatch();
    wrong.resource = static_cast<Resource>(3);
    EXPECT_FALSE(decode<WatchRequest>(encode(Verb::Watch, 1, wrong)));
}

TEST(Codec, ACountBeyondTheMessageCostsNoMemory) {
    Writer writer;
    putHeader(writer, Verb::Images, 1);
    writer(std::uint32_t{0x7fffffff});
    EXPECT_FALSE(decode<ImageList>(sealed(writer)));
}

TEST(Codec, AFailureTravelsAsItsCodeAndSentence) {
    auto reply = decodeReply<Started>(encodeFailure(Verb::Start, 3, {Errc::Denied, "capabilities: CAP_SYS_ADMIN"}));
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, Errc::Denied);
    EXPECT_EQ(reply.error().message, "capabilities: CAP_SYS_ADMIN");
}

TEST(Ceiling, SurvivesItsFlatFormAndRefusesDamage) {
    Ceiling ceiling;
    ceiling.writes = {"/var/log"};
    ceiling.limits = LimitsMode::BestEffort;
    const std::string bytes = encodeCeiling(ceiling);
    auto back = decodeCeiling(bytes);
    ASSERT_TRUE(back);
    EXPECT_EQ(back->writes, ceiling.writes);
    EXPECT_EQ(back->limits, LimitsMode::BestEffort);
    for (std::size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(decodeCeiling(std::string_view(bytes).substr(0, size)));
}

TEST(Transport, DescriptorsTravelCloseOnExecAndTooManyAreClosed) {
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    UniqueFd left(pair[0]);
    UniqueFd right(pair[1]);
    const int some[] = {0, 1};
    ASSERT_TRUE(sendMessage(left.get(), "hello", some));
    auto message = receiveMessage(right.get());
    ASSERT_TRUE(message);
    EXPECT_EQ(message->bytes, "hello");
    ASSERT_EQ(message->fds.size(), 2u);
    EXPECT_EQ(::fcntl(message->fds[0].get(), F_GETFD), FD_CLOEXEC);
    left.reset();
    EXPECT_EQ(receiveMessage(right.get()).error().code, Errc::Unavailable);
}

}  // namespace
}  // namespace recap::launcher
