// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/image_transfers.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <utility>

namespace recap::bus {

void ImageTransfers::begin(const std::string& asker, const EngineImage& image, Reply reply) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return reply(failErrno("pipe for the image"));
    const std::uint64_t id = ++last_;
    auto& transfer = transfers_[id];
    transfer.self = this;
    transfer.id = id;
    transfer.asker = asker;
    transfer.scheme = image.scheme;
    transfer.reply = std::move(reply);
    transfer.pipe.reset(ends[0]);
    UniqueFd out(ends[1]);
    if (auto watched = watch(transfer); !watched) {
        transfer.exported = std::move(watched);
        return settle(id);
    }
    exporter_.exportImage(image.backend, image.name, std::move(out), [this, id](Result<void> result) {
        const auto found = transfers_.find(id);
        if (found == transfers_.end()) return;
        found->second.exported = std::move(result);
        settle(id);
    });
}

Result<void> ImageTransfers::watch(Transfer& transfer) {
    sd_event_source* source = nullptr;
    const auto onReadable = [](sd_event_source*, int, std::uint32_t events, void* data) {
        auto& arriving = *static_cast<Transfer*>(data);
        arriving.self->arrived(arriving, (events & EPOLLIN) != 0);
        return 0;
    };
    const int error = sd_event_add_io(loop_, &source, transfer.pipe.get(), EPOLLIN, onReadable, &transfer);
    if (error < 0) return failErrno("pipe for the image", -error);
    transfer.readable.reset(source);
    return {};
}

void ImageTransfers::arrived(Transfer& transfer, bool bytes) {
    const std::uint64_t id = transfer.id;
    transfer.readable.reset();
    transfer.importing = bytes;
    transfer.empty = !bytes;
    if (!bytes) {
        transfer.pipe.reset();
        return settle(id);
    }
    launcher_.importImage(std::move(transfer.pipe), [this, id](Result<ImportedImage> result) {
        const auto found = transfers_.find(id);
        if (found == transfers_.end()) return;
        found->second.imported = std::move(result);
        settle(id);
    });
}

// An image that is whole is taken whatever else is said. One that is not may be so since its export failed, or the export may have
// failed since nobody would read on: an exporter tells that apart, so where it has an error, that is the reason.
void ImageTransfers::settle(std::uint64_t id) {
    const auto found = transfers_.find(id);
    auto& [self, number, asker, scheme, reply, pipe, readable, importing, empty, exported, imported] = found->second;
    const bool taken = imported && imported->has_value();
    const bool exportFailed = exported && !exported->has_value();
    const bool decided = taken || (exportFailed && (imported || !importing)) || (exported && (imported || empty));
    if (!decided) return;
    auto then = std::move(reply);
    Result<ImportedImage> result = fail(Errc::Io, "the export ended without an image");
    if (imported) result = std::move(*imported);
    if (!taken && exportFailed) result = tl::unexpected<Error>(std::move(exported->error()));
    if (!result) result = tl::unexpected<Error>(std::move(result.error()).in(scheme));
    transfers_.erase(found);
    then(std::move(result));
}

void ImageTransfers::left(const std::string& asker) {
    std::erase_if(transfers_, [&](const auto& entry) { return entry.second.asker == asker && !entry.second.importing; });
}

}  // namespace recap::bus
