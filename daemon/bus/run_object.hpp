// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sdbus-c++/sdbus-c++.h>

#include <functional>
#include <string>
#include <vector>

#include "daemon/bus/door.hpp"
#include "daemon/bus/rooms.hpp"
#include "daemon/bus/rows.hpp"
#include "dbus/org.recap1.Run.adaptor.hpp"

namespace recap::bus {

// A run while it is an object. May go while an answer is still on its way, so answers know the context only.
class RunObject final : public sdbus::AdaptorInterfaces<org::recap1::Run_adaptor> {
public:
    RunObject(sdbus::IConnection& bus, Context& context, RunId id);
    ~RunObject();

    void announce();
    void withdraw();
    void changed(const std::vector<std::string>& properties);

    static Result<void> checkTenant(const Context& context, const RunId& id, std::uint32_t uid);

private:
    void Stop(sdbus::Result<>&& result, std::uint32_t grace, Values options) override;
    void Kill(sdbus::Result<>&& result, Values options) override;
    void Signal(sdbus::Result<>&& result, std::int32_t signal, Values options) override;
    void Attach(sdbus::Result<sdbus::UnixFd, sdbus::UnixFd, sdbus::UnixFd>&& result, Values options) override;
    void Resize(sdbus::Result<>&& result, std::uint32_t rows, std::uint32_t columns, Values options) override;
    void Detach(sdbus::Result<>&& result, Values options) override;
    void GetDetails(sdbus::Result<Values>&& result, Values options) override;
    void GetOutput(sdbus::Result<std::vector<std::uint8_t>, bool>&& result, std::string stream, std::uint64_t offset, std::uint32_t max,
                   Values options) override;
    void OpenOutput(sdbus::Result<sdbus::UnixFd>&& result, Values options) override;
    void ListArtifacts(sdbus::Result<Rows>&& result, Values options) override;
    void OpenArtifact(sdbus::Result<sdbus::UnixFd>&& result, std::string name, Values options) override;

    std::string Id() override { return id_; }
    std::string Capsule() override;
    std::string Target() override;
    std::string State() override;
    std::string Outcome() override;
    std::int32_t ExitCode() override;
    std::map<std::string, std::uint64_t> Phases() override;
    std::string Escape() override;

    // Whoever started the run may; others are asked about. `then` is called where it is allowed.
    template <class... Replies>
    void ask(const Answer<Replies...>& answer, const char* action, const char* verb, bool interactive, std::function<void()> then);
    Right rightTo(const char* action, const char* verb) const;  // of whoever did not start it
    const RunRecord& record() const;

    Context& context_;
    RunId id_;
};

}  // namespace recap::bus
