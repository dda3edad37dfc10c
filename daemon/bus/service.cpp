// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/service.hpp"

namespace recap::bus {
namespace {

constexpr const char* kName = "org.recap1";
constexpr std::uint64_t kChangesUsec = 5000;  // within which the changes of a run or a batch are told as one

// By what it was started: as rows of ListRuns have it.
void addTrigger(Row& details, const RunRequest& request) {
    details.set("trigger", std::string(name(request.trigger)));
    if (request.occurrence) details.set("event", request.occurrence->on);
    if (!request.batch.empty()) details.set("batch", request.batch);
}

}  // namespace

Result<std::unique_ptr<Service>> Service::create(const Rooms& rooms) {
    auto bus = Connection::open(rooms.loop);
    if (!bus) return forward(std::move(bus));
    try {
        std::unique_ptr<Service> service(new Service(std::move(*bus), rooms));
        if (auto listening = service->listen(); !listening) return forward(std::move(listening));
        service->capsulesChanged();
        for (const auto& status : rooms.targets.backends()) service->backendChanged(status);
        return service;
    } catch (const sdbus::Error& error) {
        return fail(Errc::Unavailable, "objects on the bus: " + error.getMessage());
    }
}

Service::Service(std::unique_ptr<Connection> bus, const Rooms& rooms)
    : bus_(std::move(bus)),
      authority_(**bus_),
      refresh_(rooms.refreshAdmissions),
      context_{rooms, authority_, [this] { capsulesChanged(); }, [this](std::function<void()> tell) { soon(std::move(tell)); }},
      driver_(sdbus::createProxy(**bus_, "org.freedesktop.DBus", "/org/freedesktop/DBus")),
      manager_(**bus_, context_) {
    hideFolder(rooms.state);
    context_.rooms.refreshAdmissions = [this](std::function<void()> then) { refresh_(std::move(then)); };
}

Service::~Service() = default;

// One match for everybody who leaves the bus: to add one a caller would wait for the bus while a run is being started. A signal that
// anybody sends to recapd alone comes through it, whatever its rule says of the sender, which libsystemd does not compare by name: who it
// is of is looked at here.
Result<void> Service::listen() {
    const std::string rule =
        "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',interface='org.freedesktop.DBus',"
        "member='NameOwnerChanged',arg2=''";
    leaving_ = (*bus_)->addMatch(rule, [this](sdbus::Message& message) {
        guarded("leaving name", [&] {
            if (message.getSender() != "org.freedesktop.DBus") return;
            std::string name;
            message >> name;
            left(name);
        });
    });
    sd_event_source* source = nullptr;
    if (const int error = sd_event_add_defer(context_.rooms.loop, &source, onTurn, this); error < 0)
        return failErrno("the bus's own turn", -error);
    turn_.reset(source);
    const int error = sd_event_add_time(context_.rooms.loop, &source, CLOCK_MONOTONIC, 0, kChangesUsec, onChanged, this);
    if (error < 0) return failErrno("the timer of changes", -error);
    change_.reset(source);
    for (auto* mine : {turn_.get(), change_.get()}) {
        sd_event_source_set_enabled(mine, SD_EVENT_OFF);
        // Before the next message of anybody's, whatever came first.
        if (const int set = sd_event_source_set_priority(mine, kBusPriority - 1); set < 0)
            return failErrno("the priority of the bus's own turn", -set);
    }
    return {};
}

Result<void> Service::publish() {
    try {
        (*bus_)->requestName(kName);
        return {};
    } catch (const sdbus::Error& error) {
        return fail(Errc::Unavailable, std::string("own the bus name ") + kName + ": " + error.getMessage() +
                                           "; does the bus policy org.recap1.conf allow it?");
    }
}

void Service::capsulesChanged() {
    guarded("capsules", [this] {
        std::map<std::string, CapsuleObject::State> now;
        for (const auto* capsule : context_.rooms.capsules.list()) {
            if (!capsule->problem.empty() && capsule->image.empty()) continue;
            const Image* image = imageOf(context_.rooms, *capsule);
            now[capsule->name] = {capsule->version, image == nullptr ? "" : image->digest, capsule->enabled};
        }
        std::erase_if(capsules_, [&](const auto& known) { return !now.contains(known.first); });
        for (const auto& [name, state] : now) {
            const auto [object, isNew] = capsules_.try_emplace(name, **bus_, name, state);
            if (!isNew) object->second.update(state);
        }
    });
    context_.rooms.schedules.refresh();
}

// A new run is under way before it has an object and anybody is told of it: what it waits for comes first.
void Service::soon(std::function<void()> tell) {
    soon_.push_back(std::move(tell));
    sd_event_source_set_enabled(turn_.get(), SD_EVENT_ONESHOT);
}

void Service::tellSoon() {
    for (const auto& tell : std::exchange(soon_, {})) guarded("new run", tell);
}

int Service::onTurn(sd_event_source*, void* self) {
    static_cast<Service*>(self)->tellSoon();
    return 0;
}

void Service::submitted(const RunId& id) {
    soon([this, id] {
        const RunRecord* run = context_.rooms.runs.find(id);
        if (run == nullptr) return;
        runs_.try_emplace(id, **bus_, context_, id).first->second.announce();
        if (run->state == RunState::Running && run->request.lifetime == Lifetime::Caller) askFor(run->request.caller.busName);
    });
}

void Service::started(const RunPlan& plan) {
    tellSoon();
    guarded("RunStarted", [&] {
        if (!runs_.contains(plan.id)) return;
        changedLater(changed_, plan.id);
        Row details{{"id", plan.id}, {"capsule", plan.request.capsule}, {"target", plan.target.id.text()}};
        addTrigger(details, plan.request);
        manager_.emitRunStarted(sdbus::ObjectPath(runPath(plan.id)), details.values());
    });
}

void Service::changed(const RunId& id, const Phases&) {
    guarded("run's change", [&] { changedLater(changed_, id); });
}

void Service::changedLater(std::set<std::string>& which, const std::string& id) {
    const bool first = changed_.empty() && changedBatches_.empty();
    which.insert(id);
    if (!first) return;
    sd_event_source_set_time(change_.get(), monotonicMicroseconds() + kChangesUsec);
    sd_event_source_set_enabled(change_.get(), SD_EVENT_ONESHOT);
}

int Service::onChanged(sd_event_source*, std::uint64_t, void* self) {
    auto& service = *static_cast<Service*>(self);
    for (const auto& id : std::exchange(service.changed_, {})) {
        guarded("run's change", [&] {
            const auto object = service.runs_.find(id);
            if (object != service.runs_.end()) object->second.changed({"State", "Target", "Phases"});
        });
    }
    for (const auto& id : std::exchange(service.changedBatches_, {})) {
        guarded("batch's change", [&] {
            const auto object = service.batches_.find(id);
            if (object != service.batches_.end()) object->second.changed();
        });
    }
    return 0;
}

void Service::finished(const RunReport& report) {
    tellSoon();
    changed_.erase(report.id);
    guarded("the ended run's change", [&] {
        const auto object = runs_.find(report.id);
        if (object != runs_.end()) object->second.changed({"State", "Target", "Outcome", "ExitCode", "Phases", "Escape"});
    });
    guarded("RunFinished", [&] {
        const RunRecord* run = context_.rooms.runs.find(report.id);
        if (run == nullptr || !runs_.contains(report.id)) return;
        Row details{{"id", report.id},
                    {"capsule", run->request.capsule},
                    {"target", run->target},
                    {"escape", escape(*run)},
                    {"detail", busSentence(report.detail)},
                    {"phases", phases(run->phases)},
                    {"untrusted", run->untrusted}};
        addTrigger(details, run->request);
        if (report.error != Errc::None) details.set("error", "org.recap1.Error." + std::string(name(report.error)));
        manager_.emitRunFinished(sdbus::ObjectPath(runPath(report.id)), std::string(name(report.outcome)), report.exitCode,
                                 details.values());
    });
}

void Service::expired(const RunId& id) {
    tellSoon();
    const auto object = runs_.find(id);
    if (object == runs_.end()) return;
    guarded("ended run", [&] { object->second.withdraw(); });
    runs_.erase(object);
}

void Service::batchStarted(const BatchId& id) {
    soon([this, id] {
        if (context_.rooms.batches.findBatch(id) != nullptr) batches_.try_emplace(id, **bus_, context_, id).first->second.announce();
    });
}

void Service::batchChanged(const BatchId& id) {
    guarded("batch's change", [&] { changedLater(changedBatches_, id); });
}

void Service::batchRowFinished(const BatchId& id, const BatchRow& ended) {
    tellSoon();
    guarded("TargetFinished", [&] {
        const auto object = batches_.find(id);
        if (object != batches_.end()) object->second.emitTargetFinished(busText(ended.target.text()), row(ended).values());
    });
}

void Service::batchFinished(const BatchId& id) {
    tellSoon();
    changedBatches_.erase(id);
    guarded("BatchFinished", [&] {
        const auto object = batches_.find(id);
        const BatchRecord* batch = context_.rooms.batches.findBatch(id);
        if (object == batches_.end() || batch == nullptr) return;
        object->second.changed();
        manager_.emitBatchFinished(sdbus::ObjectPath(batchPath(id)), counts(*batch));
    });
}

void Service::batchExpired(const BatchId& id) {
    tellSoon();
    const auto object = batches_.find(id);
    if (object == batches_.end()) return;
    guarded("ended batch", [&] { object->second.withdraw(); });
    batches_.erase(object);
}

void Service::targetAdded(const Target& target) {
    guarded("TargetAdded", [&] { manager_.emitTargetAdded(busText(target.id.text()), row(target).values()); });
}

void Service::targetRemoved(const TargetId& id) {
    guarded("TargetRemoved", [&] { manager_.emitTargetRemoved(busText(id.text()), {}); });
}

void Service::backendChanged(const BackendStatus& status) {
    guarded("backend", [&] {
        const auto [object, isNew] = backends_.try_emplace(status.name, **bus_, status);
        if (!isNew) object->second.update(status);
    });
}

// The caller of a run that was adopted may have gone when recapd was away. That any other goes is told after its call, and after what
// the bus said of it: a connection's messages keep their order.
void Service::askFor(const std::string& busName) {
    if (busName.empty()) return;
    driver_->callMethodAsync("NameHasOwner")
        .onInterface("org.freedesktop.DBus")
        .withArguments(busName)
        .uponReplyInvoke([this, busName](const sdbus::Error* error, bool owned) {
            if (error == nullptr && !owned) left(busName);
        });
}

void Service::left(const std::string& busName) {
    authority_.left(busName);
    manager_.left(busName);
    guarded("leaving caller", [&] {
        context_.rooms.batches.batchCallerGone(busName);  // first: what ends makes room, and nothing of theirs is to take it
        context_.rooms.runs.callerGone(busName);
    });
}

}  // namespace recap::bus
