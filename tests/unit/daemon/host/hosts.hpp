// SPDX-License-Identifier: Apache-2.0
// recapd's side of plugin hosts, and the host that a test plays to it.
#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "daemon/host/plugin_hosts.hpp"

namespace recap::host {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Notes : TargetSink {
    std::map<std::string, Target> targets;
    std::vector<std::string> log;
    BackendStatus last;
    int snapshots = 0;
    std::vector<std::string> forgottenBackends;

    void snapshot(const std::string& backend, std::vector<Target> all) override {
        std::erase_if(targets, [&](const auto& entry) { return entry.second.id.backend == backend; });
        for (auto& target : all) targets[target.id.id] = target;
        ++snapshots;
    }
    void added(Target target) override {
        log.push_back("+" + target.id.id);
        targets[target.id.id] = target;
    }
    void removed(const TargetId& id) override {
        log.push_back("-" + id.id);
        targets.erase(id.id);
    }
    void state(BackendStatus status) override { last = std::move(status); }
    void forgotten(const std::string& backend) override { forgottenBackends.push_back(backend); }
    std::vector<std::string> ids() const {
        std::vector<std::string> all;
        for (const auto& [id, target] : targets) all.push_back(id);
        return all;
    }
};

inline TargetRecord record(const std::string& id, std::int32_t pid = 1) {
    TargetRecord target;
    target.id = target.name = id;
    target.pid = pid;
    target.startTime = 5;
    target.cgroup = "/docker/" + id;
    return target;
}

class Hosts : public testing::Test {
protected:
    void SetUp() override {
        char folder[] = "/tmp/recap-hosts-XXXXXX";
        folder_ = ::mkdtemp(folder);
        sd_event* loop = nullptr;
        sd_event_new(&loop);
        loop_.reset(loop);
        times_.firstRetry = 1000;
        times_.longestRetry = 20'000;
    }
    void TearDown() override {
        hosts_.reset();
        std::filesystem::remove_all(folder_);
    }

    void listen() {
        std::filesystem::remove(folder_ / "docker");
        listener_.reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        (folder_ / "docker").string().copy(address.sun_path, sizeof address.sun_path - 1);
        ASSERT_EQ(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        ASSERT_EQ(::listen(listener_.get(), 4), 0);
    }
    void start(PluginSetting setting = {"docker", "docker", {}}) {
        hosts_ = std::make_unique<PluginHosts>(loop_.get(), folder_.string(), sink_, times_);
        hosts_->configure({setting});
    }
    bool readable(int fd) {
        pollfd poll{fd, POLLIN, 0};
        return ::poll(&poll, 1, 0) > 0;
    }
    // Turns the loop until `done`; a test that waits in vain fails by ctest's timeout alone.
    template <class Done>
    void until(Done done) {
        while (!done()) sd_event_run(loop_.get(), 10'000);
    }
    void accept() {
        until([&] { return readable(listener_.get()); });
        host_.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        number_ = 0;
    }
    void bytes(const std::string& raw) { ::send(host_.get(), raw.data(), raw.size(), MSG_NOSIGNAL); }
    void send(const FromHost& record) { bytes(encode(++number_, record)); }
    ToHost receive() {
        until([&] { return readable(host_.get()); });
        char buffer[4096];
        iovec part{buffer, sizeof buffer};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        const ssize_t got = ::recvmsg(host_.get(), &message, MSG_CMSG_CLOEXEC);
        descriptor_.reset();
        if (const cmsghdr* rights = CMSG_FIRSTHDR(&message)) {
            int descriptor = -1;
            std::memcpy(&descriptor, CMSG_DATA(rights), sizeof descriptor);
            descriptor_.reset(descriptor);
        }
        const auto record = decodeToHost({buffer, static_cast<std::size_t>(std::max<ssize_t>(got, 0))});
        return record ? *record : ToHost(Ping{~0ull});
    }
    void snapshot(const std::vector<TargetRecord>& targets) {
        const int before = sink_.snapshots;
        send(SnapshotBegin{});
        for (const auto& target : targets) send(SnapshotTarget{target});
        send(SnapshotEnd{static_cast<std::uint32_t>(targets.size())});
        until([&] { return sink_.snapshots > before; });
    }
    void connectWith(const std::vector<TargetRecord>& targets) {
        listen();
        start();
        accept();
        send(Hello{"docker", "1"});
        snapshot(targets);
    }
    // The host did wrong: the connection ends, the backend says why, and a new host may try again.
    void expectCutOff(const std::string& why) {
        until([&] { return sink_.last.state == BackendState::Unavailable && sink_.last.detail != "not yet connected"; });
        EXPECT_THAT(sink_.last.detail, HasSubstr(why));
        accept();
        send(Hello{"docker", "1"});
        snapshot({record("after")});
        EXPECT_THAT(sink_.ids(), ElementsAre("after"));
    }

    std::filesystem::path folder_;
    EventLoop loop_;
    HostTimes times_;
    Notes sink_;
    UniqueFd listener_;
    UniqueFd host_;
    UniqueFd descriptor_;  // that came with the last record
    std::uint64_t number_ = 0;
    std::unique_ptr<PluginHosts> hosts_;
};

}  // namespace recap::host
