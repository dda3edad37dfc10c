// SPDX-License-Identifier: Apache-2.0
#include "plugins/containerd/finder.hpp"

#include <algorithm>
#include <chrono>

namespace recap::containerd {
namespace {

using Clock = std::chrono::steady_clock;

// A search has ten seconds; what is not known by then is said before the host gives up.
constexpr std::chrono::milliseconds kPatience{8000};
constexpr std::chrono::milliseconds kEachCall{3000};
constexpr std::size_t kMaxShown = 64;
constexpr std::size_t kMaxNamed = 16;  // who has that many of one name has to say which

std::vector<std::string> split(std::string_view text) {
    std::vector<std::string> parts;
    for (;;) {
        const auto slash = text.find('/');
        parts.emplace_back(text.substr(0, slash));
        if (slash == std::string_view::npos) return parts;
        text.remove_prefix(slash + 1);
    }
}

class Search {
public:
    Search(const Options& options, Roster& roster, plugin::Sink& sink, std::string_view wanted)
        : options_(options),
          roster_(roster),
          sink_(sink),
          wanted_(wanted),
          parts_(split(wanted)),
          client_(options.socket, sink.stopFd(), {kEachCall, kEachCall, kPatience, Clock::now() + kPatience}) {}

    Result<void> run() {
        const bool sound = parts_.size() <= 3 && std::all_of(parts_.begin(), parts_.end(), [](const auto& part) { return isName(part); });
        if (!sound) return nothing();
        auto names = namespaces();
        if (!names) return forward(std::move(names));
        for (const auto& name : *names) {
            if (auto looked = lookIn(name); !looked) return looked;
        }
        if (told_) return {};
        return others_.empty() ? nothing() : fail(Errc::NotFound, others_);
    }

private:
    Result<std::vector<std::string>> namespaces() {
        if (options_.namespaces.empty()) return client_.namespaces();
        return options_.namespaces;
    }

    Result<void> lookIn(const std::string& nameSpace) {
        if (parts_.size() == 1 || (parts_.size() == 2 && parts_[0] == nameSpace)) {
            auto container = client_.container(nameSpace, parts_.back());
            if (container) return tell(*container);
            if (container.error().code != Errc::NotFound) return forward(std::move(container));
        }
        std::vector<Container> named;
        auto listed = client_.containers(nameSpace, filters(), [&](Container one) {
            if (!isSandbox(one) && named.size() < kMaxNamed) named.push_back(std::move(one));
            return Result<void>();
        });
        if (!listed) return listed;
        for (const auto& container : named) {
            if (auto told = tell(container); !told) return told;
        }
        return {};
    }

    // Of a name that is no id: all labels of one filter have to fit.
    std::vector<std::string> filters() const {
        const std::string byPod = parts_.size() < 2 ? ""
                                                    : labelFilter("io.kubernetes.pod.name", parts_[parts_.size() - 2]) + "," +
                                                          labelFilter("io.kubernetes.container.name", parts_.back());
        if (parts_.size() == 3) return {byPod + "," + labelFilter("io.kubernetes.pod.namespace", parts_[0])};
        std::vector<std::string> any{labelFilter("nerdctl/name", parts_.back())};
        if (parts_.size() == 2) {
            any.front() += "," + labelFilter("nerdctl/namespace", parts_[0]);
            any.push_back(byPod);
        }
        return any;
    }

    // The container as a target, or why it is none.
    Result<void> tell(const Container& container) {
        auto task = client_.task(container.nameSpace, container.id);
        if (!task && task.error().code != Errc::NotFound) return forward(std::move(task));
        if (task) {
            auto labels = podLabelsOf(client_, container);
            if (!labels) return forward(std::move(labels));
            auto target = targetOf(container, *task, *labels);
            if (target && roster_.put(sink_, std::move(*target))) {
                told_ = true;
                return {};
            }
        }
        const std::string why = isSandbox(container) ? "is a pod's sandbox, no container"
                                                     : std::string("is not running (") + (task ? task->word() : "no task") + ")";
        others_ = "container '" + container.id + "' in namespace '" + container.nameSpace + "' " + why;
        return {};
    }

    Result<void> nothing() const {
        return fail(Errc::NotFound, "no container '" + wanted_.substr(0, kMaxShown) + "' in containerd at '" + options_.socket + "'");
    }

    const Options& options_;
    Roster& roster_;
    plugin::Sink& sink_;
    std::string wanted_;
    std::vector<std::string> parts_;
    Client client_;
    bool told_ = false;
    std::string others_;  // what was found, but is no target
};

}  // namespace

Result<void> findTarget(const Options& options, Roster& roster, plugin::Sink& sink, std::string_view wanted) {
    return Search(options, roster, sink, wanted).run();
}

}  // namespace recap::containerd
