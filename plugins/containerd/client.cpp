// SPDX-License-Identifier: Apache-2.0
#include "plugins/containerd/client.hpp"

#include <poll.h>

#include <algorithm>

#include <containerd_api/containers.grpc.pb.h>
#include <containerd_api/content.grpc.pb.h>
#include <containerd_api/images.grpc.pb.h>
#include <containerd_api/namespaces.grpc.pb.h>
#include <containerd_api/tasks.grpc.pb.h>
#include <grpcpp/grpcpp.h>

#include "plugins/containerd/grpc.hpp"

namespace recap::containerd {
namespace {

namespace services = ::containerd::services;
using Clock = std::chrono::steady_clock;

constexpr int kMaxMessage = 16 * 1024 * 1024;  // what containerd itself is bounded to
constexpr std::chrono::milliseconds kSlice{100};
constexpr std::size_t kMaxNamespaces = 1024;
constexpr std::size_t kMaxContainers = 32'768;  // of one namespace; four times what a host tells of

bool isReadable(int fd) {
    pollfd one{fd, POLLIN, 0};
    return ::poll(&one, 1, 0) > 0;
}

// One call, of which one operation is under way at a time.
class Call {
public:
    // Over at `end`, whatever else is waited for.
    Call(const std::string& nameSpace, int stopFd, Clock::time_point end) : stopFd_(stopFd), end_(end) {
        if (!nameSpace.empty()) context.AddMetadata("containerd-namespace", nameSpace);
    }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    ~Call() {
        queue.Shutdown();
        void* tag = nullptr;
        bool ok = false;
        while (queue.Next(&tag, &ok)) {
        }
    }

    // Until the operation is over, which a cancelled call's is at once; false: it brought nothing.
    bool wait(std::chrono::milliseconds patience) {
        const auto end = std::min(Clock::now() + patience, end_);
        void* tag = nullptr;
        bool ok = false;
        while (queue.AsyncNext(&tag, &ok, std::chrono::system_clock::now() + kSlice) == grpc::CompletionQueue::TIMEOUT) {
            if (gaveUp_) continue;
            stopped_ = isReadable(stopFd_);
            gaveUp_ = stopped_ || Clock::now() >= end;
            if (gaveUp_) context.TryCancel();
        }
        return ok;
    }

    void* tag() { return this; }
    Result<void> result(const std::string& what, const grpc::Status& status) const {
        if (status.ok()) return {};
        if (stopped_) return fail(Errc::Unavailable, what + ": stopped");
        if (gaveUp_) return fail(Errc::Timeout, what + ": containerd does not answer in time");
        return fail(errcOf(status), what + ": " + sentenceOf(status));
    }

