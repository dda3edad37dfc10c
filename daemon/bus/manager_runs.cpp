// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "daemon/bus/manager.hpp"
#include "daemon/bus/run_options.hpp"

namespace recap::bus {
namespace {

constexpr std::uint32_t kDefaultRows = 100;
constexpr std::uint32_t kMaxRows = 1000;
constexpr std::size_t kMaxTarget = 512;

Result<void> checkTarget(const std::string& target) {
    if (target.empty()) return fail(Errc::InvalidArgument, "the target is empty; name one as BACKEND:NAME-OR-ID");
    if (target.size() <= kMaxTarget) return {};
    return fail(Errc::InvalidArgument,
                "a target of " + std::to_string(target.size()) + " bytes; it has at most " + std::to_string(kMaxTarget));
}

// Of a run's request, what its standard streams are.
Result<RunRequest> streamsOf(Options& options) {
    RunRequest asked;
    for (std::size_t i = 0; i < asked.stdio.size(); ++i) {
        constexpr std::array keys{"stdin", "stdout", "stderr"};
        if (auto fd = options.descriptor(keys[i])) asked.stdio[i] = std::make_shared<UniqueFd>(fd->release());
    }
    asked.tty = options.choice("tty");
    asked.openStdin = options.flag("open-stdin");
    const auto rows = options.number("rows").value_or(0), columns = options.number("columns").value_or(0);
    if (auto sized = checkSize(rows, columns); !sized) return forward(std::move(sized));
    asked.rows = static_cast<std::uint32_t>(rows);
    asked.columns = static_cast<std::uint32_t>(columns);
    const bool tty = asked.tty.value_or(false);
    if (tty && asked.stdio[2]) return fail(Errc::InvalidArgument, "a terminal has one output: 'stderr' is not given beside 'tty'");
    if (asked.openStdin && (asked.stdio[0] || tty))
        return fail(Errc::InvalidArgument, "'open-stdin' excludes 'stdin' and 'tty', whose stdin is open for whoever attaches");
    return asked;
}

Result<void> checkTrigger(const std::string& word) {
    constexpr std::array all{Trigger::OnDemand, Trigger::Event, Trigger::Periodic};
    if (word.empty() || std::any_of(all.begin(), all.end(), [&](Trigger trigger) { return name(trigger) == word; })) return {};
    return fail(Errc::InvalidArgument, "trigger '" + word + "' is none of on-demand, event, periodic");
}

}  // namespace

// What is asked, with the target pinned to its id where it is known, so that polkit and planner speak of the same one.
Result<Manager::Asked> Manager::readRun(const std::string& capsule, const std::string& target, Names args, Options& options,
                                        const char* verb) {
    Asked asked;
    asked.request.received = monotonicMicroseconds();
    const bool interactive = options.flag("interactive");
    auto timeout = timeoutOf(options.number("timeout"));
    auto adjustments = adjustmentsOf(options);
    if (auto finished = options.finish(); !finished) return forward(std::move(finished));
    if (!timeout) return forward(std::move(timeout));
    if (!adjustments) return forward(std::move(adjustments));
    asked.request.timeout = *timeout;
    asked.request.adjustments = std::move(*adjustments);
    asked.request.capsule = capsule;
    asked.request.target = target;
    asked.request.args = std::move(args);
    if (const auto resolved = context_.rooms.targets.resolve(target)) asked.request.target = (*resolved)->id.text();
    auto [right, authorised] = runQuestion(context_.rooms, asked.request, verb);
    asked.right = std::move(right);
    asked.authorised = std::move(authorised);
    asked.asker = Asker::current(getObject(), interactive);
    return asked;
}

void Manager::Run(sdbus::Result<sdbus::ObjectPath>&& result, std::string capsule, std::string target, Names args, Values values) {
    begin(std::move(result), [&](const Answer<sdbus::ObjectPath>& answer) -> Result<void> {
        if (auto checked = checkSizes(capsule, args); !checked) return checked;
        if (auto checked = checkTarget(target); !checked) return checked;
        context_.authority.expect(getObject().getCurrentlyProcessedMessage()->getSender());
        Options options(std::move(values));
        auto streams = streamsOf(options);
        const auto lifetime = lifetimeOf(options.text("lifetime"));
        auto asked = readRun(capsule, target, std::move(args), options, "Run");
        if (!asked) return forward(std::move(asked));
        if (!lifetime) return tl::unexpected(lifetime.error());
        if (!streams) return forward(std::move(streams));
        asked->request.lifetime = *lifetime;
        asked->request.stdio = std::move(streams->stdio);
        asked->request.tty = streams->tty;
        asked->request.rows = streams->rows;
        asked->request.columns = streams->columns;
        asked->request.openStdin = streams->openStdin;
        const auto go = [this, answer, request = std::move(asked->request), authorised = std::move(asked->authorised),
                         busName = asked->asker.busName](std::uint32_t uid) mutable {
            request.caller = {uid, busName};
            if (uid != 0) request.authorised = authorised;
            const auto id = context_.rooms.runs.submit(std::move(request));
            if (!id) return answer.refuse(id.error());
            context_.soon([answer, path = sdbus::ObjectPath(runPath(*id))] { answer.give(path); });
        };
        context_.authority.ask(asked->asker, std::move(asked->right), answer.later(go),
                               [answer](const sdbus::Error& error) { answer.refuse(error); });
        return {};
    });
}

void Manager::Plan(sdbus::Result<Values>&& result, std::string capsule, std::string target, Names args, Values values) {
    begin(std::move(result), [&](const Answer<Values>& answer) -> Result<void> {
        if (auto checked = checkSizes(capsule, args); !checked) return checked;
        if (auto checked = checkTarget(target); !checked) return checked;
        Options options(std::move(values));
        auto asked = readRun(capsule, target, std::move(args), options, "Plan");
        if (!asked) return forward(std::move(asked));
        const bool privileged = asked->right.action == "org.recap1.run-privileged";
        const auto go = [this, answer, privileged, request = std::move(asked->request), authorised = std::move(asked->authorised),
                         busName = asked->asker.busName](std::uint32_t uid) mutable {
            request.caller = {uid, busName};
            if (uid != 0) request.authorised = authorised;
            context_.rooms.runs.plan(std::move(request), answer.later([this, answer, privileged](const Result<RunPlan>& plan) {
                if (!plan) return answer.refuse(plan.error());
                Row row = details(*plan);
                row.set("privileged", privileged);
                row.set("words", context_.rooms.planner.describe(*plan));
                const auto info = context_.rooms.capsules.find(plan->request.capsule);
                if (info) row.set({{"policy", (*info)->policy}, {"reason", (*info)->reason}});
                answer(whole(std::move(row)));
            }));
        };
        context_.authority.ask(asked->asker, std::move(asked->right), answer.later(go),
                               [answer](const sdbus::Error& error) { answer.refuse(error); });
        return {};
    });
}

std::tuple<Rows, std::string> Manager::ListRuns(const Values& filterValues, const Values& optionValues) {
    return answer([&]() -> Result<std::tuple<Rows, std::string>> {
        Options filter(filterValues, "filter key");
        Options options(optionValues);
        RunFilter wanted;
        wanted.capsule = filter.text("capsule");
        wanted.target = filter.text("target");
        wanted.state = filter.text("state");
        wanted.outcome = filter.text("outcome");
        wanted.trigger = filter.text("trigger");
        wanted.batch = filter.text("batch");
        wanted.since = filter.number("since").value_or(wanted.since);
        wanted.until = filter.number("until").value_or(wanted.until);
        wanted.before = options.text("before");
        const auto limit = options.number("limit").value_or(kDefaultRows);
        for (const auto* read : {&filter, &options}) {
            if (auto finished = read->finish(); !finished) return forward(std::move(finished));
        }
        if (auto known = checkTrigger(wanted.trigger); !known) return forward(std::move(known));
        if (limit == 0 || limit > kMaxRows)
            return fail(Errc::InvalidArgument, "limit " + std::to_string(limit) + " is out of range: 1 to " + std::to_string(kMaxRows));
        wanted.limit = static_cast<std::uint32_t>(limit);
        auto page = context_.rooms.runs.list(wanted);
        if (!page) return forward(std::move(page));
        Listing rows;
        RunId last;
        for (const auto& run : page->runs) {
            Row values = row(run);
            if (context_.rooms.runs.find(run.id) != nullptr) values.set("object", sdbus::ObjectPath(runPath(run.id)));
            if (!rows.add(std::move(values))) {
                if (last.empty()) return forward(std::move(rows).whole());
                page->next = last;  // the rest is another page
                break;
            }
            last = run.id;
        }
        return std::tuple(std::move(rows).take(), page->next);
    });
}

}  // namespace recap::bus
