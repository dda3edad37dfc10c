// SPDX-License-Identifier: Apache-2.0
// containerd's events, read by a thread of their own and kept, up to a bound, until the backend takes them.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "plugins/containerd/client.hpp"
#include "sdk/base/unique_fd.hpp"

namespace grpc {
class ClientContext;
}

namespace recap::containerd {

struct News {
    std::vector<Event> events;         // in their order
    bool missed = false;               // there were more than could be kept
    std::optional<std::string> ended;  // why no more will come; after all events
};

class Subscription {
public:
    explicit Subscription(const Client& client);
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;
    ~Subscription();  // ends the call and waits for the thread

    int fd() const { return wake_.get(); }  // readable when take() may have something
    News take(std::size_t most);

private:
    void read();
    void keep(Event event);
    void wake();

    UniqueFd wake_;
    std::mutex mutex_;
    std::deque<Event> events_;
    bool missed_ = false;
    std::optional<std::string> ended_;
    std::unique_ptr<grpc::ClientContext> context_;
    std::shared_ptr<grpc::Channel> channel_;
    std::string socket_;
    std::thread thread_;
};

}  // namespace recap::containerd
