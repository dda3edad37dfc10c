// SPDX-License-Identifier: Apache-2.0
#include "daemon/host/exports.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstddef>
#include <utility>

#include "daemon/host/worker.hpp"

namespace recap::host {
namespace {

// The backend's table of images; null: it has none, or one that is shorter than ABI 1.1's.
const recap_image_source* imagesOf(const recap_backend* backend) {
    constexpr std::size_t kSize = offsetof(recap_image_source, export_image) + sizeof(void*);
    if (backend->get_extension == nullptr) return nullptr;
    const auto* source = static_cast<const recap_image_source*>(backend->get_extension(backend->self, RECAP_IMAGES_EXTENSION));
    return source != nullptr && source->size >= kSize && source->export_image != nullptr ? source : nullptr;
}

bool readerHasGone(int pipe) {
    pollfd out{pipe, 0, 0};
    return ::poll(&out, 1, 0) > 0 && (out.revents & POLLERR) != 0;
}

}  // namespace

Exports::Exports(const recap_backend* backend, Outbox& outbox, std::chrono::milliseconds patience)
    : source_(imagesOf(backend)), outbox_(outbox), patience_(patience) {}

Exports::~Exports() {
    if (thread_.joinable()) thread_.join();
}

void Exports::begin(std::uint64_t request, std::string reference, UniqueFd out) {
    if (source_ == nullptr) return outbox_.reply(Exported{request, Errc::NotSupported, "its plugin exports no images"});
    if (!ended()) return outbox_.reply(Exported{request, Errc::Busy, "another image is being exported; try again when that has ended"});
    stopFd_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!stopFd_) return outbox_.reply(Exported{request, Errc::Io, failErrno("eventfd").value().message});
    stopped_.reset();
    returned_ = false;
    out_ = std::move(out);
    thread_ = std::thread([this, request, reference = std::move(reference)] { run(request, reference); });
}

// A reader that has gone has what it wanted, or says itself why not: that the plugin could not write on is no failure of its own.
void Exports::run(std::uint64_t request, const std::string& reference) {
    recap_error error{sizeof(recap_error), 0, {}};
    const std::int32_t code = source_->export_image(source_->self, {reference.data(), reference.size()}, out_.get(), stopFd_.get(), &error);
    Exported answer{request, Errc::None, ""};
    if (code != RECAP_OK && !readerHasGone(out_.get())) answer = {request, errcOf(code), messageOf(error)};
    {
        const std::lock_guard lock(mutex_);
        returned_ = true;
        changed_.notify_all();
    }
    outbox_.reply(answer);  // wakes the main thread, which closes the pipe
}

void Exports::stop() {
    if (!thread_.joinable() || stopped_) return;
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(stopFd_.get(), &one, sizeof one);
    stopped_ = Clock::now();
}

bool Exports::endedBy(Clock::time_point until) {
    if (!thread_.joinable()) return true;
    {
        std::unique_lock lock(mutex_);
        if (!changed_.wait_until(lock, until, [this] { return returned_; })) return false;
    }
    thread_.join();
    out_.reset();
    return true;
}

std::optional<std::string> Exports::check() {
    if (ended() || !stopped_ || Clock::now() - *stopped_ <= patience_) return std::nullopt;
    return "hung: export_image() has not returned";
}

}  // namespace recap::host
