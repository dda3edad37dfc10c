// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sdbus-c++/sdbus-c++.h>

#include <string>
#include <vector>

#include "daemon/bus/door.hpp"
#include "daemon/bus/image_transfers.hpp"
#include "daemon/bus/rooms.hpp"
#include "daemon/bus/rows.hpp"
#include "dbus/org.recap1.Manager.adaptor.hpp"

namespace recap::bus {

// /org/recap1. Lives as long as the connection.
class Manager final : public sdbus::AdaptorInterfaces<org::recap1::Manager_adaptor, sdbus::ObjectManager_adaptor> {
public:
    Manager(sdbus::IConnection& bus, Context& context);
    ~Manager();

    void left(const std::string& busName) { transfers_.left(busName); }

private:
    using Names = std::vector<std::string>;

    // Runs (manager_runs.cpp).
    void Run(sdbus::Result<sdbus::ObjectPath>&& result, std::string capsule, std::string target, Names args, Values options) override;
    void RunSelected(sdbus::Result<sdbus::ObjectPath>&& result, std::string capsule, Values selector, Names args, Values options) override;
    void RunScheduled(sdbus::Result<sdbus::ObjectPath>&& result, std::string capsule, Values options) override;
    void Plan(sdbus::Result<Values>&& result, std::string capsule, std::string target, Names args, Values options) override;
    std::tuple<Rows, std::string> ListRuns(const Values& filter, const Values& options) override;

    // Lists (manager_lists.cpp).
    Rows ListTargets(const Values& filter, const Values& options) override;
    void ListCapsules(sdbus::Result<Rows>&& result, Values options) override;
    void ListImages(sdbus::Result<Rows>&& result, Values options) override;
    Rows ListBackends(const Values& options) override;
    Rows ListPolicies(const Values& options) override;
    Rows ListSchedule(const Values& options) override;
    Rows Doctor(const Values& options) override;

    // What changes things (manager.cpp).
    void InstallCapsule(sdbus::Result<sdbus::ObjectPath>&& result, std::string toml, Values options) override;
    void RemoveCapsule(sdbus::Result<>&& result, std::string capsule, Values options) override;
    void EnableCapsule(sdbus::Result<>&& result, std::string capsule, Values options) override;
    void DisableCapsule(sdbus::Result<>&& result, std::string capsule, Values options) override;
    void ImportImage(sdbus::Result<std::string>&& result, sdbus::UnixFd archive, Values options) override;
    void ImportImageFrom(sdbus::Result<std::string>&& result, std::string reference, Values options) override;
    void RemoveImage(sdbus::Result<>&& result, std::string image, Values options) override;
    void ScanImage(sdbus::Result<>&& result, std::string image, Values options) override;
    void Reload(sdbus::Result<>&& result, Values options) override;

    std::uint32_t ApiVersion() override { return 1; }

    struct Asked {
        RunRequest request;
        Right right;
        Authorisation authorised;
        Asker asker;
    };
    Result<Asked> readRun(const std::string& capsule, const std::string& target, Names args, Options& options, const char* verb);
    template <class... Replies>
    void manage(const Answer<Replies...>& answer, Right&& right, bool interactive, std::function<void()> then);
    std::function<void(Result<ImportedImage>)> record(const Answer<std::string>& answer, const ImportName& name);
    Result<void> launcherIsThere() const;
    void removeNow(const Answer<>& answer, const std::string& image);

    Context& context_;
    ImageTransfers transfers_;
};

}  // namespace recap::bus
