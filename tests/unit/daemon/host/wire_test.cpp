// SPDX-License-Identifier: Apache-2.0
#include "daemon/host/wire.hpp"

#include <gmock/gmock.h>

#include <random>

namespace recap::host {
namespace {

TargetRecord web() {
    TargetRecord target;
    target.id = "4242";
    target.name = "web";
    target.image = "nginx:1";
    target.runtime = "runc";
    target.cgroup = "/docker/3f2";
    target.labels = {{"app", "nginx"}, {"leer", ""}};
    target.state = TargetState::Paused;
    target.pid = 4242;
    target.startTime = 77;
    return target;
}

TEST(Wire, ATargetComesOutAsItWentIn) {
    const auto back = decodeFromHost(encode(9, Changed{web()}));
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(back->number, 9u);
    EXPECT_EQ(std::get<Changed>(back->record).target, web());
}

TEST(Wire, EveryKindComesBackAsItself) {
    const std::vector<FromHost> all{Hello{"p", "1"},
                                    SnapshotBegin{},
                                    SnapshotTarget{web()},
                                    SnapshotEnd{1},
                                    Added{web()},
                                    Changed{web()},
                                    Removed{"x"},
                                    StateRecord{BackendState::Unavailable, "no"},
                                    Found{3, Errc::NotFound, "no"},
                                    Pong{5},
                                    Exported{6, Errc::Unavailable, "no"}};
    for (const auto& record : all) {
        const auto back = decodeFromHost(encode(1, record));
        ASSERT_TRUE(back) << record.index() << back.error().message;
        EXPECT_EQ(back->record.index(), record.index());
    }
    for (const ToHost& record : {ToHost(Find{1, "x"}), ToHost(Resync{}), ToHost(Ping{7}), ToHost(Export{8, "web:1"})}) {
        const auto back = decodeToHost(encode(record));
        ASSERT_TRUE(back);
        EXPECT_EQ(back->index(), record.index());
    }
}

TEST(Wire, EveryCutOfARecordIsRefused) {
    const std::string whole = encode(1, Added{web()});
    for (std::size_t length = 0; length < whole.size(); ++length) EXPECT_FALSE(decodeFromHost(whole.substr(0, length))) << length;
    EXPECT_FALSE(decodeFromHost(whole + '\0'));
}

// Only that nothing is read or written out of bounds can be said of noise: the sanitizers' build is the judge.
TEST(Wire, NoiseAndFlippedBitsNeverBreakTheReader) {
    std::mt19937 random(1);
    const std::string whole = encode(1, Added{web()});
    for (int i = 0; i < 20'000; ++i) {
        std::string bytes = whole;
        for (int flips = 0; flips < 3; ++flips) bytes[random() % bytes.size()] = static_cast<char>(random());
        const auto read = decodeFromHost(bytes);
        EXPECT_TRUE(!read || encode(1, read->record).size() <= kMaxRecord);
        std::string noise(random() % 200, '\0');
        for (auto& byte : noise) byte = static_cast<char>(random());
        EXPECT_FALSE(decodeFromHost(noise));
    }
}

TEST(Wire, AnOversizedRecordOrALengthThatLiesIsRefused) {
    EXPECT_EQ(decodeFromHost(std::string(kMaxRecord + 1, 'x')).error().code, Errc::LimitExceeded);
    std::string lying = encode(1, Removed{"abc"});
    lying[20] = '\xff';  // the text's count
    EXPECT_FALSE(decodeFromHost(lying));
}

TEST(Wire, TextThatABusOrATerminalCannotTakeIsRefused) {
    for (const char* text : {"\xff", "a\nb", "\x1b[2J", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc2\x85", "\xe2\x82",
                             "\xef\xb7\x90", "\xef\xbf\xbe", "\xf0\x9f\xbf\xbf"}) {
        EXPECT_FALSE(isCleanText(text));
        EXPECT_FALSE(decodeFromHost(encode(1, Removed{text})));
        EXPECT_TRUE(isCleanText(cleanText(text, 100)));
    }
    EXPECT_TRUE(isCleanText("größe €5 🙂"));
    EXPECT_EQ(cleanText("a\nb\xff", 10), "a?b?");
    EXPECT_EQ(cleanText("€€", 5), "€");
}

TEST(Wire, ATargetIsMadeToFit) {
    TargetRecord target = web();
    for (int i = 0; i < 300; ++i) target.labels["key" + std::to_string(i)] = std::string(1000, 'v');
    target.labels["too-long"] = std::string(kMaxLabelText + 1, 'v');
    for (int i = 0; i < 20; ++i) {
        target.aliases.push_back("alias\n" + std::to_string(i) + std::string(300, 'a'));
        target.details["detail" + std::to_string(i)] = std::string(300, 'd');
    }
    EXPECT_GT(makeFit(target), 0u);
    EXPECT_TRUE(target.labels.contains("app"));
    EXPECT_EQ(target.aliases.size(), kMaxAliases);
    EXPECT_EQ(target.details.size(), kMaxDetails);
    const auto back = decodeFromHost(encode(1, Added{target}));
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(std::get<Added>(back->record).target, target);
}

}  // namespace
}  // namespace recap::host
