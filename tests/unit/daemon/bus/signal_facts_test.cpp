// SPDX-License-Identifier: Apache-2.0
// What a signal's arguments become for a capsule.
#include "daemon/bus/signal_facts.hpp"

#include <gmock/gmock.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "tests/unit/daemon/bus/house.hpp"

namespace recap::test {
namespace {

using bus::signalFacts;
using Facts = std::map<std::string, std::string>;

struct SignalFactsTest : testing::Test {
    struct MessageUnref {
        void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
    };
    using Message = std::unique_ptr<sd_bus_message, MessageUnref>;
    OpenBus daemon;
    sd_bus* bus = nullptr;
    SignalFactsTest() { EXPECT_GE(sd_bus_open_system(&bus), 0); }
    ~SignalFactsTest() override { sd_bus_flush_close_unref(bus); }

    Message signal(const char* path = "/a") const {
        sd_bus_message* message = nullptr;
        EXPECT_GE(sd_bus_message_new_signal(bus, &message, path, "org.example.A1", "Done"), 0);
        return Message(message);
    }
    static Facts facts(const Message& message) {
        EXPECT_GE(sd_bus_message_seal(message.get(), 1, 0), 0);
        EXPECT_GE(sd_bus_message_rewind(message.get(), 1), 0);
        auto all = signalFacts(message.get());
        std::size_t bytes = 0;
        for (const auto& [key, value] : all) bytes += key.size() + value.size();
        EXPECT_LE(bytes, bus::kMostSignalBytes + 16) << "and the word that some is left out";
        return all;
    }
    template <class... Arguments>
    Facts of(const char* types, Arguments... arguments) const {
        const auto message = signal();
        EXPECT_GE(sd_bus_message_append(message.get(), types, arguments...), 0);
        auto all = facts(message);
        for (const char* key : {"sender", "path", "interface", "member"}) all.erase(key);
        return all;
    }
};

TEST_F(SignalFactsTest, SayWhatItIs) {
    EXPECT_EQ(facts(signal()),
              (Facts{{"sender", ""}, {"path", "/a"}, {"interface", "org.example.A1"}, {"member", "Done"}, {"signature", ""}}));
}

TEST_F(SignalFactsTest, TextIsAsItIsAndAllElseIsJson) {
    EXPECT_EQ(of("sog", "two \"words\"\n", "/b/c", "a{sv}"),
              (Facts{{"signature", "sog"}, {"arg0", "two \"words\"\n"}, {"arg1", "/b/c"}, {"arg2", "a{sv}"}}));
    EXPECT_EQ(of("bynqiuxtd", 1, 200, -3, 4, -5, 6u, std::int64_t{-7}, std::uint64_t{18446744073709551615u}, 0.5),
              (Facts{{"signature", "bynqiuxtd"},
                     {"arg0", "true"},
                     {"arg1", "200"},
                     {"arg2", "-3"},
                     {"arg3", "4"},
                     {"arg4", "-5"},
                     {"arg5", "6"},
                     {"arg6", "-7"},
                     {"arg7", "18446744073709551615"},
                     {"arg8", "0.5"}}));
}

TEST_F(SignalFactsTest, ContainersAreArraysAndDictionariesObjects) {
    EXPECT_EQ(of("as(su)v", 2, "a", "\"b\"", "c", 7u, "au", 2, 1u, 2u),
              (Facts{{"signature", "as(su)v"}, {"arg0", R"(["a","\"b\""])"}, {"arg1", R"(["c",7])"}, {"arg2", "[1,2]"}}));
    EXPECT_EQ(of("a{sv}a{ub}", 2, "k", "s", "v", "empty", "as", 0, 1, 9u, 0),
              (Facts{{"signature", "a{sv}a{ub}"}, {"arg0", R"({"k":"v","empty":[]})"}, {"arg1", R"({"9":false})"}}));
    EXPECT_EQ(of("vv", "v", "v", "s", "deep", "i", 1), (Facts{{"signature", "vv"}, {"arg0", "\"deep\""}, {"arg1", "1"}}));
}

TEST_F(SignalFactsTest, WhatHasNoRoomIsLeftOutAndThatIsSaid) {
    const std::string large(bus::kMostSignalBytes, 'x');
    EXPECT_EQ(of("iss", 1, large.c_str(), "after"), (Facts{{"signature", "iss"}, {"arg0", "1"}, {"cut", "true"}}));
    const auto message = signal();
    EXPECT_GE(sd_bus_message_append(message.get(), "s", "first"), 0);
    const std::vector<std::uint32_t> numbers(1 << 20, 7);
    EXPECT_GE(sd_bus_message_append_array(message.get(), 'u', numbers.data(), numbers.size() * sizeof(std::uint32_t)), 0);
    const Facts cut = facts(message);
    EXPECT_EQ(cut.at("arg0"), "first");
    EXPECT_EQ(cut.count("arg1"), 0u);
    EXPECT_EQ(cut.at("cut"), "true");
    const std::string path = "/" + std::string(5000, 'p');
    const Facts long_ = facts(signal(path.c_str()));
    EXPECT_EQ(long_.count("path"), 0u);
    EXPECT_EQ(long_.at("cut"), "true");
}

TEST_F(SignalFactsTest, NoMoreArgumentsThanAreKept) {
    const auto message = signal();
    for (unsigned i = 0; i < bus::kMostArguments + 1; ++i) EXPECT_GE(sd_bus_message_append(message.get(), "u", i), 0);
    const Facts all = facts(message);
    EXPECT_EQ(all.at("arg15"), "15");
    EXPECT_EQ(all.count("arg16"), 0u);
    EXPECT_EQ(all.at("cut"), "true");
}

TEST_F(SignalFactsTest, HoweverDeepItIs) {
    const auto message = signal();
    const auto open = [&](char type, const std::string& contents) {
        EXPECT_GE(sd_bus_message_open_container(message.get(), type, contents.c_str()), 0);
    };
    for (int i = 31; i > 0; --i) open('a', std::string(static_cast<std::size_t>(i - 1), 'a') + "i");
    EXPECT_GE(sd_bus_message_append(message.get(), "i", 1), 0);
    for (int i = 0; i < 31; ++i) EXPECT_GE(sd_bus_message_close_container(message.get()), 0);
    const auto depth = nlohmann::json::parse(facts(message).at("arg0")).flatten();
    ASSERT_EQ(depth.size(), 1u);
    EXPECT_EQ(depth.begin().value(), 1);
}

}  // namespace
}  // namespace recap::test
