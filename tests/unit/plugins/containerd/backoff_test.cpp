// SPDX-License-Identifier: Apache-2.0
#include "plugins/containerd/backoff.hpp"

#include <gtest/gtest.h>

namespace recap::containerd {
namespace {

using std::chrono::milliseconds;

TEST(ContainerdBackoff, DoublesUpToItsBoundLessARandomPart) {
    Backoff backoff(milliseconds(250), milliseconds(30'000));
    for (milliseconds longest(250); longest < milliseconds(30'000); longest *= 2) {
        const auto wait = backoff.next();
        EXPECT_LE(wait, longest);
        EXPECT_GE(wait, longest / 2);
    }
    bool differ = false;
    const auto first = backoff.next();
    for (int i = 0; i < 20; ++i) {
        const auto wait = backoff.next();
        EXPECT_LE(wait, milliseconds(30'000));
        EXPECT_GE(wait, milliseconds(15'000));
        differ = differ || wait != first;
    }
    EXPECT_TRUE(differ);
    backoff.reset();
    EXPECT_LE(backoff.next(), milliseconds(250));
}

}  // namespace
}  // namespace recap::containerd
