// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/plugins/containerd/fake_containerd.hpp"

#include <recap/proc.hpp>

#include <chrono>
#include <stdexcept>

#include <containerd_api/event.pb.h>
#include <containerd_api/task.pb.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/service_type.h>

namespace recap::test {

namespace events = ::containerd::events;

FakeContainerd::FakeContainerd(std::filesystem::path socket) : socket_(std::move(socket)) { start(); }
FakeContainerd::~FakeContainerd() { stop(); }

void FakeContainerd::start() {
    services_ = makeServices(*this);
    grpc::ServerBuilder builder;
    builder.SetMaxSendMessageSize(-1);
    builder.AddListeningPort("unix:" + socket_.string(), grpc::InsecureServerCredentials());
    for (const auto& service : services_) builder.RegisterService(service.get());
    server_ = builder.BuildAndStart();
    if (!server_) throw std::runtime_error("no server at " + socket_.string());
}

void FakeContainerd::stop() {
    if (server_) server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
    services_.clear();
    std::error_code ignored;
    std::filesystem::remove(socket_, ignored);
}

void FakeContainerd::putSilently(const Key& key, FakeContainer container) {
    const std::lock_guard lock(state_.mutex);
    state_.namespaces.insert(key.first);
    state_.containers[key] = std::move(container);
}

void FakeContainerd::put(const Key& key, FakeContainer container) {
    events::TaskStart start;
    start.set_container_id(key.second);
    start.set_pid(static_cast<std::uint32_t>(container.pid));
    putSilently(key, std::move(container));
    send({key.first, "/tasks/start", "containerd.events.TaskStart", start.SerializeAsString()});
}

void FakeContainerd::end(const Key& key) {
    events::TaskExit exit;
    exit.set_container_id(key.second);
    exit.set_id(key.second);
    {
        const std::lock_guard lock(state_.mutex);
        auto& container = state_.containers.at(key);
        exit.set_pid(static_cast<std::uint32_t>(container.pid));
        container.status = ::containerd::v1::types::STOPPED;
    }
    send({key.first, "/tasks/exit", "containerd.events.TaskExit", exit.SerializeAsString()});
}

void FakeContainerd::setStatus(const Key& key, int status, const std::string& topic, const std::string& type) {
    {
        const std::lock_guard lock(state_.mutex);
        state_.containers.at(key).status = status;
    }
    events::TaskPaused paused;  // one field, as its siblings
    paused.set_container_id(key.second);
    send({key.first, topic, type, paused.SerializeAsString()});
}

void FakeContainerd::drop(const Key& key) {
    const std::lock_guard lock(state_.mutex);
    state_.containers.erase(key);
}

void FakeContainerd::send(FakeEvent event) {
    const std::lock_guard lock(state_.mutex);
    state_.events.push_back(std::move(event));
}

void FakeContainerd::addNamespace(const std::string& name) {
    const std::lock_guard lock(state_.mutex);
    state_.namespaces.insert(name);
}

void FakeContainerd::putImage(const std::string& nameSpace, const std::string& name, const std::string& mediaType,
                              const std::string& digest, std::size_t size) {
    const std::lock_guard lock(state_.mutex);
    state_.namespaces.insert(nameSpace);
    state_.images[{nameSpace, name}] = {mediaType, digest, size};
}

void FakeContainerd::putContent(const std::string& digest, std::string bytes) {
    const std::lock_guard lock(state_.mutex);
    state_.content[digest] = std::move(bytes);
}

FakeContainer runningAs(pid_t pid) {
    FakeContainer container;
    container.spec = R"({"linux":{"cgroupsPath":")" + plugin::cgroupOf(pid) + R"("}})";
    container.status = ::containerd::v1::types::RUNNING;
    container.pid = pid;
    return container;
}

}  // namespace recap::test
