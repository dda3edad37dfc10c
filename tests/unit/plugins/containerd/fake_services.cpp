// SPDX-License-Identifier: Apache-2.0
// The services of the fake: what containerd answers, from the fake's tables.
#include <chrono>
#include <thread>

#include <containerd_api/containers.grpc.pb.h>
#include <containerd_api/content.grpc.pb.h>
#include <containerd_api/events.grpc.pb.h>
#include <containerd_api/images.grpc.pb.h>
#include <containerd_api/namespaces.grpc.pb.h>
#include <containerd_api/tasks.grpc.pb.h>
#include <grpcpp/grpcpp.h>

#include "tests/unit/plugins/containerd/fake_containerd.hpp"

namespace recap::test {
namespace {

namespace services = ::containerd::services;
using grpc::ServerContext;
using grpc::Status;

constexpr std::chrono::milliseconds kTurn{5};

// What all have in common: the fake, a call's namespace, and hanging.
class Base {
public:
    explicit Base(FakeContainerd& fake) : fake_(fake) {}

protected:
    static std::string nameSpaceOf(const ServerContext& context) {
        const auto found = context.client_metadata().find("containerd-namespace");
        return found == context.client_metadata().end() ? "" : std::string(found->second.data(), found->second.size());
    }
    void maybeHang(const ServerContext& context) const {
        hangWhile(context, [&] { return fake_.hangs.load(); });
    }
    template <class Condition>
    static void hangWhile(const ServerContext& context, Condition condition) {
        while (condition() && !context.IsCancelled()) std::this_thread::sleep_for(kTurn);
    }
    static Status notFound(const std::string& what) { return {grpc::StatusCode::NOT_FOUND, what + ": not found"}; }

