// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/manager.hpp"

namespace recap::bus {
namespace {

constexpr std::uint32_t kDefaultRows = 100;
constexpr std::uint32_t kMaxRows = 1000;
constexpr std::size_t kMaxCapsule = 64;
constexpr std::size_t kMaxTarget = 512;
constexpr std::size_t kMaxChoice = 256;     // of a word of the manifest's, or an image's reference
constexpr std::size_t kMaxArguments = 512;  // as the engine's; here so that nobody's are kept while polkit thinks
constexpr std::size_t kMaxArgumentBytes = 64 * 1024;
constexpr std::uint64_t kMaxTimeoutUsec = 365ull * 24 * 3600 * 1'000'000;

Result<Lifetime> lifetimeOf(const std::string& word) {
    if (word.empty() || word == "detached") return Lifetime::Detached;
    if (word == "caller") return Lifetime::Caller;
    return fail(Errc::InvalidArgument, "lifetime '" + word + "' is unknown; it is \"detached\" or \"caller\"");
}

Result<std::chrono::microseconds> timeoutOf(std::optional<std::uint64_t> timeout) {
    if (!timeout) return std::chrono::microseconds(0);
    if (*timeout == 0 || *timeout > kMaxTimeoutUsec)
        return fail(Errc::InvalidArgument,
                    "timeout " + std::to_string(*timeout) + " is out of range: 1 to " + std::to_string(kMaxTimeoutUsec) + " microseconds");
    return std::chrono::microseconds(*timeout);
}

Result<void> checkSizes(const std::string& capsule, const std::string& target, const std::vector<std::string>& args) {
    if (capsule.empty()) return fail(Errc::InvalidArgument, "the capsule's name is empty");
    if (target.empty()) return fail(Errc::InvalidArgument, "the target is empty; name one as BACKEND:NAME-OR-ID");
    if (capsule.size() > kMaxCapsule)
        return fail(Errc::InvalidArgument,
                    "a capsule's name of " + std::to_string(capsule.size()) + " bytes; it has at most " + std::to_string(kMaxCapsule));
    if (target.size() > kMaxTarget)
        return fail(Errc::InvalidArgument,
                    "a target of " + std::to_string(target.size()) + " bytes; it has at most " + std::to_string(kMaxTarget));
    std::size_t bytes = 0;
    for (const auto& argument : args) bytes += argument.size() + 1;
    if (args.size() > kMaxArguments || bytes > kMaxArgumentBytes)
        return fail(Errc::InvalidArgument, std::to_string(args.size()) + " arguments of " + std::to_string(bytes) + " bytes; at most " +
                                               std::to_string(kMaxArguments) + " of " + std::to_string(kMaxArgumentBytes) +
                                               " bytes are taken");
    return {};
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

// What of the capsule's manifest the caller wants otherwise.
Result<Adjustments> adjustmentsOf(Options& options) {
    Adjustments asked;
    for (const auto& [key, word] :
         {std::pair{"view", &asked.view}, {"user", &asked.user}, {"processes", &asked.processes}, {"image", &asked.image}}) {
        *word = options.text(key);
        if (word->size() > kMaxChoice)
            return fail(Errc::InvalidArgument, "option '" + std::string(key) + "' of " + std::to_string(word->size()) +
                                                   " bytes; it has at most " + std::to_string(kMaxChoice));
    }
    return asked;
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
    std::uint64_t startTime = 0;
    if (const auto resolved = context_.rooms.targets.resolve(target)) {
        asked.request.target = (*resolved)->id.text();
        startTime = (*resolved)->startTime;
    }
    asked.right = runRight(context_.rooms, capsule, asked.request.target, verb, asked.request.adjustments);
    const auto info = context_.rooms.capsules.find(capsule);
    const auto& chosen = asked.request.adjustments;
    const std::uint32_t host = info ? hostNamespacesOf(context_.rooms, adjusted(**info, chosen), asked.request.target) : 0;
    asked.authorised = {asked.right.details["backend"], asked.right.details["digest"], info ? (*info)->revision : 0, startTime, host};
    asked.asker = Asker::current(getObject(), interactive);
    return asked;
}

void Manager::Run(sdbus::Result<sdbus::ObjectPath>&& result, std::string capsule, std::string target, Names args, Values values) {
    begin(std::move(result), [&](const Answer<sdbus::ObjectPath>& answer) -> Result<void> {
        if (auto checked = checkSizes(capsule, target, args); !checked) return checked;
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

void Manager::RunSelected(sdbus::Result<sdbus::ObjectPath>&& result, std::string, Values, Names, Values) {
    Answer<sdbus::ObjectPath>(std::move(result))
        .refuse(Error{Errc::NotSupported, "this version runs capsules on one target at a time; call Run for each of ListTargets"});
}

void Manager::RunScheduled(sdbus::Result<sdbus::ObjectPath>&& result, std::string, Values) {
    Answer<sdbus::ObjectPath>(std::move(result)).refuse(Error{Errc::NotSupported, "this version keeps no schedules; call Run"});
}

void Manager::Plan(sdbus::Result<Values>&& result, std::string capsule, std::string target, Names args, Values values) {
    begin(std::move(result), [&](const Answer<Values>& answer) -> Result<void> {
        if (auto checked = checkSizes(capsule, target, args); !checked) return checked;
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
        wanted.since = filter.number("since").value_or(0);
        wanted.before = options.text("before");
        const auto limit = options.number("limit").value_or(kDefaultRows);
        for (const auto* read : {&filter, &options}) {
            if (auto finished = read->finish(); !finished) return forward(std::move(finished));
        }
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
