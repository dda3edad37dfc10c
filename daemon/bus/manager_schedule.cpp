// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/manager.hpp"

namespace recap::bus {
namespace {

constexpr std::size_t kMaxName = 512;  // of what polkit is told

// Whose turns they are; nothing: nobody has enabled it.
std::optional<std::uint32_t> enablerOf(const Rooms& rooms, const std::string& capsule) {
    const auto info = rooms.capsules.find(capsule);
    return info && (*info)->enabled ? std::optional((*info)->enabling.uid) : std::nullopt;
}

// Who enabled a capsule has his turns whenever he likes.
Right turnRight(const std::string& capsule, std::optional<std::uint32_t> enabler) {
    Right right;
    right.owner = enabler;
    right.action = "org.recap1.run-scheduled";
    right.details = {{"capsule", capsule}, {"verb", "RunScheduled"}};
    right.sentence = "you may not run capsule '" + capsule + "' as its timer does";
    return right;
}

}  // namespace

Result<void> Manager::checkName(const std::string& name) {
    if (name.size() <= kMaxName) return {};
    return fail(Errc::InvalidArgument, "a name of " + std::to_string(name.size()) + " bytes; it has at most " + std::to_string(kMaxName));
}

Result<bool> Manager::interactiveOnly(Values values) {
    Options options(std::move(values));
    const bool interactive = options.flag("interactive");
    if (auto finished = options.finish(); !finished) return forward(std::move(finished));
    return interactive;
}

void Manager::EnableCapsule(sdbus::Result<>&& result, std::string capsule, Values options) {
    begin(std::move(result), [&](const Answer<>& answer) -> Result<void> {
        const auto interactive = interactiveOnly(std::move(options));
        if (!interactive) return tl::unexpected(interactive.error());
        if (auto checked = checkName(capsule); !checked) return checked;
        const Asker asker = Asker::current(getObject(), *interactive);
        manage(answer, manageRight("capsules", "EnableCapsule", capsule), *interactive,
               [this, answer, asker, capsule] { askToEnable(answer, asker, capsule); });
        return {};
    });
}

// Who enables a capsule has it run by itself, and so has to have the right to run it.
void Manager::askToEnable(const Answer<>& answer, const Asker& asker, const std::string& capsule) {
    const auto info = context_.rooms.capsules.find(capsule);
    if (!info) return answer.refuse(info.error());
    const auto allowed = [this, answer, capsule, shown = asks(**info)](std::uint32_t uid) {
        context_.rooms.schedules.enable(capsule, uid, shown, answer.later([this, answer](const Result<void>& enabled) {
            context_.capsulesChanged();
            answer(enabled);
        }));
    };
    context_.authority.ask(asker, enableRight(context_.rooms, capsule), answer.later(allowed),
                           [answer](const sdbus::Error& error) { answer.refuse(error); });
}

void Manager::DisableCapsule(sdbus::Result<>&& result, std::string capsule, Values options) {
    begin(std::move(result), [&](const Answer<>& answer) -> Result<void> {
        const auto interactive = interactiveOnly(std::move(options));
        if (!interactive) return tl::unexpected(interactive.error());
        if (auto checked = checkName(capsule); !checked) return checked;
        manage(answer, manageRight("capsules", "DisableCapsule", capsule), *interactive, [this, answer, capsule] {
            const auto disabled = context_.rooms.schedules.disable(capsule);
            context_.capsulesChanged();
            answer(disabled);
        });
        return {};
    });
}

void Manager::RunScheduled(sdbus::Result<sdbus::ObjectPath>&& result, std::string capsule, Values options) {
    begin(std::move(result), [&](const Answer<sdbus::ObjectPath>& answer) -> Result<void> {
        const auto interactive = interactiveOnly(std::move(options));
        if (!interactive) return tl::unexpected(interactive.error());
        if (auto checked = checkName(capsule); !checked) return checked;
        const auto enabler = enablerOf(context_.rooms, capsule);
        const auto allowed = [this, answer, capsule, enabler](std::uint32_t uid) {
            if (uid == enabler && enablerOf(context_.rooms, capsule) != enabler)
                return answer.refuse(
                    Error{Errc::Denied, "capsule '" + capsule + "' is not yours to run any more: its enabling has changed"});
            const auto batch = context_.rooms.schedules.run(capsule);
            if (!batch) return answer.refuse(batch.error());
            context_.soon([answer, path = sdbus::ObjectPath(batchPath(*batch))] { answer.give(path); });
        };
        context_.authority.ask(Asker::current(getObject(), *interactive), turnRight(capsule, enabler), answer.later(allowed),
                               [answer](const sdbus::Error& error) { answer.refuse(error); });
        return {};
    });
}

void Manager::ListSchedule(sdbus::Result<Rows>&& result, Values options) {
    begin(std::move(result), [&](const Answer<Rows>& answer) -> Result<void> {
        if (auto finished = Options(std::move(options)).finish(); !finished) return finished;
        context_.rooms.schedules.list(answer.later([answer](const Result<std::vector<ScheduleRow>>& all) {
            if (!all) return answer.refuse(all.error());
            Listing rows;
            for (const auto& one : *all) rows.add(row(one));
            answer(std::move(rows).whole());
        }));
        return {};
    });
}

}  // namespace recap::bus
