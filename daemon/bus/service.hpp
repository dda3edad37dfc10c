// SPDX-License-Identifier: Apache-2.0
// The bus room: org.recap1 and its objects, kept as the rooms behind it are.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "daemon/bus/batch_object.hpp"
#include "daemon/bus/connection.hpp"
#include "daemon/bus/manager.hpp"
#include "daemon/bus/refresh.hpp"
#include "daemon/bus/rooms.hpp"
#include "daemon/bus/run_object.hpp"
#include "daemon/bus/small_objects.hpp"

namespace recap::bus {

class Service final : public RunListener, public BatchListener, public TargetListener {
public:
    static Result<std::unique_ptr<Service>> create(const Rooms& rooms);
    ~Service() override;
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;

    Result<void> publish();  // takes the name: from now on calls come
    void capsulesChanged();  // after a reload that did not come over the bus

    void submitted(const RunId& id) override;
    void started(const RunPlan& plan) override;
    void changed(const RunId& id, const Phases& phases) override;
    void finished(const RunReport& report) override;
    void expired(const RunId& id) override;

    void batchStarted(const BatchId& id) override;
    void batchChanged(const BatchId& id) override;
    void batchRowFinished(const BatchId& id, const BatchRow& row) override;
    void batchFinished(const BatchId& id) override;
    void batchExpired(const BatchId& id) override;

    void targetAdded(const Target& target) override;
    void targetRemoved(const TargetId& id) override;
    void backendChanged(const BackendStatus& status) override;

private:
    Service(std::unique_ptr<Connection> bus, const Rooms& rooms);
    Result<void> listen();
    void askFor(const std::string& busName);
    void left(const std::string& busName);
    void soon(std::function<void()> tell);
    void tellSoon();
    void changedLater(std::set<std::string>& which, const std::string& id);
    static int onTurn(sd_event_source* source, void* self);
    static int onChanged(sd_event_source* source, std::uint64_t now, void* self);

    std::unique_ptr<Connection> bus_;
    Authority authority_;
    Refresh refresh_;
    Context context_;
    std::unique_ptr<sdbus::IProxy> driver_;
    Manager manager_;
    std::map<RunId, RunObject> runs_;
    std::map<BatchId, BatchObject> batches_;
    std::map<std::string, CapsuleObject> capsules_;
    std::map<std::string, BackendObject> backends_;
    std::vector<std::function<void()>> soon_;  // what a new run is told with, while the rooms are at it
    EventSource turn_;
    std::set<RunId> changed_;           // runs whose PropertiesChanged is still to be sent: what happens within milliseconds is one
    std::set<BatchId> changedBatches_;  // likewise
    EventSource change_;
    sdbus::Slot leaving_;
};

}  // namespace recap::bus
