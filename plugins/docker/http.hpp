// SPDX-License-Identifier: Apache-2.0
// GET requests to an engine's unix socket, several at once over connections that are kept. One thread's; nothing here waits but
// step(). What an engine may cost is bounded for each request: the size of an answer, of its head, and its time.
#pragma once

#include <curl/curl.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "sdk/base/result.hpp"

namespace recap::docker {

struct Answer {
    long status = 0;
    std::map<std::string, std::string> headers = {};  // names in lower case; of those that RECap reads
    std::string body = {};
};

struct Request {
    std::string path;  // from the root, with what has to be escaped escaped
    std::string what;  // what messages call it: "GET /_ping"
    std::size_t maxBody = 64 * 1024;
    std::chrono::milliseconds deadline{10'000};  // for the whole answer; 0: none
    long maxSpeed = 0;                           // bytes a second that are read of it; 0: as they come
    // Takes the body of an answer of 200 as it comes, instead of Answer::body; an error ends the request with it.
    std::function<Result<void>(std::string_view)> onBody = {};
};

class Http {
public:
    using Id = std::uint64_t;
    using Done = std::function<void(Result<Answer>)>;

    explicit Http(std::string socket);
    ~Http();
    Http(const Http&) = delete;
    Http& operator=(const Http&) = delete;

    // `done` is called once, from step(), unless cancel() was called before.
    Id get(Request request, Done done);
    void cancel(Id id);
    bool isUnderWay(Id id) const { return transfers_.contains(id); }
    bool isAnswered(Id id) const;  // and the answer's head has come

    // Waits until there is something to do, one of `wake` is readable, or the time is over; does what there is to do.
    void step(std::span<const int> wake, std::chrono::milliseconds timeout);

private:
    struct Transfer;

    void finish(CURL* easy, CURLcode code);

    std::string socket_;
    std::unique_ptr<CURLM, CURLMcode (*)(CURLM*)> multi_;
    std::map<Id, std::unique_ptr<Transfer>> transfers_;
    Id last_ = 0;
    bool moved_ = false;  // something came since step() began
};

// Everything but letters, digits and "-._~" as %XX.
std::string escaped(std::string_view text);

}  // namespace recap::docker
