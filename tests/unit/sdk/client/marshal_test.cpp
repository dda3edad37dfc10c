// SPDX-License-Identifier: Apache-2.0
// Values as libdbus has them: what goes through a message and back, and what never gets there.
#include "sdk/client/marshal.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sdk/client/bus.hpp"

namespace recap::client {
namespace {

using testing::HasSubstr;

constexpr Method kCall{"/org/recap1", "org.recap1.Manager", "Run"};

MessagePtr message() { return MessagePtr(dbus_message_new_method_call("org.recap1", "/org/recap1", "org.recap1.Manager", "Run")); }

template <class... Args>
Error refusal(const Args&... args) {
    const auto call = newCall(kCall, args...);
    return call ? Error{Errc::None, "it was accepted"} : call.error();
}

// What arrives of a value that is sent.
Dict travelled(const Dict& dict) {
    const auto call = newCall(kCall, dict);
    EXPECT_TRUE(call) << call.error().message;
    DBusMessageIter at;
    Dict back;
    dbus_message_iter_init(call->get(), &at);
    EXPECT_TRUE(read(&at, back));
    return back;
}

TEST(Marshal, KindsSurviveTheJourney) {
    const Dict back = travelled({{"b", true},
                                 {"i", std::int32_t{-3}},
                                 {"u", 3U},
                                 {"x", std::int64_t{-1} << 40},
                                 {"t", std::uint64_t{1} << 63},
                                 {"d", 1.5},
                                 {"s", "ü"},
                                 {"as", Strings{"a", ""}},
                                 {"a{ss}", Labels{{"k", "v"}}},
                                 {"a{sv}", Dict{{"inner", Dict{{"deep", 1U}}}}},
                                 {"empty", Dict{}}});
    EXPECT_TRUE(back.flag("b"));
    EXPECT_EQ(back.number("i"), -3);
    EXPECT_EQ(back.number("u"), 3);
    EXPECT_EQ(back.number("x"), std::int64_t{-1} << 40);
    EXPECT_EQ(std::get<std::uint64_t>(back.find("t")->is), std::uint64_t{1} << 63);
    EXPECT_EQ(std::get<double>(back.find("d")->is), 1.5);
    EXPECT_EQ(back.text("s"), "ü");
    EXPECT_EQ(back.strings("as"), (Strings{"a", ""}));
    EXPECT_EQ(back.dict("a{ss}").text("k"), "v");
    EXPECT_EQ(back.dict("a{sv}").dict("inner").number("deep"), 1);
    EXPECT_TRUE(std::holds_alternative<Dict>(back.find("empty")->is));
    EXPECT_EQ(back.begin()->first, "b") << "in the order they came";
}

TEST(Marshal, ReadsOtherTypesAsTheNearest) {
    const MessagePtr sent = message();
    DBusMessageIter at, array, entry, variant, inner;
    const char* key = "key";
    const auto put = [&](const char* type, auto&& fill) {
        dbus_message_iter_open_container(&array, DBUS_TYPE_DICT_ENTRY, nullptr, &entry);
        dbus_message_iter_append_basic(&entry, DBUS_TYPE_STRING, &type);
        dbus_message_iter_open_container(&entry, DBUS_TYPE_VARIANT, type, &variant);
        fill();
        dbus_message_iter_close_container(&entry, &variant);
        dbus_message_iter_close_container(&array, &entry);
    };
    const auto basic = [&](const char* type, auto value) { put(type, [&] { dbus_message_iter_append_basic(&variant, *type, &value); }); };
    dbus_message_iter_init_append(sent.get(), &at);
    dbus_message_iter_open_container(&at, DBUS_TYPE_ARRAY, "{sv}", &array);
    basic("y", std::uint8_t{200});
    basic("n", std::int16_t{-2});
    basic("q", std::uint16_t{65535});
    basic("o", "/org/recap1");
    basic("g", "a{sv}");
    put("ay", [&] {
        const char* bytes = "a\0\xff";
        dbus_message_iter_open_container(&variant, DBUS_TYPE_ARRAY, "y", &inner);
        dbus_message_iter_append_fixed_array(&inner, DBUS_TYPE_BYTE, &bytes, 3);
        dbus_message_iter_close_container(&variant, &inner);
    });
    put("(su)", [&] {
        const dbus_uint32_t number = 1;
        dbus_message_iter_open_container(&variant, DBUS_TYPE_STRUCT, nullptr, &inner);
        dbus_message_iter_append_basic(&inner, DBUS_TYPE_STRING, &key);
        dbus_message_iter_append_basic(&inner, DBUS_TYPE_UINT32, &number);
        dbus_message_iter_close_container(&variant, &inner);
    });
    put("at", [&] {
        dbus_message_iter_open_container(&variant, DBUS_TYPE_ARRAY, "t", &inner);
        for (const std::uint64_t number : {std::uint64_t{7}, std::uint64_t{1} << 40})
            dbus_message_iter_append_basic(&inner, DBUS_TYPE_UINT64, &number);
        dbus_message_iter_close_container(&variant, &inner);
    });
    put("aa{sv}", [&] {
        dbus_message_iter_open_container(&variant, DBUS_TYPE_ARRAY, "a{sv}", &inner);
        dbus_message_iter_close_container(&variant, &inner);
    });
    dbus_message_iter_close_container(&at, &array);

    Dict dict;
    dbus_message_iter_init(sent.get(), &at);
    ASSERT_TRUE(read(&at, dict));
    EXPECT_EQ(dict.number("y"), 200);
    EXPECT_EQ(dict.number("n"), -2);
    EXPECT_EQ(dict.number("q"), 65535);
    EXPECT_EQ(dict.text("o"), "/org/recap1");
    EXPECT_EQ(dict.text("g"), "a{sv}");
    EXPECT_EQ(dict.numbers("at"), (Numbers{7, std::uint64_t{1} << 40}));
    EXPECT_EQ(dict.text("ay"), std::string_view("a\0\xff", 3));
    EXPECT_TRUE(std::holds_alternative<std::monostate>(dict.find("(su)")->is)) << "there, without a value";
    EXPECT_TRUE(std::holds_alternative<Rows>(dict.find("aa{sv}")->is));
}

TEST(Marshal, ReadsNothingOfAnotherType) {
    const auto call = newCall(kCall, std::string("text"));
    ASSERT_TRUE(call);
    DBusMessageIter at;
    dbus_message_iter_init(call->get(), &at);
    Dict dict;
    Rows rows;
    bool flag = false;
    std::string text;
    EXPECT_FALSE(read(&at, dict) || read(&at, rows) || read(&at, flag));
    ASSERT_TRUE(read(&at, text));
    EXPECT_EQ(text, "text");
    EXPECT_FALSE(read(&at, text) || read(&at, dict)) << "past the end";
}

TEST(Marshal, RefusesByNameWhatTheBusCannotCarry) {
    EXPECT_EQ(refusal(std::string("a\xff")).code, Errc::InvalidArgument);
    EXPECT_THAT(refusal(std::string("a\xff")).message, HasSubstr("'a\xff' is not UTF-8"));
    EXPECT_THAT(refusal(std::string("first"), Strings{"fine", "\xed\xa0\x80"}).message, HasSubstr("UTF-8")) << "half of a surrogate pair";
    EXPECT_THAT(refusal(Dict{{"a\xff", 1U}}).message, HasSubstr("'a\xff'"));
    EXPECT_THAT(refusal(Dict{{"key", Dict{{"inner", "b\xff"}}}}).message, HasSubstr("option 'key': option 'inner': 'b\xff'"));
    EXPECT_THAT(refusal(Dict{{"key", Labels{{"l", "c\xff"}}}}).message, HasSubstr("'c\xff'"));
    EXPECT_THAT(refusal(std::string("zero\0byte", 9)).message, HasSubstr("zero byte"));
    EXPECT_THAT(refusal(Dict{{"key", Rows{}}}).message, HasSubstr("option 'key'"));
    EXPECT_THAT(refusal(Dict{{"key", Value{}}}).message, HasSubstr("option 'key'"));
}

TEST(Marshal, RepeatsOnlyTheBeginningOfALongValue) { EXPECT_LT(refusal(std::string(100'000, 'x') + "\xff").message.size(), 200U); }

TEST(Marshal, RefusesWhatIsTooLargeOrTooDeep) {
    const std::string half(kMaxArguments / 2, 'x');
    EXPECT_EQ(refusal(half).code, Errc::None);
    EXPECT_EQ(refusal(half, half).code, Errc::LimitExceeded);
    Dict deep;
    for (int i = 0; i < 100; ++i) deep = Dict{{"deeper", deep}};
    EXPECT_EQ(refusal(deep).code, Errc::InvalidArgument);
    EXPECT_THAT(refusal(deep).message, HasSubstr("nested too deeply"));
}

TEST(Marshal, RefusesAnObjectPathThatIsNone) {
    const auto call = newCall({"not a path", "org.recap1.Run", "Stop"}, Dict{});
    ASSERT_FALSE(call);
    EXPECT_EQ(call.error().code, Errc::InvalidArgument);
    EXPECT_THAT(call.error().message, HasSubstr("'not a path'"));
}

TEST(Marshal, DuplicatesDescriptorsAndSaysWhereItCannot) {
    UniqueFd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    auto call = newCall(kCall, BorrowedFd{file.get()});
    ASSERT_TRUE(call);
    file.reset();
    const auto own = takeFd(std::move(*call));
    ASSERT_TRUE(own) << own.error().message;
    EXPECT_EQ(::fcntl(own->get(), F_GETFD), FD_CLOEXEC);
    EXPECT_THAT(refusal(BorrowedFd{9999}).message, HasSubstr("Bad file descriptor"));
    EXPECT_THAT(refusal(Dict{{"stdin", BorrowedFd{-1}}}).message, HasSubstr("option 'stdin'"));
}

TEST(Marshal, AnswersOfOtherTypesAreNamed) {
    auto call = newCall(kCall, std::string("text"));
    const auto rows = take<Rows>(std::move(call));
    ASSERT_FALSE(rows);
    EXPECT_THAT(rows.error().message, HasSubstr("'s'"));
    EXPECT_FALSE(takeFd(message()));
}

TEST(Errors, KeepRecapsClassAndFindTheNearestForTheBuses) {
    const auto error = [](const char* name, const char* text) {
        MessagePtr reply(dbus_message_new(DBUS_MESSAGE_TYPE_ERROR));
        dbus_message_set_error_name(reply.get(), name);
        if (text) dbus_message_append_args(reply.get(), DBUS_TYPE_STRING, &text, DBUS_TYPE_INVALID);
        return toError(reply.get());
    };
    EXPECT_EQ(error("org.recap1.Error.NotAdmitted", "x").code, Errc::NotAdmitted);
    EXPECT_EQ(error("org.recap1.Error.NotAdmitted", "x").message, "x");
    EXPECT_EQ(error("org.recap1.Error.OfALaterVersion", "x").code, Errc::Internal);
    EXPECT_EQ(error(DBUS_ERROR_ACCESS_DENIED, "no").code, Errc::AccessDenied);
    EXPECT_THAT(error(DBUS_ERROR_SERVICE_UNKNOWN, "x").message, HasSubstr("recapd is not running"));
    EXPECT_EQ(error("org.freedesktop.DBus.Error.Spawn.ChildExited", "exit 3").message, "recapd cannot be started: exit 3");
    EXPECT_EQ(error("com.example.Strange", nullptr).message, "com.example.Strange") << "better than nothing";
}

}  // namespace
}  // namespace recap::client
