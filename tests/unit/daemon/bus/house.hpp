// SPDX-License-Identifier: Apache-2.0
// The bus room on a bus of its own, a client of it and somebody who plays polkit: all in this thread.
#pragma once

#include <grp.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "daemon/bus/service.hpp"
#include "tests/support/command.hpp"
#include "tests/support/files.hpp"
#include "tests/unit/daemon/bus/fakes.hpp"

namespace recap::test {

using bus::Rows;
using bus::Values;

constexpr const char* kManager = "org.recap1.Manager";
constexpr const char* kRun = "org.recap1.Run";
constexpr const char* kId = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

// Every user may connect to it, unlike a session's.
class OpenBus {
public:
    OpenBus() : daemon_(Command{.argv = {"dbus-daemon", "--config-file=" + configure(), "--nofork", "--nopidfile", "--print-address=1"}}) {
        if (!daemon_.waitForOutput("\n", Deadline(kPatience))) throw std::runtime_error("dbus-daemon did not start");
        ::setenv("DBUS_SYSTEM_BUS_ADDRESS", trimmed(daemon_.out()).c_str(), 1);
    }
    void kill() {
        daemon_.signal(SIGKILL);
        daemon_.wait(Deadline(kPatience));
    }

private:
    std::string configure() {
        const auto file = folder_.path() / "bus.conf";
        std::ofstream(file)
            << R"(<busconfig><listen>unix:tmpdir=/tmp</listen><auth>EXTERNAL</auth><policy context="default"><allow user="*"/>)"
            << R"(<allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>)";
        return file.string();
    }
    TempDir folder_;
    Child daemon_;
};

// org.freedesktop.PolicyKit1 that answers what it is told to, or nothing.
class FakePolkit {
public:
    using Subject = sdbus::Struct<std::string, Values>;
    using Verdict = sdbus::Struct<bool, bool, std::map<std::string, std::string>>;
    struct Question {
        std::string action;
        std::map<std::string, std::string> details;
        std::string cancellation;
        sdbus::Result<Verdict> answer;
    };
    std::unique_ptr<sdbus::IConnection> connection = sdbus::createSystemBusConnection();
    enum class Mood { Silent, Yes, Broken } mood = Mood::Silent;
    std::vector<Question> questions;
    std::vector<std::string> cancelled;

    FakePolkit() {
        constexpr const char* interface = "org.freedesktop.PolicyKit1.Authority";
        object_ = sdbus::createObject(*connection, "/org/freedesktop/PolicyKit1/Authority");
        object_->registerMethod("CheckAuthorization")
            .onInterface(interface)
            .implementedAs([this](sdbus::Result<Verdict>&& result, Subject, std::string action, std::map<std::string, std::string> details,
                                  std::uint32_t, std::string id) {
                if (mood == Mood::Yes) result.returnResults(Verdict{true, false, {}});
                if (mood == Mood::Broken) result.returnError(sdbus::Error("org.freedesktop.PolicyKit1.Error.Failed", "broken"));
                questions.push_back({action, details, id, std::move(result)});
            });
        object_->registerMethod("CancelCheckAuthorization").onInterface(interface).implementedAs([this](const std::string& id) {
            cancelled.push_back(id);
        });
        object_->finishRegistration();
        connection->requestName("org.freedesktop.PolicyKit1");
    }

private:
    std::unique_ptr<sdbus::IObject> object_;
};

inline EventLoop newLoop() {
    sd_event* loop = nullptr;
    EXPECT_GE(sd_event_new(&loop), 0);
    return EventLoop(loop);
}

struct House : testing::Test {
    OpenBus daemon;
    EventLoop loop = newLoop();
    FakeLauncher launcher;
    FakePlanner planner;
    FakeRuns runs;
    FakeBatches batches;
    FakeCapsules capsules;
    FakePolicies policies;
    FakeImages images;
    FakeExporter exporter;
    TargetTable targets{loop.get(), launcher};
    FakePolkit polkit;
    Tenants tenants;
    FakeSchedules schedules;
    std::unique_ptr<bus::Service> service;
    std::unique_ptr<sdbus::IConnection> client = sdbus::createSystemBusConnection();

    House() {
        const auto refresh = [this](std::function<void()> then) {
            launcher.images([then = std::move(then)](const Result<std::vector<AdmissionState>>&) { then(); });
        };
        service = bus::Service::create({loop.get(), launcher, planner, runs, batches, targets, capsules, policies, images, exporter,
                                        [] { return Result<void>(); }, refresh, "/state/folder", tenants, schedules})
                      .value();
        targets.listen(*service);
        EXPECT_TRUE(service->publish());
    }

    // One turn of everybody; the launcher says at once what images there are.
    void turn() {
        sd_event_run(loop.get(), 1000);
        for (auto* connection : {client.get(), polkit.connection.get()}) {
            while (connection->processPendingRequest()) {
            }
        }
    }
    void turnUntil(const std::function<bool()>& holds, bool answering = true) {
        for (const Deadline deadline(kPatience); !holds() && !deadline.passed(); turn()) {
            if (!answering) continue;
            for (auto& reply : std::exchange(launcher.imagesAsked, {})) reply(std::vector<AdmissionState>());
        }
        ASSERT_TRUE(holds());
    }

    // "ok", or "ERROR-NAME: message".
    template <class... Out>
    struct Reply {
        std::string outcome;
        std::tuple<Out...> values;
    };
    template <class... Out, class... In>
    std::shared_ptr<Reply<Out...>> ask(const std::string& path, const std::string& interface, const std::string& method, const In&... in) {
        auto reply = std::make_shared<Reply<Out...>>();
        auto& proxy = *proxies.emplace_back(sdbus::createProxy(*client, "org.recap1", path));
        proxy.callMethodAsync(method).onInterface(interface).withArguments(in...).uponReplyInvoke(
            [reply](const sdbus::Error* error, const Out&... out) {
                reply->values = {out...};
                reply->outcome = error == nullptr ? "ok" : error->getName() + ": " + error->getMessage();
            });
        return reply;
    }
    template <class... Out, class... In>
    Reply<Out...> call(const std::string& path, const std::string& interface, const std::string& method, const In&... in) {
        auto reply = ask<Out...>(path, interface, method, in...);
        turnUntil([&] { return !reply->outcome.empty(); });
        return *reply;
    }
    template <class... Out, class... In>
    Reply<Out...> callManager(const std::string& method, const In&... in) {
        return call<Out...>("/org/recap1", kManager, method, in...);
    }
    Rows list(const std::string& method) {
        auto reply = callManager<Rows>(method, Values());
        EXPECT_EQ(reply.outcome, "ok");
        return std::get<0>(reply.values);
    }

    void haveRun(const RunId& id, std::uint32_t uid = 0) {
        runs.runs[id].id = id;
        runs.runs[id].request.caller.uid = uid;
        service->submitted(id);
    }

    std::vector<std::unique_ptr<sdbus::IProxy>> proxies;
};

inline std::string errorName(const std::string& outcome) { return outcome.substr(0, outcome.find(": ")); }

}  // namespace recap::test
