// SPDX-License-Identifier: Apache-2.0
// Capsules and backends on the bus: properties only.
#pragma once

#include <sdbus-c++/sdbus-c++.h>

#include <string>

#include "daemon/bus/door.hpp"
#include "daemon/bus/rows.hpp"
#include "dbus/org.recap1.Backend.adaptor.hpp"
#include "dbus/org.recap1.Capsule.adaptor.hpp"

namespace recap::bus {

class CapsuleObject final : public sdbus::AdaptorInterfaces<org::recap1::Capsule_adaptor> {
public:
    struct State {
        std::string version;
        std::string digest;
        bool enabled = false;
        auto operator<=>(const State&) const = default;
    };
    CapsuleObject(sdbus::IConnection& bus, std::string name, State state)
        : AdaptorInterfaces(bus, capsulePath(name)), name_(std::move(name)), state_(std::move(state)) {
        registerAdaptor();
        getObject().emitInterfacesAddedSignal({Capsule_adaptor::INTERFACE_NAME});
    }
    ~CapsuleObject() {
        guarded("leaving capsule", [this] { getObject().emitInterfacesRemovedSignal({Capsule_adaptor::INTERFACE_NAME}); });
        unregisterAdaptor();
    }
    void update(const State& state) {
        if (state == state_) return;
        state_ = state;
        getObject().emitPropertiesChangedSignal(Capsule_adaptor::INTERFACE_NAME, {"Version", "Digest", "Enabled"});
    }

private:
    std::string Name() override { return briefText(name_); }
    std::string Version() override { return briefText(state_.version); }
    std::string Digest() override { return state_.digest; }
    bool Enabled() override { return state_.enabled; }

    std::string name_;
    State state_;
};

class BackendObject final : public sdbus::AdaptorInterfaces<org::recap1::Backend_adaptor> {
public:
    BackendObject(sdbus::IConnection& bus, const BackendStatus& status)
        : AdaptorInterfaces(bus, backendPath(status.name)), name_(status.name), plugin_(status.plugin), state_(recap::name(status.state)) {
        registerAdaptor();
        getObject().emitInterfacesAddedSignal({Backend_adaptor::INTERFACE_NAME});
    }
    ~BackendObject() {
        guarded("leaving backend", [this] { getObject().emitInterfacesRemovedSignal({Backend_adaptor::INTERFACE_NAME}); });
        unregisterAdaptor();
    }
    void update(const BackendStatus& status) {
        if (state_ == recap::name(status.state)) return;
        state_ = recap::name(status.state);
        getObject().emitPropertiesChangedSignal(Backend_adaptor::INTERFACE_NAME, {"State"});
    }

private:
    std::string Name() override { return briefText(name_); }
    std::string Plugin() override { return briefText(plugin_); }
    std::string State() override { return state_; }

    std::string name_;
    std::string plugin_;
    std::string state_;
};

}  // namespace recap::bus
