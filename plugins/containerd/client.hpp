// SPDX-License-Identifier: Apache-2.0
// containerd's gRPC API, as far as it is needed: each call with a deadline, with a bound for what is received, and ended at once
// when the caller has to stop. gRPC is met in client.cpp and subscription.cpp only.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/containerd/facts.hpp"
#include "sdk/base/result.hpp"

namespace grpc {
class Channel;
}

namespace recap::containerd {

struct CallTimes {
    std::chrono::milliseconds call{5000};                                                      // one answer
    std::chrono::milliseconds stall{5000};                                                     // between two messages of a stream
    std::chrono::milliseconds list{60'000};                                                    // a list that comes as a stream
    std::chrono::steady_clock::time_point end = std::chrono::steady_clock::time_point::max();  // of all calls together
};

// What an image's name stands for.
struct ImageTarget {
    std::string mediaType;
    std::string digest;  // "sha256:HEX", as containerd has it
    std::uint64_t size = 0;
};

class Client {
public:
    // Connects with the first call. Once stopFd is readable every call fails with Errc::Unavailable.
    Client(std::string socket, int stopFd, CallTimes times = {});
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    Result<std::vector<std::string>> namespaces();
    Result<Container> container(const std::string& nameSpace, const std::string& id);
    // Those that match one of `filters` (all, if there is none), one by one, in no order. An error of `each` ends it.
    Result<void> containers(const std::string& nameSpace, const std::vector<std::string>& filters,
                            const std::function<Result<void>(Container)>& each);
    Result<Task> task(const std::string& nameSpace, const std::string& container);
    Result<std::vector<Task>> tasks(const std::string& nameSpace);

    Result<ImageTarget> image(const std::string& nameSpace, const std::string& name);
    Result<std::uint64_t> contentSize(const std::string& nameSpace, const std::string& digest);
    // All of it, which must be `size` bytes, in order.
    Result<void> content(const std::string& nameSpace, const std::string& digest, std::uint64_t size,
                         const std::function<Result<void>(std::string_view)>& sink);

    const std::string& socket() const { return socket_; }
    const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

private:
    std::string socket_;
    int stopFd_;
    CallTimes times_;
    std::shared_ptr<grpc::Channel> channel_;
};

// "labels.KEY==VALUE" for containers(); both are isName()-like but for KEY's '/'.
std::string labelFilter(std::string_view key, std::string_view value);

}  // namespace recap::containerd
