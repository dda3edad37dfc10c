// SPDX-License-Identifier: Apache-2.0
#include "daemon/triggers/watch_reader.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>

namespace recap {
namespace {

// A file's name ends here, or leads to another file; what holds it open keeps it, and then only its link count says so.
constexpr std::uint32_t kMoved = IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF;
constexpr std::uint32_t kGone = IN_IGNORED | IN_UNMOUNT | IN_DELETE_SELF;
constexpr std::uint32_t kNoChange = IN_IGNORED | IN_Q_OVERFLOW;

void addRecord(Heard& heard, const inotify_event& record, std::string_view name) {
    ++heard.records;
    heard.what |= record.mask;
    if ((record.mask & kNoChange) == 0) ++heard.count;
    if (!name.empty() && heard.entry.empty()) heard.entry = name;
    if (!name.empty()) return;  // it is one in the folder
    const bool folders = (record.mask & IN_ISDIR) != 0 && (record.mask & kMoved) == IN_ATTRIB;
    if ((record.mask & kMoved) != 0 && !folders) heard.moved = true;
    if ((record.mask & kGone) != 0) heard.gone = true;
}

}  // namespace

std::optional<std::uint64_t> killsIn(int events) {
    char text[1024];
    const ssize_t length = ::pread(events, text, sizeof text, 0);
    if (length <= 0) return {};
    constexpr std::string_view key = "\noom_kill ";
    const std::string_view all(text, static_cast<std::size_t>(length));
    const auto at = all.find(key);
    std::uint64_t kills = 0;
    if (at != std::string_view::npos) std::from_chars(all.data() + at + key.size(), all.data() + all.size(), kills);
    return kills;
}

void Heard::add(Heard later) {
    count += later.count;
    total = later.total;
    what |= later.what;
    records += later.records;
    moved = moved || later.moved;
    gone = gone || later.gone;
    more = later.more;
    if (entry.empty()) entry = std::move(later.entry);
}

std::uint64_t WatchReader::begin() {
    if (opened_.form == WatchForm::Counters) kills_ = killsIn_(opened_.fd.get()).value_or(0);
    return kills_;
}

std::uint32_t WatchReader::waitsFor() const {
    return opened_.form == WatchForm::Counters || opened_.form == WatchForm::Trigger ? EPOLLPRI : EPOLLIN;
}

Heard WatchReader::read(std::uint32_t events) {
    switch (opened_.form) {
        case WatchForm::Counters: return readCounters();
        case WatchForm::Counter: return readCounter();
        case WatchForm::Trigger: return readTrigger(events);
        case WatchForm::Changes: return readChanges();
    }
    return {};
}

// Its EPOLLERR says no more than EPOLLPRI: that a number, of whatever, is another one.
Heard WatchReader::readCounters() {
    Heard heard;
    const auto kills = killsIn_(opened_.fd.get());
    heard.gone = !kills;
    heard.total = kills.value_or(kills_);
    if (heard.total > kills_) heard.count = heard.total - kills_;
    kills_ = heard.total;
    return heard;
}

Heard WatchReader::readCounter() {
    Heard heard;
    if (std::uint64_t times = 0; ::read(opened_.fd.get(), &times, sizeof times) == sizeof times) heard.count = times;
    return heard;
}

Heard WatchReader::readTrigger(std::uint32_t events) const {
    pollfd asked{opened_.fd.get(), POLLPRI, 0};
    if (events == 0 && ::poll(&asked, 1, 0) == 1) events = static_cast<std::uint32_t>(asked.revents);
    Heard heard;
    heard.gone = (events & (EPOLLERR | EPOLLHUP)) != 0;
    heard.count = !heard.gone && (events & EPOLLPRI) != 0 ? 1 : 0;
    return heard;
}

Heard WatchReader::readChanges() {
    alignas(inotify_event) std::array<char, 65536> bytes;
    Heard heard;
    const ssize_t length = ::read(opened_.fd.get(), bytes.data(), bytes.size());
    for (std::size_t at = 0; length > 0 && at + sizeof(inotify_event) <= static_cast<std::size_t>(length);) {
        inotify_event record{};
        std::memcpy(&record, bytes.data() + at, sizeof record);
        const char* name = bytes.data() + at + sizeof record;
        addRecord(heard, record, {name, ::strnlen(name, record.len)});
        at += sizeof record + record.len;
    }
    constexpr std::size_t longest = sizeof(inotify_event) + 256;
    heard.more = length > 0 && static_cast<std::size_t>(length) + longest > bytes.size();
    return heard;
}

std::string changeWords(std::uint32_t what) {
    constexpr std::pair<std::uint32_t, const char*> words[] = {{IN_MODIFY | IN_CLOSE_WRITE, "modified"},
                                                               {IN_CREATE, "created"},
                                                               {IN_DELETE | IN_DELETE_SELF, "deleted"},
                                                               {IN_MOVED_FROM | IN_MOVED_TO | IN_MOVE_SELF, "moved"},
                                                               {IN_ATTRIB, "attributes"}};
    std::string text;
    for (const auto& [bits, word] : words)
        if ((what & bits) != 0 && (bits != IN_ATTRIB || text.empty())) text += (text.empty() ? "" : ",") + std::string(word);
    return text;
}

}  // namespace recap
