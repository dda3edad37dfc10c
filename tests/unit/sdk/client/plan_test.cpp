// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace recapctl {
namespace {

using recap::client::Dict;
using recap::client::Strings;
using testing::HasSubstr;
using testing::Not;

TEST(Plan, SaysWhatItWillSeeAndTouchAndWhoNarrowedIt) {
    const Dict plan{{"capsule", "tcpdump"},
                    {"target", "process:42"},
                    {"target-name", "web"},
                    {"namespaces", Strings{"net"}},
                    {"host-namespaces", Strings{"net"}},
                    {"processes", "observe"},
                    {"view", "read-only"},
                    {"uid", 101U},
                    {"gid", 101U},
                    {"user", "target"},
                    {"capabilities", Strings{"CAP_NET_RAW"}},
                    {"memory", std::uint64_t{64} << 20},
                    {"timeout", std::uint64_t{30'000'000}},
                    {"privileged", true},
                    {"narrowed", Strings{"default: memory 512 MiB narrowed to 64 MiB"}}};
    const std::string words = planInWords(plan);
    EXPECT_THAT(words, HasSubstr("target        process:42 (web)\n"));
    EXPECT_THAT(words, HasSubstr("joins         net\nof the host   net\n"));
    EXPECT_THAT(words, HasSubstr("observe: the target's processes are visible, not touchable"));
    EXPECT_THAT(words, HasSubstr("read-only: the target's files at /target"));
    EXPECT_THAT(words, HasSubstr("uid 101, gid 101 (the target's own)"));
    EXPECT_THAT(words, HasSubstr("CAP_NET_RAW"));
    EXPECT_THAT(words, HasSubstr("timeout 30 s"));
    EXPECT_THAT(words, HasSubstr("org.recap1.run-privileged"));
    EXPECT_THAT(words, HasSubstr("narrowed      default: memory 512 MiB narrowed to 64 MiB\n"));
}

TEST(Plan, SaysWhereItsWordIsNotToBeTrusted) {
    EXPECT_THAT(planInWords(Dict{{"processes", "join"}, {"untrusted", true}}), HasSubstr("the target may trace the capsule"));
    EXPECT_THAT(planInWords(Dict{{"processes", "join"}, {"untrusted", false}}), Not(HasSubstr("trace")));
}

TEST(Plan, SaysNoneWhereThereIsNone) {
    const std::string words = planInWords(Dict{{"capsule", "ps"}, {"target", "process:1\033"}});
    EXPECT_THAT(words, HasSubstr("capabilities  none\n"));
    EXPECT_THAT(words, HasSubstr("no namespace of the target"));
    EXPECT_THAT(words, HasSubstr("process:1\\x1b"));
    EXPECT_THAT(words, Not(HasSubstr("freezes")));
    EXPECT_THAT(words, Not(HasSubstr("of the host")));
}

}  // namespace
}  // namespace recapctl
