// SPDX-License-Identifier: Apache-2.0
// A unix stream socket towards somebody who is attached: not a pipe, whose reader could hold its lock, and us, for as long as the
// memory that he reads into takes to be there (a mapping of a FUSE file). What the reader does not take at once waits here, and its source
// waits too; once nothing can follow, the feed lives on by itself, in the loop, until the reader has all or a while has passed.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/launcher/loop.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::launcher {

// How many there are, over all runs; outlives the supervisor's parts.
struct StreamCounts {
    unsigned terminals = 0;
    unsigned feeds = 0;
    std::uint64_t logBytes = 0;  // in memory, of the logs of runs that go on
    std::uint64_t mostLogBytes = UINT64_MAX;
};
inline constexpr unsigned kMostFeeds = 512;  // of at most 64 KiB, and what a socket holds

class Feed : public std::enable_shared_from_this<Feed> {
public:
    // `changed`: there is room again, or the reader is gone. It is written to without waiting, in whatever mode it is.
    static std::shared_ptr<Feed> open(Loop& loop, std::shared_ptr<StreamCounts> counts, UniqueFd socket, std::function<void()> changed);
    Feed(Loop& loop, std::shared_ptr<StreamCounts> counts, UniqueFd socket, std::function<void()> changed);
    ~Feed();
    Feed(const Feed&) = delete;
    Feed& operator=(const Feed&) = delete;

    bool full() const { return !waiting_.empty(); }
    bool gone() const { return !socket_; }
    void put(std::string_view bytes);
    void end();

private:
    void onEvent(std::uint32_t events);
    void flush();
    void close();

    Loop& loop_;
    std::shared_ptr<StreamCounts> counts_;
    UniqueFd socket_;
    std::function<void()> changed_;
    std::string waiting_;
    std::optional<Loop::TimerId> patience_;  // once ending
};

}  // namespace recap::launcher
