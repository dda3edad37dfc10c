// SPDX-License-Identifier: Apache-2.0
#include "tests/support/engines/fake_docker.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "tests/support/wait.hpp"

namespace recap::test {

using nlohmann::json;

namespace {

bool sendAll(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent <= 0) return false;
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
}

std::string chunk(std::string_view bytes) {
    std::array<char, 32> size{};
    std::snprintf(size.data(), size.size(), "%zx\r\n", bytes.size());
    return size.data() + std::string(bytes) + "\r\n";
}

std::string head(const FakeReply& reply, const std::string& length) {
    std::string text = "HTTP/1.1 " + std::to_string(reply.status) + " As asked\r\n";
    for (const auto& [key, value] : reply.headers) text += key + ": " + value + "\r\n";
    return text + length + "\r\n\r\n";
}

std::string inspectOf(const FakeContainer& container) {
    const bool runs = container.status == "running" || container.status == "paused";
    json state{{"Status", container.status},
               {"Running", runs},
               {"Paused", container.status == "paused"},
               {"Restarting", container.status == "restarting"},
               {"Pid", runs ? container.pid : 0},
               {"ExitCode", container.exitCode}};
    if (!container.health.empty()) state["Health"] = {{"Status", container.health}, {"Log", json::array({{{"Output", "fine"}}})}};
    return json{{"Id", container.id},
                {"Name", "/" + container.name},
                {"State", state},
                {"RestartCount", container.restarts},
                {"HostConfig", {{"Runtime", "runc"}, {"UsernsMode", ""}, {"Binds", json::array({"/a:/b"})}}},
                {"GraphDriver", {{"Data", {{"LowerDir", "/x"}}}}},
                {"Config", {{"Image", "app:v1"}, {"Labels", container.labels}, {"Env", json::array({"SECRET=1"})}}}}
        .dump();
}

}  // namespace

FakeDocker::FakeDocker(std::filesystem::path socket) : path_(std::move(socket)), stop_(::eventfd(0, EFD_CLOEXEC)) {
    listening_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.string().copy(address.sun_path, sizeof address.sun_path - 1);
    std::filesystem::remove(path_);
    if (!listening_ || ::bind(listening_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listening_.get(), 64) != 0)
        throw std::runtime_error("listen at " + path_.string() + ": " + std::strerror(errno));
    answer("/_ping", FakeReply{.body = "OK", .headers = {{"Api-Version", "1.41"}, {"Server", "Docker/20.10.24 (linux)"}}});
    answer("/info", FakeReply{.body = R"({"SecurityOptions":["name=seccomp,profile=default"]})"});
    answer("/containers/json", [this] {
        const std::lock_guard lock(mutex_);
        return FakeReply{.body = listed()};
    });
    acceptor_ = std::thread([this] { acceptAll(); });
}

FakeDocker::~FakeDocker() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(stop_.get(), &one, sizeof one);
    acceptor_.join();
    {
        const std::lock_guard lock(mutex_);
        for (const int fd : connections_) ::shutdown(fd, SHUT_RDWR);
        hangs_ = false;
        changed_.notify_all();
    }
    for (auto& thread : threads_) thread.join();
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
}

void FakeDocker::acceptAll() {
    for (;;) {
        std::array<pollfd, 2> fds{pollfd{listening_.get(), POLLIN, 0}, pollfd{stop_.get(), POLLIN, 0}};
        ::poll(fds.data(), fds.size(), -1);
        if (fds[1].revents != 0) return;
        const int fd = ::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0) continue;
        const std::lock_guard lock(mutex_);
        connections_.insert(fd);
        ++accepted_;
        threads_.emplace_back([this, fd] { serve(fd); });
    }
}

void FakeDocker::serve(int fd) {
    std::string text;
    std::array<char, 4096> buffer;
    for (bool open = true; open;) {
        const auto end = text.find("\r\n\r\n");
        if (end == std::string::npos) {
            const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
            if (got <= 0) break;
            text.append(buffer.data(), static_cast<std::size_t>(got));
            continue;
        }
        const auto blank = text.find(' ');
        open = handle(fd, text.substr(blank + 1, text.find(' ', blank + 1) - blank - 1));
        text.erase(0, end + 4);
    }
    const std::lock_guard lock(mutex_);
    connections_.erase(fd);
    streams_.erase(fd);
    ::close(fd);
}