    grpc::ClientContext context;
    grpc::CompletionQueue queue;

private:
    int stopFd_;
    Clock::time_point end_;
    bool stopped_ = false;
    bool gaveUp_ = false;  // cancelled by us
};

// begin(call) answers the reader of one response.
template <class Response, class Begin>
Result<Response> unary(Call& call, const std::string& what, std::chrono::milliseconds patience, Begin begin) {
    grpc::Status status;
    Response response;
    auto reader = begin(call);
    reader->Finish(&response, &status, call.tag());
    call.wait(patience);
    if (auto done = call.result(what, status); !done) return forward(std::move(done));
    return response;
}

// begin(call) answers the reader of a stream; each message goes to `each`, whose error ends it.
template <class Message, class Begin, class Each>
Result<void> stream(Call& call, const std::string& what, std::chrono::milliseconds stall, Begin begin, Each each) {
    auto reader = begin(call);
    Result<void> refused;
    bool more = call.wait(stall);
    while (more) {
        Message message;
        reader->Read(&message, call.tag());
        more = call.wait(stall);
        if (more) refused = each(std::move(message));
        if (!refused) break;
    }
    if (!refused) call.context.TryCancel();
    grpc::Status status;
    reader->Finish(&status, call.tag());
    call.wait(stall);
    return refused ? call.result(what, status) : refused;
}

// An image's author writes labels, too, as many as the image's configuration takes: those that name a container come first.
template <class Map>
std::map<std::string, std::string> keptLabels(const Map& from) {
    constexpr std::size_t most = 256, mostText = 48 * 1024;
    std::map<std::string, std::string> kept;
    std::size_t size = 0;
    for (const bool naming : {true, false}) {
        for (const auto& [key, value] : from) {
            const bool names = key.starts_with("io.kubernetes.") || key.starts_with("io.cri-containerd.") || key.starts_with("nerdctl/");
            if (names != naming || kept.size() >= most || size + key.size() + value.size() > mostText) continue;
            size += key.size() + value.size();
            kept.emplace(key, value);
        }
    }
    return kept;
}

Container containerOf(const std::string& nameSpace, const services::containers::v1::Container& from) {
    Container container;
    container.nameSpace = nameSpace;
    container.id = from.id();
    container.image = from.image();
    container.runtime = runtimeOf(from.runtime().name(), from.runtime().options().type_url(), from.runtime().options().value());
    container.labels = keptLabels(from.labels());
    container.spec = specOf(from.spec().value());
    container.created = from.created_at().seconds();
    return container;
}

Task taskOf(const ::containerd::v1::types::Process& from) {
    using Status = Task::Status;
    namespace types = ::containerd::v1::types;
    Task task;
    task.id = from.id();
    task.pid = from.pid() <= 0x7fffffff ? static_cast<pid_t>(from.pid()) : 0;
    switch (from.status()) {
        case types::CREATED: task.status = Status::Created; break;
        case types::RUNNING: task.status = Status::Running; break;
        case types::STOPPED: task.status = Status::Stopped; break;
        case types::PAUSED: task.status = Status::Paused; break;
        case types::PAUSING: task.status = Status::Pausing; break;
        default: break;
    }
    return task;
}

}  // namespace

Client::Client(std::string socket, int stopFd, CallTimes times) : socket_(std::move(socket)), stopFd_(stopFd), times_(times) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxMessage);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    // Each client its own connection: whoever comes later is not held up by an earlier one's back-off.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    // Go's server refuses an authority that is a path.
    arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
    channel_ = grpc::CreateCustomChannel("unix:" + socket_, grpc::InsecureChannelCredentials(), arguments);
}

Client::~Client() = default;

Result<std::vector<std::string>> Client::namespaces() {
    using services::namespaces::v1::ListNamespacesResponse;
    const auto stub = services::namespaces::v1::Namespaces::NewStub(channel_);
    const services::namespaces::v1::ListNamespacesRequest request;
    Call call("", stopFd_, times_.end);
    auto answer = unary<ListNamespacesResponse>(call, "list of namespaces", times_.call,
                                                [&](Call& with) { return stub->AsyncList(&with.context, request, &with.queue); });
    if (!answer) return forward(std::move(answer));
    std::vector<std::string> names;
    for (const auto& one : answer->namespaces()) {
        if (isName(one.name()) && names.size() < kMaxNamespaces) names.push_back(one.name());
    }
    return names;
}

Result<Container> Client::container(const std::string& nameSpace, const std::string& id) {
    using services::containers::v1::GetContainerResponse;
    const auto stub = services::containers::v1::Containers::NewStub(channel_);
    services::containers::v1::GetContainerRequest request;
    request.set_id(id);
    Call call(nameSpace, stopFd_, times_.end);
    auto answer = unary<GetContainerResponse>(call, "container '" + id + "' in namespace '" + nameSpace + "'", times_.call,
                                              [&](Call& with) { return stub->AsyncGet(&with.context, request, &with.queue); });
    if (!answer) return forward(std::move(answer));
    if (answer->container().id() != id) return fail(Errc::Internal, "asked for container '" + id + "', containerd told of another");
    return containerOf(nameSpace, answer->container());
}

Result<void> Client::containers(const std::string& nameSpace, const std::vector<std::string>& filters,
                                const std::function<Result<void>(Container)>& each) {
    using services::containers::v1::ListContainerMessage;
    const auto stub = services::containers::v1::Containers::NewStub(channel_);
    services::containers::v1::ListContainersRequest request;
    for (const auto& filter : filters) request.add_filters(filter);
    const std::string what = "list of containers in namespace '" + nameSpace + "'";
    std::size_t count = 0;
    Call call(nameSpace, stopFd_, std::min(times_.end, Clock::now() + times_.list));
    return stream<ListContainerMessage>(
        call, what, times_.stall, [&](Call& with) { return stub->AsyncListStream(&with.context, request, &with.queue, with.tag()); },
        [&](const ListContainerMessage& message) -> Result<void> {
            if (++count > kMaxContainers) return fail(Errc::LimitExceeded, what + ": has more than " + std::to_string(kMaxContainers));
            return isName(message.container().id()) ? each(containerOf(nameSpace, message.container())) : Result<void>();
        });
}

