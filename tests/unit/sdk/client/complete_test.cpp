// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/complete.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace recapctl {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::Not;

TEST(Complete, OffersVerbsFirst) {
    EXPECT_THAT(complete({""}).words, Contains("run"));
    EXPECT_THAT(complete({""}).words, Contains("image"));
    EXPECT_THAT(complete({""}).words, Not(Contains("__complete")));
    EXPECT_THAT(complete({"--json", "r"}).words, Contains("runs"));
}

TEST(Complete, OffersTheVerbsOfAGroup) {
    EXPECT_THAT(complete({"image", ""}).words, ElementsAre("import", "list", "remove", "scan"));
    EXPECT_EQ(complete({"image", ""}).operand, Operand::None);
}

TEST(Complete, KnowsWhatEachOperandIs) {
    EXPECT_EQ(complete({"run", ""}).operand, Operand::Capsule);
    EXPECT_EQ(complete({"run", "ps", ""}).operand, Operand::Target);
    EXPECT_EQ(complete({"run", "ps", "web", ""}).operand, Operand::None);
    EXPECT_EQ(complete({"show", ""}).operand, Operand::Run);
    EXPECT_EQ(complete({"image", "remove", ""}).operand, Operand::Image);
    EXPECT_EQ(complete({"capsule", "install", ""}).operand, Operand::File);
    EXPECT_EQ(complete({"image", "import", "--reference", "a:1", ""}).operand, Operand::Source);
}

TEST(Complete, SkipsOptionsAndTheirValues) {
    EXPECT_EQ(complete({"run", "--timeout", "5s", "--detach", "ps", ""}).operand, Operand::Target);
    EXPECT_EQ(complete({"run", "--timeout", ""}).operand, Operand::None);
    EXPECT_THAT(complete({"run", "--"}).words, Contains("--timeout"));
    EXPECT_THAT(complete({"run", "--"}).words, Contains("--json"));
}

TEST(Complete, KnowsAShellsOptions) {
    EXPECT_EQ(complete({"shell", ""}).operand, Operand::Target);
    EXPECT_EQ(complete({"shell", "--view", "none", ""}).operand, Operand::Target);
    EXPECT_THAT(complete({"shell", "--view", ""}).words, ElementsAre("merged", "read-only", "none"));
    EXPECT_THAT(complete({"run", "--processes", ""}).words, ElementsAre("join", "observe", "none"));
    EXPECT_EQ(complete({"plan", "--image", ""}).operand, Operand::Image);
    EXPECT_THAT(complete({"shell", "--"}).words, Contains("--image"));
}

TEST(Complete, KnowsHowRunsAreFiltered) {
    EXPECT_THAT(complete({"runs", "--"}).words, Contains("--since"));
    EXPECT_THAT(complete({"runs", "--trigger", ""}).words, ElementsAre("on-demand", "event", "periodic"));
    EXPECT_THAT(complete({"runs", "--since", ""}).words, IsEmpty());
}

TEST(Complete, KnowsHowEventsAreFiltered) {
    EXPECT_THAT(complete({"events", "--"}).words, IsSupersetOf({"--follow", "--capsule", "--target", "--since", "--json"}));
    EXPECT_EQ(complete({"events", ""}).operand, Operand::None);
}

TEST(Complete, KnowsHowTargetsAreSelected) {
    EXPECT_THAT(complete({"run", "ps", "--"}).words,
                testing::IsSupersetOf({"--selector", "--backend", "--name", "--of-image", "--all", "--mode", "--now"}));
    EXPECT_EQ(complete({"run", "--selector", "app=web", ""}).operand, Operand::Capsule);
    EXPECT_THAT(complete({"run", "ps", "--mode", ""}).words, Contains("percent:"));
}

TEST(Complete, KeepsOutOfTheCapsulesArguments) {
    EXPECT_THAT(complete({"run", "ps", "web", "--", ""}).words, IsEmpty());
    EXPECT_EQ(complete({"run", "ps", "--", ""}).operand, Operand::None);
}

}  // namespace
}  // namespace recapctl
