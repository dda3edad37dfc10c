// SPDX-License-Identifier: Apache-2.0
#include "daemon/host/outbox.hpp"

#include <gmock/gmock.h>

namespace recap::host {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TargetRecord record(const std::string& id, std::int32_t pid = 1) {
    TargetRecord target;
    target.id = id;
    target.pid = pid;
    return target;
}

// All that there is to tell, in words, with the numbers checked on the way.
class Listener {
public:
    std::vector<std::string> drain(Outbox& outbox) {
        std::vector<std::string> said;
        while (const auto bytes = outbox.next()) {
            const auto read = decodeFromHost(*bytes);
            EXPECT_TRUE(read);
            EXPECT_EQ(read->number, ++number_);
            said.push_back(word(read->record));
        }
        return said;
    }

private:
    static std::string word(const FromHost& record) {
        if (const auto* target = std::get_if<SnapshotTarget>(&record)) return "=" + target->target.id;
        if (const auto* target = std::get_if<Added>(&record)) return "+" + target->target.id;
        if (const auto* target = std::get_if<Changed>(&record)) return "~" + target->target.id;
        if (const auto* target = std::get_if<Removed>(&record)) return "-" + target->id;
        if (std::holds_alternative<SnapshotBegin>(record)) return "begin";
        if (const auto* end = std::get_if<SnapshotEnd>(&record)) return "end" + std::to_string(end->count);
        if (const auto* state = std::get_if<StateRecord>(&record)) return std::string(name(state->state));
        return std::holds_alternative<Hello>(record) ? "hello" : "reply";
    }
    std::uint64_t number_ = 0;
};

void tellSnapshot(Outbox& outbox, const std::vector<std::string>& ids) {
    outbox.snapshotBegin();
    for (const auto& id : ids) outbox.snapshotTarget(record(id));
    outbox.snapshotEnd();
}

TEST(Outbox, NothingIsToldBeforeTheFirstSnapshotIsWhole) {
    Outbox outbox;
    Listener listener;
    outbox.snapshotBegin();
    outbox.snapshotTarget(record("a"));
    outbox.added(record("b"));
    EXPECT_THAT(listener.drain(outbox), IsEmpty());
    outbox.snapshotEnd();
    EXPECT_THAT(listener.drain(outbox), ElementsAre("begin", "=a", "=b", "end2", "ready"));
}

TEST(Outbox, ALaterSnapshotIsToldAsItsDifferences) {
    Outbox outbox;
    Listener listener;
    tellSnapshot(outbox, {"a", "b"});
    listener.drain(outbox);
    tellSnapshot(outbox, {"b", "c"});
    EXPECT_THAT(listener.drain(outbox), ElementsAre("+c", "-a"));
    outbox.added(record("b"));
    EXPECT_THAT(listener.drain(outbox), IsEmpty());
    outbox.added(record("b", 7));
    EXPECT_THAT(listener.drain(outbox), ElementsAre("~b"));
}

TEST(Outbox, AStateIsToldWhenItChanges) {
    Outbox outbox;
    Listener listener;
    tellSnapshot(outbox, {});
    listener.drain(outbox);
    tellSnapshot(outbox, {});
    EXPECT_THAT(listener.drain(outbox), IsEmpty());
    outbox.state(BackendState::Waiting, "engine gone");
    EXPECT_THAT(listener.drain(outbox), ElementsAre("waiting"));
    tellSnapshot(outbox, {});
    EXPECT_THAT(listener.drain(outbox), ElementsAre("ready"));
}

TEST(Outbox, AResyncTellsTheWholePictureOnce) {
    Outbox outbox;
    Listener listener;
    tellSnapshot(outbox, {"a"});
    listener.drain(outbox);
    outbox.added(record("b"));
    outbox.resync();
    EXPECT_THAT(listener.drain(outbox), ElementsAre("begin", "=a", "=b", "end2", "ready"));
    outbox.state(BackendState::Waiting, "engine gone");
    listener.drain(outbox);
    outbox.resync();
    EXPECT_EQ(listener.drain(outbox).back(), "waiting");
}

TEST(Outbox, WhatComesAndGoesWhileRecapdIsSlowCostsNoMemory) {
    Outbox outbox;
    Listener listener;
    tellSnapshot(outbox, {"a"});
    listener.drain(outbox);
    for (int i = 0; i < 50'000; ++i) {
        outbox.added(record("x", 1 + i));
        outbox.removed("x");
    }
    outbox.added(record("last"));
    EXPECT_THAT(listener.drain(outbox), ElementsAre("begin", "=a", "=last", "end2", "ready"));
}

TEST(Outbox, AReplyComesAfterTheChangesBeforeIt) {
    Outbox outbox;
    Listener listener;
    tellSnapshot(outbox, {});
    listener.drain(outbox);
    outbox.added(record("found"));
    outbox.reply(Found{1, Errc::None, ""});
    EXPECT_THAT(listener.drain(outbox), ElementsAre("+found", "reply"));
}

TEST(Outbox, TheGreetingComesFirstHoweverQuickThePluginIs) {
    Outbox outbox;
    Listener listener;
    tellSnapshot(outbox, {"a"});
    outbox.greet(Hello{"p", "1"});
    EXPECT_THAT(listener.drain(outbox), ElementsAre("hello", "begin", "=a", "end1", "ready"));
}

TEST(Outbox, TargetsBeyondTheCapAreLeftOut) {
    Outbox outbox;
    Listener listener;
    outbox.snapshotBegin();
    for (std::size_t i = 0; i < kMaxTargets + 10; ++i) outbox.snapshotTarget(record(std::to_string(i)));
    outbox.snapshotEnd();
    EXPECT_EQ(listener.drain(outbox).size(), kMaxTargets + 3);
}

TEST(SinkTable, ATargetWithoutAUsableIdOrFromAShorterRecordIsLeftOut) {
    Outbox outbox;
    Listener listener;
    SinkTable sink(
        outbox, -1, [](void*) {}, nullptr);
    const auto* table = sink.table();
    recap_target target{};
    target.size = sizeof target;
    table->snapshot_begin(table->host);
    table->snapshot_target(table->host, &target);  // no id
    const std::string longId(kMaxId + 1, 'x');
    target.id = {longId.data(), longId.size()};
    table->snapshot_target(table->host, &target);
    target.id = {"ok", 2};
    target.name = {"a\x1b[2J", 5};
    target.size = 8;
    table->snapshot_target(table->host, &target);
    target.size = sizeof target;
    table->snapshot_target(table->host, &target);
    table->snapshot_end(table->host);
    EXPECT_THAT(listener.drain(outbox), ElementsAre("begin", "=ok", "end1", "ready"));
}

}  // namespace
}  // namespace recap::host