Result<Task> Client::task(const std::string& nameSpace, const std::string& container) {
    using services::tasks::v1::GetResponse;
    const auto stub = services::tasks::v1::Tasks::NewStub(channel_);
    services::tasks::v1::GetRequest request;
    request.set_container_id(container);
    Call call(nameSpace, stopFd_, times_.end);
    auto answer = unary<GetResponse>(call, "task of container '" + container + "' in namespace '" + nameSpace + "'", times_.call,
                                     [&](Call& with) { return stub->AsyncGet(&with.context, request, &with.queue); });
    if (!answer) return forward(std::move(answer));
    return taskOf(answer->process());
}

Result<std::vector<Task>> Client::tasks(const std::string& nameSpace) {
    using services::tasks::v1::ListTasksResponse;
    const auto stub = services::tasks::v1::Tasks::NewStub(channel_);
    const services::tasks::v1::ListTasksRequest request;
    Call call(nameSpace, stopFd_, times_.end);
    auto answer = unary<ListTasksResponse>(call, "list of tasks in namespace '" + nameSpace + "'", times_.call,
                                           [&](Call& with) { return stub->AsyncList(&with.context, request, &with.queue); });
    if (!answer) return forward(std::move(answer));
    std::vector<Task> tasks;
    for (const auto& one : answer->tasks()) tasks.push_back(taskOf(one));
    return tasks;
}

Result<ImageTarget> Client::image(const std::string& nameSpace, const std::string& name) {
    using services::images::v1::GetImageResponse;
    const auto stub = services::images::v1::Images::NewStub(channel_);
    services::images::v1::GetImageRequest request;
    request.set_name(name);
    Call call(nameSpace, stopFd_, times_.end);
    auto answer = unary<GetImageResponse>(call, "image '" + name + "' in namespace '" + nameSpace + "'", times_.call,
                                          [&](Call& with) { return stub->AsyncGet(&with.context, request, &with.queue); });
    if (!answer) return forward(std::move(answer));
    const auto& target = answer->image().target();
    return ImageTarget{target.media_type(), target.digest(), static_cast<std::uint64_t>(std::max<std::int64_t>(target.size(), 0))};
}

Result<std::uint64_t> Client::contentSize(const std::string& nameSpace, const std::string& digest) {
    using services::content::v1::InfoResponse;
    const auto stub = services::content::v1::Content::NewStub(channel_);
    services::content::v1::InfoRequest request;
    request.set_digest(digest);
    Call call(nameSpace, stopFd_, times_.end);
    auto answer = unary<InfoResponse>(call, "content " + digest + " in namespace '" + nameSpace + "'", times_.call,
                                      [&](Call& with) { return stub->AsyncInfo(&with.context, request, &with.queue); });
    if (!answer) return forward(std::move(answer));
    return static_cast<std::uint64_t>(std::max<std::int64_t>(answer->info().size(), 0));
}

Result<void> Client::content(const std::string& nameSpace, const std::string& digest, std::uint64_t size,
                             const std::function<Result<void>(std::string_view)>& sink) {
    using services::content::v1::ReadContentResponse;
    const auto stub = services::content::v1::Content::NewStub(channel_);
    services::content::v1::ReadContentRequest request;
    request.set_digest(digest);
    const std::string what = "content " + digest + " in namespace '" + nameSpace + "'";
    const auto wrong = [&] { return fail(Errc::InvalidArgument, what + ": is not of " + std::to_string(size) + " bytes"); };
    std::uint64_t got = 0;
    Call call(nameSpace, stopFd_, times_.end);
    auto done = stream<ReadContentResponse>(
        call, what, times_.stall, [&](Call& with) { return stub->AsyncRead(&with.context, request, &with.queue, with.tag()); },
        [&](const ReadContentResponse& message) -> Result<void> {
            if (message.offset() != static_cast<std::int64_t>(got) || message.data().size() > size - got) return wrong();
            got += message.data().size();
            return sink(message.data());
        });
    if (done && got != size) return wrong();
    return done;
}

std::string labelFilter(std::string_view key, std::string_view value) {
    return "labels.\"" + std::string(key) + "\"==\"" + std::string(value) + "\"";
}

}  // namespace recap::containerd
