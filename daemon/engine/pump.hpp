// SPDX-License-Identifier: Apache-2.0
// Pushes bytes into pipes as their readers take them, on the loop and without ever blocking it.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <vector>

#include "daemon/core/event.hpp"
#include "daemon/core/runs.hpp"
#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap {

class Pumps {
public:
    // Yields what follows `offset`; an empty chunk without eof: nothing yet, ask again later. An error ends the pipe.
    using Source = std::function<Result<OutputChunk>(std::uint64_t offset)>;

    explicit Pumps(sd_event* loop) : loop_(loop) {}
    Pumps(const Pumps&) = delete;
    Pumps& operator=(const Pumps&) = delete;
    ~Pumps();

    Result<UniqueFd> open(Source source);  // the pipe's reading end

private:
    struct Pump {
        Pumps* owner = nullptr;
        Source source;
        UniqueFd pipe;
        EventSource writable;
        EventSource later;
        std::uint64_t offset = 0;
        OutputChunk chunk;
        std::size_t written = 0;
    };
    enum class Step { Full, Empty, Ended };

    Step push(Pump& pump);
    void advance(Pump& pump);
    void remove(Pump& pump);
    static int onWritable(sd_event_source* source, int fd, std::uint32_t events, void* pump);
    static int onLater(sd_event_source* source, std::uint64_t now, void* pump);

    sd_event* loop_;
    std::list<std::unique_ptr<Pump>> pumps_;
};

}  // namespace recap
