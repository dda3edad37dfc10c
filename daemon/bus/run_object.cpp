// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/run_object.hpp"

namespace recap::bus {
namespace {

constexpr const char* kControl = "org.recap1.run";
constexpr const char* kRead = "org.recap1.read-output";

Result<Stream> streamOf(const std::string& name) {
    if (name == "stdout" || name.empty()) return Stream::Stdout;
    if (name == "stderr") return Stream::Stderr;
    return fail(Errc::InvalidArgument, "no stream '" + name + "'; there are stdout and stderr");
}

sdbus::UnixFd handOver(UniqueFd fd) { return sdbus::UnixFd(fd.release(), sdbus::adopt_fd); }

}  // namespace

RunObject::RunObject(sdbus::IConnection& bus, Context& context, RunId id)
    : AdaptorInterfaces(bus, runPath(id)), context_(context), id_(std::move(id)) {
    registerAdaptor();
}

RunObject::~RunObject() { unregisterAdaptor(); }

void RunObject::announce() { getObject().emitInterfacesAddedSignal({Run_adaptor::INTERFACE_NAME}); }

void RunObject::withdraw() { getObject().emitInterfacesRemovedSignal({Run_adaptor::INTERFACE_NAME}); }

void RunObject::changed(const std::vector<std::string>& properties) {
    getObject().emitPropertiesChangedSignal(Run_adaptor::INTERFACE_NAME, properties);
}

const RunRecord& RunObject::record() const {
    const RunRecord* run = context_.rooms.runs.find(id_);
    if (run == nullptr) throw toBus({Errc::NotFound, "run " + id_ + " is not an object any more"});
    return *run;
}

Right RunObject::rightTo(const char* action, const char* verb) const {
    const RunRecord& run = record();
    Right right = runRight(context_.rooms, run.request.capsule, run.target, verb, run.request.adjustments);
    // Who types into a run does what its capsule may.
    const bool types = std::string_view(verb) == "Attach" && std::string_view(action) == kControl;
    if (!types || right.action != "org.recap1.run-privileged") right.action = action;
    right.owner = run.request.caller.uid;
    right.message = "Authentication is required to use run of capsule $(capsule) on $(target), which somebody else started";
    right.sentence = "run " + id_ + " was started by somebody else, and you may not " + verb + " it";
    return right;
}

// Whose it was, and while it is under way, whose its target is by now. What was refused before it was anybody's is its caller's own.
Result<void> RunObject::checkTenant(const Context& context, const RunId& id, std::uint32_t uid) {
    const RunRecord* run = context.rooms.runs.find(id);
    if (run == nullptr) return fail(Errc::NotFound, "run " + id + " is not an object any more");
    const auto& at = run->phases;
    const bool begun = at.planned != 0 || at.attached != 0 || at.executing != 0;  // of adopted ones the plan may not be known
    if (run->tenant.empty() && !begun && run->request.caller.uid == uid) return {};
    const auto own = context.rooms.tenants.check(uid, run->tenant, "run " + id);
    if (!own || !begun || run->state == RunState::Finished) return own;
    const auto target = context.rooms.targets.resolve(run->target);
    return target ? context.rooms.tenants.check(uid, (*target)->tenant, "target " + run->target) : own;
}

template <class... Replies>
void RunObject::ask(const Answer<Replies...>& answer, const char* action, const char* verb, bool interactive, std::function<void()> then) {
    context_.authority.ask(Asker::current(getObject(), interactive), rightTo(action, verb),
                           answer.later([&context = context_, id = id_, answer, then = std::move(then)](std::uint32_t uid) {
                               if (auto own = checkTenant(context, id, uid); !own) return answer.refuse(own.error());
                               then();
                           }),
                           [answer](const sdbus::Error& error) { answer.refuse(error); });
}

void RunObject::Stop(sdbus::Result<>&& result, std::uint32_t grace, Values options) {
    begin(std::move(result), [&](const Answer<>& answer) -> Result<void> {
        const auto interactive = interactiveOnly(std::move(options));
        if (!interactive) return tl::unexpected(interactive.error());
        ask(answer, kControl, "Stop", *interactive,
            [&context = context_, id = id_, grace, answer] { context.rooms.runs.stop(id, std::chrono::seconds(grace), answer); });
        return {};
    });
}

void RunObject::Kill(sdbus::Result<>&& result, Values options) { Stop(std::move(result), 0, std::move(options)); }

void RunObject::Signal(sdbus::Result<>&& result, std::int32_t signal, Values options) {
    begin(std::move(result), [&](const Answer<>& answer) -> Result<void> {
        const auto interactive = interactiveOnly(std::move(options));
        if (!interactive) return tl::unexpected(interactive.error());
        if (signal < 1 || signal > 64) return fail(Errc::InvalidArgument, "no signal " + std::to_string(signal) + "; there are 1 to 64");
        ask(answer, kControl, "Signal", *interactive,
            [&context = context_, id = id_, signal, answer] { context.rooms.runs.signal(id, signal, answer); });
        return {};
    });
}

// Whoever attaches reads the output and types: somebody else needs both rights.
void RunObject::Attach(sdbus::Result<sdbus::UnixFd, sdbus::UnixFd, sdbus::UnixFd>&& result, Values values) {
    begin(std::move(result), [&](const Answer<sdbus::UnixFd, sdbus::UnixFd, sdbus::UnixFd>& answer) -> Result<void> {
        Options options(std::move(values));
        const bool interactive = options.flag("interactive");
        const AttachOptions wanted{options.flag("take-over"), options.number("replay").value_or(0)};
        if (auto finished = options.finish(); !finished) return finished;
        const auto go = [&context = context_, id = id_, wanted, answer] {
            context.rooms.runs.attach(id, wanted, answer.later([answer](Result<AttachedEnds> ends) {
                if (!ends) return answer.refuse(ends.error());
                answer.give(handOver(std::move(*(*ends)[0])), handOver(std::move(*(*ends)[1])), handOver(std::move(*(*ends)[2])));
            }));
        };
        ask(answer, kControl, "Attach", interactive,
            [&context = context_, id = id_, asker = Asker::current(getObject(), interactive), right = rightTo(kRead, "Attach"), go,
             answer]() mutable {
                const auto then = [&context, id, go, answer](std::uint32_t uid) {
                    if (auto own = checkTenant(context, id, uid); !own) return answer.refuse(own.error());
                    go();
                };
                context.authority.ask(asker, std::move(right), answer.later(then),
                                      [answer](const sdbus::Error& error) { answer.refuse(error); });
            });
        return {};
    });
}

void RunObject::Resize(sdbus::Result<>&& result, std::uint32_t rows, std::uint32_t columns, Values options) {
    begin(std::move(result), [&](const Answer<>& answer) -> Result<void> {
        const auto interactive = interactiveOnly(std::move(options));
        if (!interactive) return tl::unexpected(interactive.error());
        if (auto sized = checkSize(rows, columns); !sized) return sized;
        ask(answer, kControl, "Resize", *interactive,
            [&context = context_, id = id_, rows, columns, answer] { context.rooms.runs.resize(id, rows, columns, answer); });
        return {};
    });
}

void RunObject::Detach(sdbus::Result<>&& result, Values options) {
    begin(std::move(result), [&](const Answer<>& answer) -> Result<void> {
        const auto interactive = interactiveOnly(std::move(options));
        if (!interactive) return tl::unexpected(interactive.error());
        ask(answer, kControl, "Detach", *interactive, [&context = context_, id = id_, answer] { answer(context.rooms.runs.detach(id)); });
        return {};
    });
}

void RunObject::GetDetails(sdbus::Result<Values>&& result, Values options) {
    begin(std::move(result), [&](const Answer<Values>& answer) -> Result<void> {
        const auto interactive = interactiveOnly(std::move(options));
        if (!interactive) return tl::unexpected(interactive.error());
        ask(answer, kRead, "GetDetails", *interactive, [&context = context_, id = id_, answer] {
            const RunRecord* run = context.rooms.runs.find(id);
            if (run == nullptr) return answer.refuse(Error{Errc::NotFound, "run " + id + " is not an object any more"});
            answer(whole(details(*run)));
        });
        return {};
    });
}

void RunObject::GetOutput(sdbus::Result<std::vector<std::uint8_t>, bool>&& result, std::string stream, std::uint64_t offset,
                          std::uint32_t max, Values options) {
    begin(std::move(result), [&](const Answer<std::vector<std::uint8_t>, bool>& answer) -> Result<void> {
        const auto interactive = interactiveOnly(std::move(options));
        if (!interactive) return tl::unexpected(interactive.error());
        const auto wanted = streamOf(stream);
        if (!wanted) return tl::unexpected(wanted.error());
        ask(answer, kRead, "GetOutput", *interactive, [&context = context_, id = id_, wanted = *wanted, offset, max, answer] {
            const auto chunk = context.rooms.runs.output(id, wanted, offset, max);
            if (!chunk) return answer.refuse(chunk.error());
            answer.give(chunk->data, chunk->eof);
        });
        return {};
    });
}

void RunObject::OpenOutput(sdbus::Result<sdbus::UnixFd>&& result, Values values) {
    begin(std::move(result), [&](const Answer<sdbus::UnixFd>& answer) -> Result<void> {
        Options options(std::move(values));
        const bool interactive = options.flag("interactive");
        const auto stream = streamOf(options.text("stream"));
        if (auto finished = options.finish(); !finished) return finished;
        if (!stream) return tl::unexpected(stream.error());
        ask(answer, kRead, "OpenOutput", interactive, [&context = context_, id = id_, stream = *stream, answer] {
            auto pipe = context.rooms.runs.openOutput(id, stream);
            if (!pipe) return answer.refuse(pipe.error());
            answer.give(handOver(std::move(*pipe)));
        });
        return {};
    });
}

void RunObject::ListArtifacts(sdbus::Result<Rows>&& result, Values options) {
    begin(std::move(result), [&](const Answer<Rows>& answer) -> Result<void> {
        const auto interactive = interactiveOnly(std::move(options));
        if (!interactive) return tl::unexpected(interactive.error());
        ask(answer, kRead, "ListArtifacts", *interactive, [&context = context_, id = id_, answer] {
            context.rooms.runs.artifacts(id, answer.later([answer](const Result<std::vector<Artifact>>& artifacts) {
                if (!artifacts) return answer.refuse(artifacts.error());
                Listing rows;
                for (const auto& artifact : *artifacts) {
                    if (!rows.add({{"name", artifact.name}, {"size", artifact.size}, {"mode", artifact.mode}})) break;
                }
                answer(std::move(rows).whole());
            }));
        });
        return {};
    });
}

void RunObject::OpenArtifact(sdbus::Result<sdbus::UnixFd>&& result, std::string name, Values options) {
    begin(std::move(result), [&](const Answer<sdbus::UnixFd>& answer) -> Result<void> {
        const auto interactive = interactiveOnly(std::move(options));
        if (!interactive) return tl::unexpected(interactive.error());
        ask(answer, kRead, "OpenArtifact", *interactive, [&context = context_, id = id_, name, answer] {
            context.rooms.runs.openArtifact(id, name, answer.later([answer](Result<UniqueFd> pipe) {
                if (!pipe) return answer.refuse(pipe.error());
                answer.give(handOver(std::move(*pipe)));
            }));
        });
        return {};
    });
}

std::string RunObject::Capsule() { return briefText(record().request.capsule); }
std::string RunObject::Target() { return briefText(record().target); }
std::string RunObject::State() { return std::string(name(record().state)); }
std::string RunObject::Outcome() {
    return record().state == RunState::Finished ? std::string(name(record().report.outcome)) : std::string();
}
std::int32_t RunObject::ExitCode() { return record().state == RunState::Finished ? record().report.exitCode : 0; }
std::map<std::string, std::uint64_t> RunObject::Phases() { return phases(record().phases); }
std::string RunObject::Escape() { return briefText(escape(record())); }

}  // namespace recap::bus
