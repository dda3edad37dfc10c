// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "daemon/bus/manager.hpp"
#include "daemon/bus/questions.hpp"
#include "daemon/bus/run_options.hpp"

namespace recap::bus {
namespace {

constexpr std::size_t kMaxLabels = 16 * 1024;  // of their expression
constexpr std::size_t kMaxPattern = 512;
constexpr std::size_t kMaxBackends = 64;

Result<void> checkSize(const char* key, std::size_t size, std::size_t most) {
    if (size <= most) return {};
    return fail(Errc::InvalidArgument,
                "selector key '" + std::string(key) + "' of " + std::to_string(size) + "; it has at most " + std::to_string(most));
}

Result<Selection> selectionOf(Values values) {
    Options keys(std::move(values), "selector key");
    Selection asked;
    const std::string labels = keys.text("labels"), mode = keys.text("mode");
    asked.backends = keys.list("backends");
    asked.name = keys.text("name");
    asked.image = keys.text("image");
    if (auto finished = keys.finish(); !finished) return forward(std::move(finished));
    for (auto& checked : {checkSize("labels", labels.size(), kMaxLabels), checkSize("backends", asked.backends.size(), kMaxBackends),
                          checkSize("name", asked.name.size(), kMaxPattern), checkSize("image", asked.image.size(), kMaxPattern)})
        if (!checked) return tl::unexpected(checked.error());
    auto terms = parseLabels(labels);
    if (!terms) return forward(std::move(terms));
    asked.labels = std::move(*terms);
    if (mode.empty()) return asked;
    if (auto parsed = parseMode(mode, asked); !parsed) return forward(std::move(parsed));
    return asked;
}

// Not said: as many as the capsule's manifest lets run at a time.
Result<std::uint32_t> parallelOf(std::optional<std::uint64_t> asked) {
    constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
    if (asked == 0u) return fail(Errc::InvalidArgument, "parallel 0: at least one run at a time");
    return static_cast<std::uint32_t>(std::min(asked.value_or(kMost), kMost));
}

Result<BatchRequest> requestOf(const std::string& capsule, Values selector, std::vector<std::string> args, Options& options) {
    auto selection = selectionOf(std::move(selector));
    auto parallel = parallelOf(options.number("parallel"));
    auto timeout = timeoutOf(options.number("timeout"));
    auto lifetime = lifetimeOf(options.text("lifetime"));
    auto adjustments = adjustmentsOf(options);
    if (auto finished = options.finish(); !finished) return forward(std::move(finished));
    if (!selection) return forward(std::move(selection));
    if (!parallel) return forward(std::move(parallel));
    if (!timeout) return forward(std::move(timeout));
    if (!lifetime) return forward(std::move(lifetime));
    if (!adjustments) return forward(std::move(adjustments));
    BatchRequest request;
    request.selection = std::move(*selection);
    request.selection.parallel = *parallel;
    request.run.capsule = capsule;
    request.run.args = std::move(args);
    request.run.adjustments = std::move(*adjustments);
    request.run.timeout = *timeout;
    request.run.lifetime = *lifetime;
    return request;
}

// A RunSelected on its way from the call to the batch. What nobody has the right to is no batch: somebody without any could fill the
// table of batches.
struct Selected {
    Context& context;
    Answer<sdbus::ObjectPath> answer;
    Asker asker;
    BatchRequest request;
    std::vector<Authorisation> authorised;  // by target, if polkit says yes
    std::size_t denied = 0;
    std::optional<sdbus::Error> refusal;  // the first
};
using SelectedPtr = std::shared_ptr<Selected>;

void start(Selected& selected) {
    const auto id = selected.context.rooms.batches.start(std::move(selected.request));
    if (!id) return selected.answer.refuse(id.error());
    selected.context.soon([answer = selected.answer, path = sdbus::ObjectPath(batchPath(*id))] { answer.give(path); });
}

void decide(Selected& selected) {
    if (selected.denied < selected.request.targets->size()) return start(selected);
    const std::size_t others = selected.denied - 1;
    const std::string rest = others == 0 ? "" : "; nor on any of the " + std::to_string(others) + " others that match";
    selected.answer.refuse(sdbus::Error(selected.refusal->getName(), selected.refusal->getMessage() + rest));
}

// Each target as Run would be.
void ask(const SelectedPtr& selected) {
    selected->authorised.resize(selected->request.targets->size());
    const auto question = [selected](std::size_t which) {
        RunRequest one;
        one.capsule = selected->request.run.capsule;
        one.adjustments = selected->request.run.adjustments;
        one.target = (*selected->request.targets)[which].target.text();
        auto [right, authorised] = runQuestion(selected->context.rooms, one, "Run");
        selected->authorised[which] = std::move(authorised);
        return std::move(right);
    };
    const auto answered = [selected](std::size_t which, const sdbus::Error* refusal) {
        auto& allowed = (*selected->request.targets)[which].allowed;
        allowed = std::move(selected->authorised[which]);
        if (refusal == nullptr) return true;
        allowed = fail(Errc::AccessDenied, refusal->getMessage());
        if (selected->denied++ == 0) selected->refusal = *refusal;
        return true;
    };
    askAll(selected->context.authority,
           {selected->asker, selected->authorised.size(), question, answered, selected->answer.later([selected] { decide(*selected); }),
            [selected](const sdbus::Error& error) { selected->answer.refuse(error); }});
}

void choose(const SelectedPtr& selected, std::uint32_t uid) {
    auto& request = selected->request;
    const Rooms& rooms = selected->context.rooms;
    request.run.caller = {uid, selected->asker.busName};
    const auto theirs = [&](const Target& target) { return rooms.tenants.check(uid, target.tenant, "target").has_value(); };
    const auto chosen = rooms.batches.choose(request.run.capsule, request.selection, theirs);
    if (!chosen) return selected->answer.refuse(chosen.error());
    if (chosen->empty())
        return selected->answer.refuse(
            Error{Errc::NotFound, "no target matches: none that runs meets both this selector and the capsule's own [target]"});
    request.targets.emplace();
    for (const Target* target : *chosen) request.targets->push_back({target->id, target->name, std::optional<Authorisation>()});
    if (uid == 0) return start(*selected);
    ask(selected);
}

}  // namespace

void Manager::RunSelected(sdbus::Result<sdbus::ObjectPath>&& result, std::string capsule, Values selector, Names args, Values values) {
    begin(std::move(result), [&](const Answer<sdbus::ObjectPath>& answer) -> Result<void> {
        if (auto checked = checkSizes(capsule, args); !checked) return checked;
        Options options(std::move(values));
        const bool interactive = options.flag("interactive");
        auto request = requestOf(capsule, std::move(selector), std::move(args), options);
        if (!request) return forward(std::move(request));
        const auto selected = std::make_shared<Selected>(
            Selected{context_, answer, Asker::current(getObject(), interactive), std::move(*request), {}, 0, {}});
        context_.authority.identify(selected->asker.busName, answer.later([selected](std::uint32_t uid) { choose(selected, uid); }),
                                    [answer](const sdbus::Error& error) { answer.refuse(error); });
        return {};
    });
}

}  // namespace recap::bus
