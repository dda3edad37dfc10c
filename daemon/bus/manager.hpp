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
    void Plan(sdbus::Result<Values>&& result, std::string capsule, std::string target, Names args, Values options) override;
    std::tuple<Rows, std::string> ListRuns(const Values& filter, const Values& options) override;

    // What runs by itself (manager_schedule.cpp).
    void EnableCapsule(sdbus::Result<>&& result, std::string capsule, Values options) override;
    void DisableCapsule(sdbus::Result<>&& result, std::string capsule, Values options) override;
    void RunScheduled(sdbus::Result<sdbus::ObjectPath>&& result, std::string capsule, Values options) override;
    void ListSchedule(sdbus::Result<Rows>&& result, Values options) override;

    // Lists (manager_lists.cpp).
    Rows ListTargets(const Values& filter, const Values& options) override;
    void ListCapsules(sdbus::Result<Rows>&& result, Values options) override;
    void ListImages(sdbus::Result<Rows>&& result, Values options) override;
    Rows ListBackends(const Values& options) override;
    Rows ListPolicies(const Values& options) override;
    Rows Doctor(const Values& options) override;

    // What changes things (manager.cpp).
    void InstallCapsule(sdbus::Result<sdbus::ObjectPath>&& result, std::string toml, Values options) override;
    void RemoveCapsule(sdbus::Result<>&& result, std::string capsule, Values options) override;
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
    void manage(const Answer<Replies...>& answer, Right&& right, bool interactive, std::function<void()> then) {
        manageAs(answer, std::move(right), interactive, [then = std::move(then)](std::uint32_t) { then(); });
    }
    template <class... Replies>
    void manageAs(const Answer<Replies...>& answer, Right&& right, bool interactive, std::function<void(std::uint32_t uid)> then) {
        const auto allowed = [&tenants = context_.rooms.tenants, answer, then = std::move(then)](std::uint32_t uid) {
            if (uid != 0 && tenants.kept())
                return answer.refuse(Error{Errc::AccessDenied, "capsules and images are shared by all tenants, which leaves them to root"});
            then(uid);
        };
        context_.authority.ask(Asker::current(getObject(), interactive), std::move(right), answer.later(allowed),
                               [answer](const sdbus::Error& error) { answer.refuse(error); });
    }
    static Result<bool> interactiveOnly(Values values);
    Result<void> mayInstall(std::uint32_t uid, const std::string& name) const;
    static Result<void> checkName(const std::string& name);  // its length: polkit is told
    void askToEnable(const Answer<>& answer, const Asker& asker, const std::string& capsule);
    std::function<void(Result<ImportedImage>)> record(const Answer<std::string>& answer, const ImportName& name);
    Result<void> launcherIsThere() const;
    void removeNow(const Answer<>& answer, const std::string& image);

    Context& context_;
    ImageTransfers transfers_;
};

}  // namespace recap::bus
