// SPDX-License-Identifier: Apache-2.0
#include "plugins/containerd/subscription.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

#include <containerd_api/events.grpc.pb.h>
#include <grpcpp/grpcpp.h>

#include "plugins/containerd/grpc.hpp"

namespace recap::containerd {
namespace {

namespace api = ::containerd::services::events::v1;

constexpr std::size_t kMaxEvents = 4096;
// What a container's life is told by. Not the rest: images pulled and snapshots made are many.
constexpr const char* kTopics[]{"/tasks/start",   "/tasks/exit",        "/tasks/delete",     "/tasks/paused",
                                "/tasks/resumed", "/containers/update", "/containers/delete"};

}  // namespace

Subscription::Subscription(const Client& client)
    : wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      context_(std::make_unique<grpc::ClientContext>()),
      channel_(client.channel()),
      socket_(client.socket()) {
    if (!wake_) throw std::system_error(errno, std::generic_category(), "eventfd");
    thread_ = std::thread([this] { read(); });
}

Subscription::~Subscription() {
    context_->TryCancel();
    thread_.join();
}

void Subscription::read() {
    const auto stub = api::Events::NewStub(channel_);
    api::SubscribeRequest request;
    for (const char* topic : kTopics) request.add_filters("topic==\"" + std::string(topic) + "\"");
    const auto reader = stub->Subscribe(context_.get(), request);
    api::Envelope envelope;
    while (reader->Read(&envelope)) {
        auto event = eventOf(envelope.namespace_(), envelope.event().type_url(), envelope.event().value());
        if (event) keep(std::move(*event));
    }
    const auto status = reader->Finish();
    const std::lock_guard lock(mutex_);
    ended_ = "containerd at '" + socket_ + "' has ended the stream of events" + (status.ok() ? "" : ": " + sentenceOf(status));
    wake();
}

void Subscription::keep(Event event) {
    const std::lock_guard lock(mutex_);
    if (events_.size() >= kMaxEvents)
        missed_ = true;
    else
        events_.push_back(std::move(event));
    wake();
}

void Subscription::wake() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);  // full: readable already
}

News Subscription::take(std::size_t most) {
    const std::lock_guard lock(mutex_);
    std::uint64_t count = 0;
    [[maybe_unused]] const auto got = ::read(wake_.get(), &count, sizeof count);
    News news;
    const auto end = events_.begin() + static_cast<std::ptrdiff_t>(std::min(most, events_.size()));
    news.events.assign(std::make_move_iterator(events_.begin()), std::make_move_iterator(end));
    events_.erase(events_.begin(), end);
    news.missed = std::exchange(missed_, false);
    if (events_.empty())
        news.ended = ended_;
    else
        wake();
    return news;
}

}  // namespace recap::containerd
