// SPDX-License-Identifier: Apache-2.0
// Images on their way from an engine into the store: a plugin host writes one into a pipe, and the launcher is given the other end when
// its first byte has come, so that an import waits for no engine. recapd reads none of it. On the loop.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "daemon/bus/engine_image.hpp"
#include "daemon/core/event.hpp"
#include "daemon/core/image_exporter.hpp"
#include "daemon/core/launcher.hpp"

namespace recap::bus {

class ImageTransfers {
public:
    using Reply = std::function<void(Result<ImportedImage>)>;

    ImageTransfers(sd_event* loop, ImageExporter& exporter, Launcher& launcher) : loop_(loop), exporter_(exporter), launcher_(launcher) {}
    ImageTransfers(const ImageTransfers&) = delete;
    ImageTransfers& operator=(const ImageTransfers&) = delete;

    // The reply is the import's, or says which of the two failed first of itself. `asker`: a name on the bus.
    void begin(const std::string& asker, const EngineImage& image, Reply reply);
    // Who leaves the bus waits no more: what has not come to the launcher yet is given up.
    void left(const std::string& asker);

private:
    struct Transfer {
        ImageTransfers* self;
        std::uint64_t id;
        std::string asker;
        std::string scheme;
        Reply reply;
        UniqueFd pipe;         // until it is the launcher's
        EventSource readable;  // its first byte, or its end
        bool importing = false;
        bool empty = false;  // it ended without a byte
        std::optional<Result<void>> exported;
        std::optional<Result<ImportedImage>> imported;
    };

    Result<void> watch(Transfer& transfer);
    void arrived(Transfer& transfer, bool bytes);
    void settle(std::uint64_t id);

    sd_event* loop_;
    ImageExporter& exporter_;
    Launcher& launcher_;
    std::map<std::uint64_t, Transfer> transfers_;  // at their places in memory for as long as they last
    std::uint64_t last_ = 0;
};

}  // namespace recap::bus
