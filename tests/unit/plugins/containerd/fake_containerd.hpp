// SPDX-License-Identifier: Apache-2.0
// containerd as its API looks from outside, at a socket of its own: holds what a test puts into it, and fails as it is told.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace grpc {
class Server;
class Service;
}  // namespace grpc

namespace recap::test {

struct FakeContainer {
    std::string image = "docker.io/library/app:v1";
    std::map<std::string, std::string> labels = {};
    std::string runtime = "io.containerd.runc.v2";
    std::string spec = {};  // JSON
    int status = 0;         // as task.proto has it; 0: there is no task
    pid_t pid = 0;
    bool shimHangs = false;  // its task's state is never told
};

struct FakeEvent {
    std::string nameSpace;
    std::string topic;
    std::string type;
    std::string bytes;
};

class FakeContainerd {
public:
    explicit FakeContainerd(std::filesystem::path socket);  // serves
    ~FakeContainerd();
    void stop();
    void start();

    using Key = std::pair<std::string, std::string>;  // namespace and id

    // Each with its event, as containerd tells it.
    void put(const Key& key, FakeContainer container);  // of a running one /tasks/start
    void end(const Key& key);                           // its task: /tasks/exit
    void setStatus(const Key& key, int status, const std::string& topic, const std::string& type);
    void drop(const Key& key);  // without a word
    void putSilently(const Key& key, FakeContainer container);
    void send(FakeEvent event);
    void addNamespace(const std::string& name);

    void putImage(const std::string& nameSpace, const std::string& name, const std::string& mediaType, const std::string& digest,
                  std::size_t size);
    void putContent(const std::string& digest, std::string bytes);

    // How it misbehaves.
    std::atomic<bool> hangs{false};         // no call is answered
    std::atomic<bool> floods{false};        // events without end
    std::atomic<bool> answersHuge{false};   // lists of tasks larger than anybody takes
    std::atomic<bool> listsForever{false};  // containers without end
    std::atomic<bool> liesAboutSize{false};
    std::atomic<int> subscribers{0};
    std::atomic<int> taskLists{0};

    // What the services look at.
    struct State {
        std::mutex mutex;
        std::set<std::string> namespaces;
        std::map<Key, FakeContainer> containers;
        std::vector<FakeEvent> events;  // all that were ever sent
        struct Image {
            std::string mediaType, digest;
            std::size_t size = 0;
        };
        std::map<Key, Image> images;
        std::map<std::string, std::string> content;
    };
    State& state() { return state_; }

private:
    std::filesystem::path socket_;
    State state_;
    std::vector<std::unique_ptr<grpc::Service>> services_;
    std::unique_ptr<grpc::Server> server_;
};

// The services of `fake`, which outlives them.
std::vector<std::unique_ptr<grpc::Service>> makeServices(FakeContainerd& fake);

// A process of the test's own, and a container in whose cgroup it is.
FakeContainer runningAs(pid_t pid);

}  // namespace recap::test
