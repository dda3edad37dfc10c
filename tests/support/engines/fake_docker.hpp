// SPDX-License-Identifier: Apache-2.0
// Docker Engine's API as a test wants it, right or wrong, on a unix socket. A thread a connection; connections are kept.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "sdk/base/unique_fd.hpp"
#include "tests/support/files.hpp"

namespace recap::test {

struct FakeReply {
    int status = 200;
    std::string body = {};
    std::map<std::string, std::string> headers = {};
    bool chunked = false;  // in small chunks
    bool silent = false;   // nothing ever comes
    bool endless = false;  // the body again and again
    std::string raw = {};  // these bytes instead of a whole answer, and then the end
};

struct FakeContainer {
    std::string id;
    std::string name;
    pid_t pid = 0;
    std::string status = "running";
    std::map<std::string, std::string> labels = {};
    std::string health = {};
    int restarts = 0;
    int exitCode = 0;
};

class FakeDocker {
public:
    explicit FakeDocker(std::filesystem::path socket);
    FakeDocker(const FakeDocker&) = delete;
    FakeDocker& operator=(const FakeDocker&) = delete;
    ~FakeDocker();

    // What is asked for by GET: the path without "/v1.41" and without the query, and an answer for it. Others are 404.
    using Handler = std::function<FakeReply()>;
    void answer(const std::string& path, Handler handler);
    void answer(const std::string& path, FakeReply reply);
    void answerAsItShould(const std::string& path);  // again

    // The engine as it should be: /_ping, /info, /events, and the list and inspect of what is put().
    void put(const FakeContainer& container);
    void drop(const std::string& id);  // no more known: 404
    void event(const std::string& action, const std::string& id);
    void say(const std::string& bytes);  // into every open stream of events, and those to come get nothing of it
    void endStreams();
    bool waitForStreams(std::size_t count);  // open, and their heads sent

    void hang();  // takes connections and says nothing, the open streams' too
    void goOn();  // and what was asked meanwhile is answered

    std::vector<std::string> requests() const;           // with versions and queries, in order
    std::size_t countOf(const std::string& part) const;  // requests that have this in them
    std::size_t connections() const;

private:
    void serve(int fd);
    void acceptAll();
    bool handle(int fd, const std::string& target);  // false: that was the connection's last
    bool stream(int fd);
    FakeReply replyTo(const std::string& path);
    std::string listed() const;  // locked

    std::filesystem::path path_;
    UniqueFd listening_, stop_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::map<std::string, Handler> handlers_;
    std::map<std::string, FakeContainer> containers_;
    std::vector<std::string> requests_;
    std::set<int> connections_, streams_;
    std::size_t accepted_ = 0;
    bool hangs_ = false;
    std::uint64_t clock_ = 0;
    std::vector<std::thread> threads_;
    std::thread acceptor_;
};

std::string fakeId(unsigned number);  // 64 hexadecimal digits

}  // namespace recap::test
