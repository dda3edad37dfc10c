// SPDX-License-Identifier: Apache-2.0
// What starts by itself, in the journal: which event or turn started a capsule, and which did not and why, be it that the run was left
// out or that it was refused, stopped or without its target before the launcher had it. What became of the others is in the launcher's own
// records. Where no journal listens, recapd's stderr has the sentences.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/core/batches.hpp"
#include "daemon/core/runs.hpp"

namespace recap {

// MESSAGE_IDs; systemd/recap.catalog explains them.
inline constexpr std::string_view kMessageTriggered = "5f1c0d6a0d0f4c3f9b8b6b1a7e2c4d08";
inline constexpr std::string_view kMessageSkipped = "5f1c0d6a0d0f4c3f9b8b6b1a7e2c4d09";

using JournalFields = std::vector<std::pair<std::string, std::string>>;  // MESSAGE, PRIORITY and MESSAGE_ID among them
void writeToJournal(const JournalFields& fields);

// On the loop; both tables outlive it.
class EventJournal final : public RunListener, public BatchListener {
public:
    using Write = std::function<void(const JournalFields&)>;
    EventJournal(const RunTable& runs, const BatchTable& batches, Write write = writeToJournal)
        : runs_(runs), batches_(batches), write_(std::move(write)) {}

    void batchStarted(const BatchId& id) override;
    void batchChanged(const BatchId&) override {}
    void batchFinished(const BatchId&) override {}
    void batchExpired(const BatchId&) override {}

    void submitted(const RunId&) override {}
    void started(const RunPlan&) override {}
    void changed(const RunId&, const Phases&) override {}
    void finished(const RunReport& report) override;
    void expired(const RunId&) override {}

private:
    const RunTable& runs_;
    const BatchTable& batches_;
    Write write_;
};

}  // namespace recap