bool FakeDocker::handle(int fd, const std::string& target) {
    std::string path = target.substr(0, target.find('?'));
    if (path.starts_with("/v")) path = path.substr(path.find('/', 1));
    {
        std::unique_lock lock(mutex_);
        requests_.push_back(target);
        changed_.wait(lock, [this] { return !hangs_; });
        if (path == "/events" && !handlers_.contains(path)) return stream(fd);
    }
    const FakeReply reply = replyTo(path);
    if (reply.silent) {
        std::array<char, 1> nothing;
        while (::recv(fd, nothing.data(), nothing.size(), 0) > 0) continue;
        return false;
    }
    if (!reply.raw.empty()) return sendAll(fd, reply.raw), false;
    if (!reply.chunked && !reply.endless)
        return sendAll(fd, head(reply, "Content-Length: " + std::to_string(reply.body.size())) + reply.body);
    if (!sendAll(fd, head(reply, "Transfer-Encoding: chunked"))) return false;
    const std::size_t piece = reply.endless ? reply.body.size() : 100;
    do {
        for (std::string_view rest = reply.body; !rest.empty(); rest.remove_prefix(std::min(piece, rest.size()))) {
            if (!sendAll(fd, chunk(rest.substr(0, piece)))) return false;
        }
    } while (reply.endless);
    return sendAll(fd, "0\r\n\r\n");
}

// Called with the lock. The stream's own thread only waits for its end; what is said is said by others.
bool FakeDocker::stream(int fd) {
    if (!sendAll(fd, head({.headers = {{"Content-Type", "application/json"}}}, "Transfer-Encoding: chunked"))) return false;
    streams_.insert(fd);
    changed_.notify_all();
    return true;
}

FakeReply FakeDocker::replyTo(const std::string& path) {
    Handler handler;
    {
        const std::lock_guard lock(mutex_);
        if (const auto found = handlers_.find(path); found != handlers_.end()) handler = found->second;
        for (const auto& [id, container] : containers_) {
            if (!handler && (path == "/containers/" + id + "/json" || path == "/containers/" + container.name + "/json"))
                return {.body = inspectOf(container)};
        }
    }
    return handler ? handler() : FakeReply{.status = 404, .body = R"({"message":"no such thing: )" + path + "\"}"};
}

std::string FakeDocker::listed() const {
    json list = json::array();
    for (const auto& [id, container] : containers_) {
        if (container.status != "running" && container.status != "paused") continue;
        list.push_back(
            {{"Id", id}, {"Names", {"/" + container.name}}, {"Labels", container.labels}, {"Ports", json::array({{{"PrivatePort", 80}}})}});
    }
    return list.dump();
}

void FakeDocker::answer(const std::string& path, Handler handler) {
    const std::lock_guard lock(mutex_);
    handlers_[path] = std::move(handler);
}
void FakeDocker::answer(const std::string& path, FakeReply reply) {
    answer(path, [reply = std::move(reply)] { return reply; });
}

void FakeDocker::answerAsItShould(const std::string& path) {
    const std::lock_guard lock(mutex_);
    handlers_.erase(path);
}

void FakeDocker::put(const FakeContainer& container) {
    const std::lock_guard lock(mutex_);
    containers_[container.id] = container;
}
void FakeDocker::drop(const std::string& id) {
    const std::lock_guard lock(mutex_);
    containers_.erase(id);
}

void FakeDocker::event(const std::string& action, const std::string& id) {
    std::uint64_t time = 0;
    {
        const std::lock_guard lock(mutex_);
        time = 1'700'000'000'000'000'000 + ++clock_;
    }
    say(json{{"Type", "container"}, {"Action", action}, {"Actor", {{"ID", id}, {"Attributes", {{"name", "x"}}}}}, {"timeNano", time}}
            .dump() +
        "\n");
}

void FakeDocker::say(const std::string& bytes) {
    const std::lock_guard lock(mutex_);
    for (const int fd : streams_) sendAll(fd, chunk(bytes));
}

void FakeDocker::endStreams() {
    const std::lock_guard lock(mutex_);
    for (const int fd : streams_) ::shutdown(fd, SHUT_RDWR);
    streams_.clear();
}

bool FakeDocker::waitForStreams(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return streams_.size() >= count; });
}

void FakeDocker::hang() {
    const std::lock_guard lock(mutex_);
    hangs_ = true;
}
void FakeDocker::goOn() {
    const std::lock_guard lock(mutex_);
    hangs_ = false;
    changed_.notify_all();
}

std::vector<std::string> FakeDocker::requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
}

std::size_t FakeDocker::countOf(const std::string& part) const {
    std::size_t count = 0;
    for (const auto& request : requests()) count += request.find(part) != std::string::npos ? 1 : 0;
    return count;
}

std::size_t FakeDocker::connections() const {
    const std::lock_guard lock(mutex_);
    return accepted_;
}

std::string fakeId(unsigned number) {
    std::array<char, 80> text{};
    std::snprintf(text.data(), text.size(), "%064x", number);
    return text.data();
}

}  // namespace recap::test
