// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sdbus-c++/sdbus-c++.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "daemon/bus/door.hpp"
#include "daemon/bus/rooms.hpp"
#include "daemon/bus/rows.hpp"
#include "dbus/org.recap1.Batch.adaptor.hpp"

namespace recap::bus {

// A batch while it is an object. May go while an answer is still on its way, so answers know the context only.
class BatchObject final : public sdbus::AdaptorInterfaces<org::recap1::Batch_adaptor> {
public:
    BatchObject(sdbus::IConnection& bus, Context& context, BatchId id);
    ~BatchObject();

    void announce();
    void withdraw();
    void changed();

private:
    void Stop(sdbus::Result<>&& result, std::uint32_t grace, Values options) override;
    void GetResults(sdbus::Result<Rows>&& result, Values options) override;

    std::string Id() override { return id_; }
    std::string State() override;
    std::map<std::string, std::uint32_t> Counts() override;

    // Whoever started the batch may; others are asked about, with each of these targets. `then` is called where it is allowed.
    template <class... Replies>
    void ask(const Answer<Replies...>& answer, const char* action, const char* verb, std::vector<std::string> targets, bool interactive,
             std::function<void()> then);
    const BatchRecord& record() const;

    Context& context_;
    BatchId id_;
};

}  // namespace recap::bus
