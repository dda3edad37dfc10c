// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/service.hpp"

namespace recap::bus {
namespace {

constexpr const char* kName = "org.recap1";

}  // namespace

Result<std::unique_ptr<Service>> Service::create(const Rooms& rooms) {
    auto bus = Connection::open(rooms.loop);
    if (!bus) return forward(std::move(bus));
    try {
        std::unique_ptr<Service> service(new Service(std::move(*bus), rooms));
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
      context_{rooms, authority_, [this] { capsulesChanged(); }},
      driver_(sdbus::createProxy(**bus_, "org.freedesktop.DBus", "/org/freedesktop/DBus")),
      manager_(**bus_, context_) {}

Service::~Service() = default;

Result<void> Service::publish() {
    try {
        (*bus_)->requestName(kName);
        return {};
    } catch (const sdbus::Error& error) {
        return fail(Errc::Unavailable, std::string("own the bus name ") + kName + ": " + error.getMessage() + "; does the bus policy org.recap1.conf allow it?");
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
}

void Service::submitted(const RunId& id) {
    guarded("new run", [&] {
        runs_.try_emplace(id, **bus_, context_, id).first->second.announce();
        // Adopted while under way: its caller may still be there, or have gone when recapd was away.
        const RunRecord* run = context_.rooms.runs.find(id);
        if (run->state == RunState::Running && run->request.lifetime == Lifetime::Caller) watch(run->request.caller.busName);
    });
}

void Service::started(const RunPlan& plan) {
    guarded("RunStarted", [&] {
        const auto object = runs_.find(plan.id);
        if (object == runs_.end()) return;
        object->second.changed({"State", "Target", "Phases"});
        manager_.emitRunStarted(sdbus::ObjectPath(runPath(plan.id)), {{"id", sdbus::Variant(plan.id)},
                                                                      {"capsule", sdbus::Variant(plan.request.capsule)},
                                                                      {"target", sdbus::Variant(plan.target.id.text())}});
        // After the launcher has its order: this asks the bus and waits for it.
        if (plan.request.lifetime == Lifetime::Caller) watch(plan.request.caller.busName);
    });
}

void Service::changed(const RunId& id, const Phases&) {
    guarded("run's change", [&] {
        if (const auto object = runs_.find(id); object != runs_.end()) object->second.changed({"State", "Phases"});
    });
}

void Service::finished(const RunReport& report) {
    guarded("RunFinished", [&] {
        const RunRecord* run = context_.rooms.runs.find(report.id);
        const auto object = runs_.find(report.id);
        if (run == nullptr || object == runs_.end()) return;
        object->second.changed({"State", "Target", "Outcome", "ExitCode", "Phases", "Escape"});
        Values details{{"id", sdbus::Variant(report.id)},
                       {"capsule", sdbus::Variant(run->request.capsule)},
                       {"target", sdbus::Variant(run->target)},
                       {"escape", sdbus::Variant(escape(*run))},
                       {"detail", sdbus::Variant(report.detail)},
                       {"phases", sdbus::Variant(phases(run->phases))}};
        if (report.error != Errc::None) details["error"] = sdbus::Variant("org.recap1.Error." + std::string(name(report.error)));
        manager_.emitRunFinished(sdbus::ObjectPath(runPath(report.id)), std::string(name(report.outcome)), report.exitCode, details);
    });
}

void Service::expired(const RunId& id) {
    guarded("ended run", [&] {
        const auto object = runs_.find(id);
        if (object == runs_.end()) return;
        object->second.withdraw();
        runs_.erase(object);
    });
}

void Service::targetAdded(const Target& target) {
    guarded("TargetAdded", [&] { manager_.emitTargetAdded(target.id.text(), row(target)); });
}

void Service::targetRemoved(const TargetId& id) {
    guarded("TargetRemoved", [&] { manager_.emitTargetRemoved(id.text(), {}); });
}

void Service::backendChanged(const BackendStatus& status) {
    guarded("backend", [&] {
        const auto [object, isNew] = backends_.try_emplace(status.name, **bus_, status);
        if (!isNew) object->second.update(status);
    });
}

// Kept until the name goes, which it does once: a client that runs much is asked about once.
void Service::watch(const std::string& busName) {
    std::erase_if(watched_, [](const auto& watched) { return watched.second.gone; });
    if (busName.empty() || watched_.contains(busName)) return;
    const std::string rule = "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',interface='org.freedesktop.DBus',"
                             "member='NameOwnerChanged',arg0='" + busName + "',arg2=''";
    watched_[busName].slot = (*bus_)->addMatch(rule, [this, busName](sdbus::Message&) { left(busName); });
    // It may have gone before the watch was there.
    driver_->callMethodAsync("NameHasOwner")
        .onInterface("org.freedesktop.DBus")
        .withArguments(busName)
        .uponReplyInvoke([this, busName](const sdbus::Error* error, bool owned) {
            if (error == nullptr && !owned) left(busName);
        });
}

void Service::left(const std::string& busName) {
    const auto watched = watched_.find(busName);
    if (watched == watched_.end() || watched->second.gone) return;
    watched->second.gone = true;  // released later: this may be its own callback
    guarded("leaving caller", [&] { context_.rooms.runs.callerGone(busName); });
}

}  // namespace recap::bus
