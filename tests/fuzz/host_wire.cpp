// SPDX-License-Identifier: Apache-2.0
// What a plugin host says to recapd, and recapd to it. It speaks of targets, whose names anybody may choose.
#include "daemon/host/wire.hpp"

#include "tests/fuzz/fuzz.hpp"

namespace recap::fuzz {

namespace {

using namespace host;

void readText(std::string_view bytes) {
    for (const std::size_t cap : {std::size_t{0}, std::size_t{5}, kMaxText}) {
        const std::string clean = cleanText(bytes, cap);
        promise(clean.size() <= cap && isCleanText(clean), "clean text is clean, and not too long");
    }
}

TargetRecord target() {
    TargetRecord record;
    record.id = "0123abcd";
    record.name = "web";
    record.image = "nginx:1";
    record.cgroup = "/docker/1";
    record.labels = {{"app", "web"}, {"tier", "front"}};
    record.pid = 42;
    record.startTime = 7;
    return record;
}

}  // namespace

std::vector<std::string> seeds() {
    return {encode(1, Hello{"docker", "1"}),
            encode(2, SnapshotBegin{}),
            encode(3, SnapshotTarget{target()}),
            encode(4, SnapshotEnd{1}),
            encode(5, Added{target()}),
            encode(6, Removed{"0123abcd"}),
            encode(7, StateRecord{BackendState::Waiting, "no socket"}),
            encode(8, Found{1, Errc::NotFound, "none"}),
            encode(9, Pong{3}),
            encode(10, Exported{1, Errc::NotFound, "no such image: web:1"}),
            encode(ToHost{Find{1, "web"}}),
            encode(ToHost{Resync{}}),
            encode(ToHost{Ping{4}}),
            encode(ToHost{Export{1, "web:1"}})};
}

void input(std::string_view bytes) {
    readText(bytes);
    if (const auto record = decodeFromHost(bytes)) {
        const std::string again = encode(record->number, record->record);
        promise(again.size() <= bytes.size(), "a record is no longer than it came");
        const auto twice = decodeFromHost(again);
        promise(twice && encode(twice->number, twice->record) == again, "a record that was read can be written and read");
    }
    if (const auto record = decodeToHost(bytes)) promise(encode(*record) == bytes, "one question has one form");
}

}  // namespace recap::fuzz
