// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/json.hpp"

#include <gtest/gtest.h>

namespace recapctl {
namespace {

using recap::client::Dict;
using recap::client::Rows;
using recap::client::Strings;

TEST(Json, TakesDashesFromOurKeysOnly) {
    const Dict row{{"exit-code", std::int32_t{3}}, {"labels", Dict{{"my-label", "x"}}}};
    const Json json = toJson(row);
    EXPECT_EQ(json.at("exit_code"), 3);
    EXPECT_EQ(json.at("labels").at("my-label"), "x");
}

TEST(Json, CountsPhasesFromTheRequest) {
    const Dict row{{"phases", Dict{{"received", std::uint64_t{1'000'000}}, {"planned", std::uint64_t{1'000'400}}}}};
    EXPECT_EQ(toJson(row).at("phases"), (Json{{"received", 0}, {"planned", 400}}));
}

TEST(Json, KeepsTypes) {
    const Dict row{{"a", true}, {"b", std::uint64_t{1} << 63}, {"c", Strings{"x"}}, {"d", Rows{Dict{{"k", "v"}}}}, {"e", 1.5}};
    EXPECT_EQ(line(toJson(row)), "{\"a\":true,\"b\":9223372036854775808,\"c\":[\"x\"],\"d\":[{\"k\":\"v\"}],\"e\":1.5}\n");
}

TEST(Json, ErrorIsOneObjectWithItsSchema) {
    EXPECT_EQ(line(errorDocument({recap::Errc::NotFound, "no capsule 'x'"})),
              "{\"schema\":1,\"error\":{\"code\":\"NotFound\",\"message\":\"no capsule 'x'\"}}\n");
}

TEST(Json, IsOneLineOfUtf8WhateverIsInIt) {
    Json json = document();
    json["name"] = std::string("a\nb\xff");
    const std::string text = line(json);
    EXPECT_EQ(text.find('\n'), text.size() - 1);
    EXPECT_EQ(Json::parse(text).at("name"), "a\nb\xef\xbf\xbd");
}

TEST(Json, BytesThatAreNoTextAreBase64) {
    Json json = Json::object();
    setBytes(json, "stdout", "hello\n");
    setBytes(json, "stderr", "\xff\xfe");
    EXPECT_EQ(json, (Json{{"stdout", "hello\n"}, {"stderr_base64", "//4="}}));
}

}  // namespace
}  // namespace recapctl
