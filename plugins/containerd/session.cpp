// SPDX-License-Identifier: Apache-2.0
#include "plugins/containerd/session.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

namespace recap::containerd {
namespace {

constexpr std::size_t kBatch = 32;                        // events, or containers of a list, between two signs of life
constexpr std::chrono::milliseconds kBetweenLooks{1000};  // however many events are missed

struct Pod {
    std::int64_t created = -1;
    Labels labels;
};

// The latest sandbox's: a pod may have had others.
void note(std::map<std::string, Pod>& pods, Container sandbox) {
    const std::string uid = podUid(sandbox);
    auto& pod = pods[uid];
    if (uid.empty() || sandbox.created < pod.created) return;
    pod.created = sandbox.created;
    pod.labels = std::move(sandbox.labels);
}

}  // namespace

Result<Labels> podLabelsOf(Client& client, const Container& container) {
    const std::string uid = podUid(container);
    if (!isName(uid)) return Labels();
    std::map<std::string, Pod> pods;
    auto done = client.containers(container.nameSpace, {labelFilter("io.kubernetes.pod.uid", uid)}, [&](Container one) {
        if (isSandbox(one)) note(pods, std::move(one));
        return Result<void>();
    });
    if (!done) return forward(std::move(done));
    return std::move(pods[uid].labels);
}

Session::Session(const Options& options, Roster& roster, plugin::Sink& sink)
    : options_(options), roster_(roster), sink_(sink), client_(options.socket, sink.stopFd(), options.calls), subscription_(client_) {}

std::optional<std::string> Session::serve() {
    auto first = resync();
    nextResync_ = Clock::now() + options_.secondLook;
    while (first) first = follow();
    if (sink_.stopping()) return std::nullopt;
    return "containerd at '" + options_.socket + "': " + first.error().message;
}

// One turn: waits, then does what has become due.
Result<void> Session::follow() {
    std::array<pollfd, 1> fds{{{subscription_.fd(), POLLIN, 0}}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(std::min(nextResync_, nextProbe_) - Clock::now());
    if (!sink_.wait(fds, std::max(left, std::chrono::milliseconds(0)))) return fail(Errc::Unavailable, "stopped");
    const News news = subscription_.take(kBatch);
    for (const auto& event : news.events) {
        if (auto handled = handle(event); !handled) return handled;
    }
    if (news.ended) return fail(Errc::Unavailable, *news.ended);
    if (news.missed) nextResync_ = std::min(nextResync_, lastResync_ + kBetweenLooks);
    if (Clock::now() >= nextResync_) return resync();
    return Clock::now() >= nextProbe_ ? probe() : Result<void>();
}

Result<void> Session::resync() {
    auto names = client_.namespaces();
    if (!names) return forward(std::move(names));
    std::vector<plugin::Target> targets;
    unknown_ = false;
    for (const auto& name : *names) {
        if (!isWanted(name)) continue;
        if (auto listed = list(name, targets); !listed) return listed;
    }
    roster_.replace(sink_, targets);
    ready_ = true;
    seen_ = std::move(*names);
    lastResync_ = Clock::now();
    nextResync_ = lastResync_ + (unknown_ ? std::min(options_.probe, options_.resync) : options_.resync);
    nextProbe_ = lastResync_ + options_.probe;
    return {};
}

Result<void> Session::list(const std::string& nameSpace, std::vector<plugin::Target>& into) {
    std::vector<Container> containers;
    std::map<std::string, Pod> pods;
    auto listed = client_.containers(nameSpace, {}, [&](Container one) {
        if (isSandbox(one))
            note(pods, std::move(one));
        else
            containers.push_back(std::move(one));
        return containers.size() % kBatch == 0 ? stayAlive() : Result<void>();
    });
    if (!listed) return listed;
    auto running = tasks(nameSpace, containers);
    if (!running) return forward(std::move(running));
    std::map<std::string, Task> byId;
    for (auto& task : *running) byId.emplace(task.id, task);
    for (const auto& container : containers) {
        const auto task = byId.find(container.id);
        if (task == byId.end()) continue;
        unknown_ = unknown_ || task->second.status == Task::Status::Unknown;
        const auto pod = pods.find(podUid(container));
        auto target = task->second.status == Task::Status::Unknown
                          ? roster_.told(targetId(nameSpace, container.id))
                          : targetOf(container, task->second, pod == pods.end() ? Labels() : pod->second.labels);
        if (target) into.push_back(std::move(*target));
    }
    return stayAlive();
}

// One shim that does not answer holds up containerd's list of all: then they are asked for one by one.
Result<std::vector<Task>> Session::tasks(const std::string& nameSpace, const std::vector<Container>& containers) {
    auto all = client_.tasks(nameSpace);
    if (all || all.error().code != Errc::Timeout) return all;
    std::vector<Task> tasks;
    for (const auto& container : containers) {
        auto task = client_.task(nameSpace, container.id);
        if (!task && task.error().code == Errc::Timeout) task = Task{Task::Status::Unknown, container.id, 0};
        if (!task && task.error().code != Errc::NotFound) return forward(std::move(task));
        if (task) tasks.push_back(std::move(*task));
        if (auto alive = stayAlive(); !alive) return forward(std::move(alive));
    }
    return tasks;
}

// That it answers; and whether there are namespaces of which no event told.
Result<void> Session::probe() {
    auto names = client_.namespaces();
    if (!names) return forward(std::move(names));
    nextProbe_ = Clock::now() + options_.probe;
    if (*names != seen_) nextResync_ = Clock::now();
    return {};
}

Result<void> Session::handle(const Event& event) {
    if (!isWanted(event.nameSpace)) return {};
    const std::string id = targetId(event.nameSpace, event.container);
    if (event.kind == Event::Kind::Ended) {
        roster_.ended(sink_, id, event.pid);
        return {};
    }
    if (event.kind == Event::Kind::Forgotten) {
        roster_.remove(sink_, id);
        return {};
    }
    auto done = refresh(event.nameSpace, event.container);
    if (done || done.error().code == Errc::Unavailable) return done;
    // This container only, or all of them: the probe will tell.
    std::fprintf(stderr, "<4>%s\n", done.error().message.c_str());
    nextProbe_ = Clock::now();
    nextResync_ = std::min(nextResync_, Clock::now() + options_.probe);
    return stayAlive();
}

Result<void> Session::refresh(const std::string& nameSpace, const std::string& id) {
    const std::string name = targetId(nameSpace, id);
    const auto gone = [&](Errc code) {
        if (code == Errc::NotFound) roster_.remove(sink_, name);
        return code == Errc::NotFound;
    };
    auto container = client_.container(nameSpace, id);
    if (!container) return gone(container.error().code) ? Result<void>() : forward(std::move(container));
    if (isSandbox(*container)) return {};
    auto task = client_.task(nameSpace, id);
    if (!task) return gone(task.error().code) ? Result<void>() : forward(std::move(task));
    if (task->status == Task::Status::Unknown) return {};
    auto labels = podLabelsOf(client_, *container);
    if (!labels) return forward(std::move(labels));
    auto target = targetOf(*container, *task, *labels);
    if (!target)
        roster_.remove(sink_, name);
    else
        roster_.put(sink_, std::move(*target));
    return stayAlive();
}

bool Session::isWanted(const std::string& nameSpace) const {
    return options_.namespaces.empty() ||
           std::find(options_.namespaces.begin(), options_.namespaces.end(), nameSpace) != options_.namespaces.end();
}

Result<void> Session::stayAlive() {
    if (!sink_.wait(std::chrono::milliseconds(0))) return fail(Errc::Unavailable, "stopped");
    return {};
}

}  // namespace recap::containerd
