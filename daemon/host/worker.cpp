// SPDX-License-Identifier: Apache-2.0
#include "daemon/host/worker.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <system_error>

namespace recap::host {
namespace {

constexpr std::size_t kMaxRequests = 64;

}  // namespace

std::string messageOf(const recap_error& error) {
    const std::string_view text(error.message, ::strnlen(error.message, sizeof error.message));
    return text.empty() ? "error " + std::to_string(error.code) + " without a message" : cleanText(text, kMaxText);
}

Errc errcOf(std::int32_t pluginCode) {
    switch (pluginCode) {
        case RECAP_OK: return Errc::None;
        case RECAP_INVALID: return Errc::InvalidArgument;
        case RECAP_NOT_FOUND: return Errc::NotFound;
        case RECAP_UNAVAILABLE: return Errc::Unavailable;
        case RECAP_NOT_SUPPORTED: return Errc::NotSupported;
        case RECAP_DENIED: return Errc::Denied;
        default: return Errc::Internal;
    }
}

Worker::Worker(const recap_backend* backend, Outbox& outbox, WorkerTimes times)
    : backend_(backend),
      outbox_(outbox),
      times_(times),
      stopFd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      sink_(
          outbox, stopFd_.get(), [](void* self) { static_cast<Worker*>(self)->lastAlive_ = Clock::now().time_since_epoch().count(); },
          this),
      exports_(backend, outbox, times.stop),
      lastAlive_(Clock::now().time_since_epoch().count()) {
    if (!stopFd_) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Worker::~Worker() {
    if (runThread_.joinable()) runThread_.join();
    if (findThread_.joinable()) findThread_.join();
    backend_->destroy(backend_->self);
}

void Worker::start() {
    runThread_ = std::thread([this] { runBackend(); });
    findThread_ = std::thread([this] { runFinds(); });
}

void Worker::runBackend() {
    recap_error error{sizeof(recap_error), 0, {}};
    const std::int32_t code = backend_->run(backend_->self, sink_.table(), &error);
    const std::lock_guard lock(mutex_);
    runEnded_ = true;
    runError_ = code == RECAP_OK ? "run() returned though nobody asked it to" : messageOf(error);
    changed_.notify_all();
}

void Worker::runFinds() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [this] { return stopping_ || !requests_.empty(); });
        if (stopping_) break;
        current_ = std::move(requests_.front());
        requests_.pop_front();
        currentSince_ = Clock::now();
        currentAnswered_ = false;
        const Request request = *current_;
        lock.unlock();
        recap_error error{sizeof(recap_error), 0, {}};
        const std::int32_t code = backend_->find(backend_->self, {request.id.data(), request.id.size()}, sink_.table(), &error);
        lock.lock();
        current_.reset();
        if (!currentAnswered_) answer(request, code, error);
    }
    findsEnded_ = true;
    changed_.notify_all();
}

void Worker::answer(const Request& request, std::int32_t code, const recap_error& error) {
    outbox_.reply(Found{request.request, errcOf(code), code == RECAP_OK ? std::string() : messageOf(error)});
}

void Worker::find(std::uint64_t request, std::string id) {
    if (backend_->find == nullptr) return outbox_.reply(Found{request, Errc::NotFound, "no target '" + id + "'"});
    const std::lock_guard lock(mutex_);
    if (requests_.size() >= kMaxRequests) return outbox_.reply(Found{request, Errc::Busy, "too many searches under way"});
    requests_.push_back({request, std::move(id)});
    changed_.notify_all();
}

std::optional<std::string> Worker::check() {
    if (auto hung = exports_.check()) return hung;
    const auto now = Clock::now();
    const std::lock_guard lock(mutex_);
    if (current_ && !currentAnswered_ && now - currentSince_ > times_.find) {
        currentAnswered_ = true;
        outbox_.reply(Found{current_->request, Errc::Timeout, "no answer for '" + current_->id + "' in time"});
    }
    if (runEnded_) return runError_;
    if (current_ && now - currentSince_ > times_.findHung) return "hung: find() has not returned";
    if (now.time_since_epoch() - Clock::duration(lastAlive_.load()) > times_.alive) return "hung: run() has not said that it is alive";
    return std::nullopt;
}

bool Worker::stop() {
    exports_.stop();
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(stopFd_.get(), &one, sizeof one);
    std::unique_lock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    const auto until = Clock::now() + times_.stop;
    if (!changed_.wait_until(lock, until, [this] { return runEnded_ && findsEnded_; })) return false;
    lock.unlock();
    return exports_.endedBy(until);
}

}  // namespace recap::host
