// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/schedule.hpp"

#include <gtest/gtest.h>

namespace recapctl {
namespace {

using recap::client::Dict;

TEST(Schedule, SaysWhenInWords) {
    EXPECT_EQ(whenInWords({{"trigger", "periodic"}, {"calendar", "*:0/15"}, {"randomized-delay", std::uint64_t{30'000'000}}}),
              "calendar *:0/15, up to 30 s later");
    EXPECT_EQ(whenInWords({{"trigger", "periodic"}, {"every", std::uint64_t{90'000'000}}}), "every 90 s");
    EXPECT_EQ(whenInWords({{"trigger", "event"}, {"on", "oom"}}), "on oom");
    EXPECT_EQ(whenInWords({{"problem", "its file can't be read"}}), "unknown");
    EXPECT_EQ(whenInWords({{"trigger", "event"},
                           {"on", "pressure"},
                           {"resource", "memory"},
                           {"stall", std::uint64_t{100'000}},
                           {"window", std::uint64_t{1'000'000}}}),
              "on pressure (memory, 100 ms in 1 s)");
    EXPECT_EQ(whenInWords({{"trigger", "event"}, {"on", "run-finished"}, {"on-capsule", "scan"}, {"outcome", "failed"}}),
              "on run-finished (scan, failed)");
}

}  // namespace
}  // namespace recapctl