    FakeContainerd& fake_;
};

class Namespaces : public services::namespaces::v1::Namespaces::Service, Base {
public:
    using Base::Base;
    Status List(ServerContext* context, const services::namespaces::v1::ListNamespacesRequest*,
                services::namespaces::v1::ListNamespacesResponse* answer) override {
        maybeHang(*context);
        const std::lock_guard lock(fake_.state().mutex);
        for (const auto& name : fake_.state().namespaces) answer->add_namespaces()->set_name(name);
        return Status::OK;
    }
};

class Containers : public services::containers::v1::Containers::Service, Base {
public:
    using Base::Base;
    Status Get(ServerContext* context, const services::containers::v1::GetContainerRequest* request,
               services::containers::v1::GetContainerResponse* answer) override {
        maybeHang(*context);
        const std::lock_guard lock(fake_.state().mutex);
        const auto found = fake_.state().containers.find({nameSpaceOf(*context), request->id()});
        if (found == fake_.state().containers.end()) return notFound("container \"" + request->id() + "\"");
        fill(found->first.second, found->second, *answer->mutable_container());
        return Status::OK;
    }
    Status ListStream(ServerContext* context, const services::containers::v1::ListContainersRequest* request,
                      grpc::ServerWriter<services::containers::v1::ListContainerMessage>* writer) override {
        maybeHang(*context);
        const std::lock_guard lock(fake_.state().mutex);
        for (const auto& [key, container] : fake_.state().containers) {
            if (key.first != nameSpaceOf(*context) || !fits(container, *request)) continue;
            services::containers::v1::ListContainerMessage message;
            fill(key.second, container, *message.mutable_container());
            writer->Write(message);
        }
        for (int i = 0; fake_.listsForever && !context->IsCancelled(); ++i) {
            services::containers::v1::ListContainerMessage message;
            message.mutable_container()->set_id("one-of-many-" + std::to_string(i));
            if (!writer->Write(message)) break;
        }
        return Status::OK;
    }

private:
    static void fill(const std::string& id, const FakeContainer& from, services::containers::v1::Container& to) {
        to.set_id(id);
        to.set_image(from.image);
        to.mutable_labels()->insert(from.labels.begin(), from.labels.end());
        to.mutable_runtime()->set_name(from.runtime);
        to.mutable_spec()->set_type_url("types.containerd.io/opencontainers/runtime-spec/1/Spec");
        to.mutable_spec()->set_value(from.spec);
    }
    // Of filters: labels."KEY"=="VALUE" and more of them by ','; any of several is enough.
    static bool fits(const FakeContainer& container, const services::containers::v1::ListContainersRequest& request) {
        for (const auto& filter : request.filters()) {
            std::string rest = filter;
            bool all = true;
            for (const auto& [key, value] : container.labels) {
                const std::string part = "labels.\"" + key + "\"==\"" + value + "\"";
                if (const auto at = rest.find(part); at != rest.npos) rest.erase(at, part.size());
            }
            for (const char c : rest) all = all && c == ',';
            if (all) return true;
        }
        return request.filters().empty();
    }
};

class Tasks : public services::tasks::v1::Tasks::Service, Base {
public:
    using Base::Base;
    Status Get(ServerContext* context, const services::tasks::v1::GetRequest* request, services::tasks::v1::GetResponse* answer) override {
        maybeHang(*context);
        const FakeContainerd::Key key{nameSpaceOf(*context), request->container_id()};
        hangWhile(*context, [&] { return hasHangingShim(key); });
        const std::lock_guard lock(fake_.state().mutex);
        const auto found = fake_.state().containers.find(key);
        if (found == fake_.state().containers.end() || found->second.status == 0) return notFound("task " + request->container_id());
        fill(found->first.second, found->second, *answer->mutable_process());
        return Status::OK;
    }
    Status List(ServerContext* context, const services::tasks::v1::ListTasksRequest*,
                services::tasks::v1::ListTasksResponse* answer) override {
        ++fake_.taskLists;
        maybeHang(*context);
        hangWhile(*context, [&] { return hasHangingShim({nameSpaceOf(*context), ""}); });
        const std::lock_guard lock(fake_.state().mutex);
        for (const auto& [key, container] : fake_.state().containers) {
            if (key.first == nameSpaceOf(*context) && container.status != 0) fill(key.second, container, *answer->add_tasks());
        }
        if (fake_.answersHuge) answer->add_tasks()->set_id(std::string(20 * 1024 * 1024, 'x'));
        return Status::OK;
    }

private:
    // Of one container, or of any in the namespace.
    bool hasHangingShim(const FakeContainerd::Key& key) const {
        const std::lock_guard lock(fake_.state().mutex);
        for (const auto& [one, container] : fake_.state().containers) {
            if (one.first == key.first && (key.second.empty() || one.second == key.second) && container.shimHangs) return true;
        }
        return false;
    }
    static void fill(const std::string& id, const FakeContainer& from, ::containerd::v1::types::Process& to) {
        to.set_id(id);
        to.set_pid(static_cast<std::uint32_t>(from.pid));
        to.set_status(static_cast<::containerd::v1::types::Status>(from.status));
    }
};

class Events : public services::events::v1::Events::Service, Base {
public:
    using Base::Base;
    Status Subscribe(ServerContext* context, const services::events::v1::SubscribeRequest*,
                     grpc::ServerWriter<services::events::v1::Envelope>* writer) override {
        std::size_t next = 0;
        {
            const std::lock_guard lock(fake_.state().mutex);
            next = fake_.state().events.size();
        }
        ++fake_.subscribers;
        while (!context->IsCancelled()) {
            if (fake_.floods) write(*writer, {"noise", "/tasks/start", "containerd.events.TaskStart", std::string("\x0a\x01x", 3)});
            if (auto event = at(next); !event.topic.empty()) {
                write(*writer, event);
                ++next;
            } else if (!fake_.floods) {
                std::this_thread::sleep_for(kTurn);
            }
        }
        --fake_.subscribers;
        return Status::OK;
    }

private:
    FakeEvent at(std::size_t index) const {
        const std::lock_guard lock(fake_.state().mutex);
        return index < fake_.state().events.size() ? fake_.state().events[index] : FakeEvent();
    }
    static void write(grpc::ServerWriter<services::events::v1::Envelope>& writer, const FakeEvent& event) {
        services::events::v1::Envelope envelope;
        envelope.set_namespace_(event.nameSpace);
        envelope.set_topic(event.topic);
        envelope.mutable_event()->set_type_url(event.type);
        envelope.mutable_event()->set_value(event.bytes);
        writer.Write(envelope);
    }
};

class Images : public services::images::v1::Images::Service, Base {
public:
    using Base::Base;
    Status Get(ServerContext* context, const services::images::v1::GetImageRequest* request,
               services::images::v1::GetImageResponse* answer) override {
        maybeHang(*context);
        const std::lock_guard lock(fake_.state().mutex);
        const auto found = fake_.state().images.find({nameSpaceOf(*context), request->name()});
        if (found == fake_.state().images.end()) return notFound("image \"" + request->name() + "\"");
        answer->mutable_image()->set_name(request->name());
        auto& target = *answer->mutable_image()->mutable_target();
        target.set_media_type(found->second.mediaType);
        target.set_digest(found->second.digest);
        target.set_size(static_cast<std::int64_t>(found->second.size));
        return Status::OK;
    }
};

class Content : public services::content::v1::Content::Service, Base {
public:
    using Base::Base;
    Status Info(ServerContext*, const services::content::v1::InfoRequest* request, services::content::v1::InfoResponse* answer) override {
        const std::lock_guard lock(fake_.state().mutex);
        const auto found = fake_.state().content.find(request->digest());
        if (found == fake_.state().content.end()) return notFound("content " + request->digest());
        answer->mutable_info()->set_digest(request->digest());
        answer->mutable_info()->set_size(static_cast<std::int64_t>(found->second.size()));
        return Status::OK;
    }
    Status Read(ServerContext* context, const services::content::v1::ReadContentRequest* request,
                grpc::ServerWriter<services::content::v1::ReadContentResponse>* writer) override {
        maybeHang(*context);
        std::string bytes;
        {
            const std::lock_guard lock(fake_.state().mutex);
            const auto found = fake_.state().content.find(request->digest());
            if (found == fake_.state().content.end()) return notFound("content " + request->digest());
            bytes = found->second;
        }
        if (fake_.liesAboutSize) bytes += "more";
        constexpr std::size_t chunk = 1000;
        for (std::size_t at = 0; at < bytes.size(); at += chunk) {
            services::content::v1::ReadContentResponse message;
            message.set_offset(static_cast<std::int64_t>(at));
            message.set_data(bytes.substr(at, chunk));
            if (!writer->Write(message)) break;
        }
        return Status::OK;
    }
};

}  // namespace

std::vector<std::unique_ptr<grpc::Service>> makeServices(FakeContainerd& fake) {
    std::vector<std::unique_ptr<grpc::Service>> services;
    services.push_back(std::make_unique<Namespaces>(fake));
    services.push_back(std::make_unique<Containers>(fake));
    services.push_back(std::make_unique<Tasks>(fake));
    services.push_back(std::make_unique<Events>(fake));
    services.push_back(std::make_unique<Images>(fake));
    services.push_back(std::make_unique<Content>(fake));
    return services;
}

}  // namespace recap::test
