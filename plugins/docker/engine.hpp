// SPDX-License-Identifier: Apache-2.0
// One thread's conversation with Docker Engine, or with podman by its compatible half. Whatever waits here ends by its deadline, or
// once `Waiting` says so.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/docker/http.hpp"
#include "plugins/docker/readers.hpp"
#include "sdk/base/result.hpp"

namespace recap::docker {

// What the versions of both sides allow: the newest that both know.
struct Dialect {
    std::string version;  // "1.41"
    std::string libpod;   // "4.3.1" where it is podman
};
Result<Dialect> negotiate(const Answer& ping);

// How a thread waits.
struct Waiting {
    int stopFd = -1;             // readable: it has to end
    std::function<bool()> goOn;  // called at least every kSlice; false: it has to end
};

struct EngineTimes {
    std::chrono::milliseconds answer{10'000};    // for what is answered at once
    std::chrono::milliseconds inspect{5'000};    // for one container
    std::chrono::milliseconds silence{300'000};  // of an image that is being written
};

class Engine {
public:
    static constexpr std::chrono::milliseconds kSlice{10'000};

    Engine(std::string socket, Waiting waiting, EngineTimes times = {});

    // First of all: who is it, and which version do both speak.
    Result<void> connect();
    Result<void> ping();
    // Containers are in a user namespace unless they say otherwise.
    bool hasUserNamespaces() const { return userNamespaces_; }

    Result<std::vector<std::string>> list();  // ids of those that run or are paused
    using Inspected = std::function<void(Result<Container>)>;
    void inspect(const std::string& idOrName, Inspected done);  // `done` from step()
    Result<Container> inspect(const std::string& idOrName);

    using OnBytes = std::function<Result<void>(std::string_view)>;
    // Events from `since` on, without end; `ended` is called from step().
    Http::Id events(std::uint64_t since, OnBytes onBytes, std::function<void(Error)> ended);
    Result<void> awaitHead(Http::Id id);  // of that answer
    // The image as one archive; NotFound where there is none.
    Result<void> exportImage(const std::string& reference, OnBytes onBytes);

    // Waits for what is under way, at most kSlice; false: the thread has to end.
    bool step(std::chrono::milliseconds timeout = kSlice);

private:
    Request request(const std::string& path, std::size_t maxBody) const;
    Result<Answer> fetch(Request request);
    Result<Answer> await(Request request, const std::function<bool()>& goOn);
    void askRuntime(Container container, Inspected done);  // podman's own word for it

    Http http_;
    Waiting waiting_;
    EngineTimes times_;
    Dialect dialect_;
    bool userNamespaces_ = false;
    std::map<std::string, std::string> runtimes_;  // of podman's containers, which keep theirs
};

// A reference that may be put into a path: "docker.io/library/app:v1", "app@sha256:…", an id.
bool isReference(std::string_view text);
// A container's name or id.
bool isName(std::string_view text);

}  // namespace recap::docker
