// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "daemon/bus/doctor.hpp"
#include "daemon/bus/manager.hpp"

namespace recap::bus {
namespace {

Result<void> noOptions(const Values& values) { return Options(values).finish(); }

bool has(const Target& target, const std::map<std::string, std::string>& labels) {
    return std::all_of(labels.begin(), labels.end(), [&](const auto& label) {
        const auto found = target.labels.find(label.first);
        return found != target.labels.end() && found->second == label.second;
    });
}

std::vector<std::string> others(const TargetTable& targets, const Target& target) {
    std::vector<std::string> words;
    for (const auto& id : targets.others(target)) words.push_back(id.text());
    return words;
}

template <class Items>
Result<Rows> listed(const Values& options, const Items& items) {
    if (auto finished = noOptions(options); !finished) return forward(std::move(finished));
    Listing rows;
    for (const auto& item : items) rows.add(row(item));
    return std::move(rows).whole();
}

}  // namespace

Rows Manager::ListTargets(const Values& filterValues, const Values& options) {
    return answer([&]() -> Result<Rows> {
        if (auto finished = noOptions(options); !finished) return forward(std::move(finished));
        Options filter(filterValues, "filter key");
        Values wanted;
        for (const char* key : {"backend", "id", "name", "state"}) {
            if (auto text = filter.text(key); !text.empty()) wanted.emplace(key, text);
        }
        const auto labels = filter.map("labels");
        if (auto finished = filter.finish(); !finished) return forward(std::move(finished));
        Listing rows;
        const auto& targets = context_.rooms.targets;
        std::set<std::string> away;
        for (const auto& status : targets.backends())
            if (status.state != BackendState::Ready) away.insert(status.name);
        for (const auto* target : targets.list()) {
            Row candidate = row(*target);
            candidate.set({{"also", others(targets, *target)}, {"stale", away.contains(target->id.backend)}});
            const bool equal = std::all_of(wanted.begin(), wanted.end(), [&](const auto& want) {
                return candidate.values().at(want.first).template get<std::string>() == want.second.template get<std::string>();
            });
            if (equal && has(*target, labels) && !rows.add(std::move(candidate))) break;
        }
        return std::move(rows).whole();
    });
}

void Manager::ListCapsules(sdbus::Result<Rows>&& result, Values options) {
    begin(std::move(result), [&](const Answer<Rows>& answer) -> Result<void> {
        if (auto finished = noOptions(options); !finished) return finished;
        context_.rooms.refreshAdmissions(answer.later([this, answer] {
            Listing rows;
            const auto& rooms = context_.rooms;
            for (const auto* capsule : rooms.capsules.list())
                rows.add(row(*capsule, imageOf(rooms, *capsule), rooms.runs.health(capsule->name)));
            answer(std::move(rows).whole());
        }));
        return {};
    });
}

void Manager::ListImages(sdbus::Result<Rows>&& result, Values options) {
    begin(std::move(result), [&](const Answer<Rows>& answer) -> Result<void> {
        if (auto finished = noOptions(options); !finished) return finished;
        context_.rooms.refreshAdmissions(answer.later([this, answer] {
            Listing rows;
            for (const auto* image : context_.rooms.images.list()) rows.add(row(*image));
            answer(std::move(rows).whole());
        }));
        return {};
    });
}

Rows Manager::ListBackends(const Values& options) {
    return answer([&] { return listed(options, context_.rooms.targets.backends()); });
}

Rows Manager::ListPolicies(const Values& options) {
    return answer([&] { return listed(options, context_.rooms.policies.list()); });
}

Rows Manager::Doctor(const Values& options) {
    return answer([&]() -> Result<Rows> {
        if (auto finished = noOptions(options); !finished) return forward(std::move(finished));
        return examine(context_.rooms);
    });
}

}  // namespace recap::bus
