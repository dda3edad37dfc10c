// SPDX-License-Identifier: Apache-2.0
// recapd from outside, over its bus: refusals and their names, and who may do what. Runs as root inside a private stack.
#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sdbus-c++/sdbus-c++.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "sdk/base/unique_fd.hpp"

namespace {

using Values = std::map<std::string, sdbus::Variant>;
using Rows = std::vector<Values>;
using Names = std::vector<std::string>;

constexpr const char* kManager = "org.recap1.Manager";
constexpr uid_t kNobody = 65534;
constexpr uid_t kOperator = 5;  // "games": test.rules lets it run one capsule

std::unique_ptr<sdbus::IProxy> manager(sdbus::IConnection& bus) { return sdbus::createProxy(bus, "org.recap1", "/org/recap1"); }
std::unique_ptr<sdbus::IProxy> object(sdbus::IConnection& bus, const std::string& path) {
    return sdbus::createProxy(bus, "org.recap1", path);
}

// "ok", or "ERROR-NAME: message".
std::string outcomeOf(const std::function<void()>& body) {
    try {
        body();
        return "ok";
    } catch (const sdbus::Error& error) {
        return error.getName() + ": " + error.getMessage();
    }
}

// The body in a process of that user, with a connection of its own; what it returns.
std::string as(uid_t uid, const std::function<std::string(sdbus::IConnection&)>& body) {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        ::close(ends[0]);
        std::string said = "cannot become another user";
        if (::setgroups(0, nullptr) == 0 && ::setgid(uid) == 0 && ::setuid(uid) == 0) {
            try {
                auto bus = sdbus::createSystemBusConnection();
                said = body(*bus);
            } catch (const std::exception& error) {
                said = std::string("thrown: ") + error.what();
            }
        }
        [[maybe_unused]] const auto written = ::write(ends[1], said.data(), said.size());
        ::_exit(0);
    }
    ::close(ends[1]);
    const recap::UniqueFd reading(ends[0]);
    std::string said;
    char buffer[4096];
    for (ssize_t count = 0; (count = ::read(ends[0], buffer, sizeof buffer)) > 0;) said.append(buffer, static_cast<std::size_t>(count));
    ::waitpid(child, nullptr, 0);
    return said;
}

sdbus::ObjectPath run(sdbus::IConnection& bus, const std::string& capsule, const std::string& target, const Values& options = {}) {
    sdbus::ObjectPath path;
    manager(bus)->callMethod("Run").onInterface(kManager).withArguments(capsule, target, Names{"argument"}, options).storeResultsTo(path);
    return path;
}

struct BusTest : testing::Test {
    std::unique_ptr<sdbus::IConnection> bus = sdbus::createSystemBusConnection();

    // Calls a method that answers nothing, or whose answer is not looked at.
    template <class... Arguments>
    std::string call(const std::string& path, const std::string& interface, const std::string& method, const Arguments&... arguments) {
        return outcomeOf([&] { object(*bus, path)->callMethod(method).onInterface(interface).withArguments(arguments...); });
    }
    template <class... Arguments>
    std::string callManager(const std::string& method, const Arguments&... arguments) {
        return call("/org/recap1", kManager, method, arguments...);
    }
};

void expectError(const std::string& outcome, const std::string& name, const std::vector<std::string>& words = {}) {
    EXPECT_EQ(outcome.substr(0, outcome.find(':')), "org.recap1.Error." + name) << outcome;
    for (const auto& word : words) EXPECT_NE(outcome.find(word), std::string::npos) << "no '" << word << "' in: " << outcome;
}

TEST_F(BusTest, AnUnknownOptionIsRefusedByName) {
    const Values typo{{"tiemout", sdbus::Variant(std::uint64_t{5})}};
    expectError(callManager("Run", std::string("c"), std::string("t"), Names{}, typo), "InvalidArgument",
                {"'tiemout'", "timeout", "lifetime"});
    expectError(callManager("ListTargets", typo, Values{}), "InvalidArgument", {"filter key 'tiemout'"});
    expectError(callManager("ListTargets", Values{}, typo), "InvalidArgument", {"option 'tiemout'"});
    for (const char* method : {"ListCapsules", "ListImages", "ListBackends", "ListPolicies", "Doctor", "Reload"})
        expectError(callManager(method, typo), "InvalidArgument", {"'tiemout'"});
    for (const char* method : {"RemoveCapsule", "RemoveImage"})
        expectError(callManager(method, std::string("x"), typo), "InvalidArgument", {"'tiemout'"});
    expectError(callManager("ListRuns", Values{}, typo), "InvalidArgument", {"'tiemout'"});
}

TEST_F(BusTest, AWrongTypeOrValueIsRefusedByName) {
    const auto with = [&](const char* key, const sdbus::Variant& value) {
        return callManager("Run", std::string("c"), std::string("t"), Names{}, Values{{key, value}});
    };
    expectError(with("timeout", sdbus::Variant(std::string("5s"))), "InvalidArgument", {"'timeout'", "integer"});
    expectError(with("timeout", sdbus::Variant(std::int32_t{-1})), "InvalidArgument", {"'timeout'"});
    expectError(with("lifetime", sdbus::Variant(std::string("forever"))), "InvalidArgument", {"'forever'", "detached"});
    expectError(with("stdin", sdbus::Variant(std::int32_t{0})), "InvalidArgument", {"'stdin'", "file descriptor"});
    expectError(callManager("Run", std::string(), std::string("t"), Names{}, Values{}), "InvalidArgument", {"capsule"});
    expectError(callManager("ListRuns", Values{}, Values{{"limit", sdbus::Variant(std::uint32_t{100000})}}), "InvalidArgument",
                {"100000", "1000"});
}

TEST_F(BusTest, WhatComesLaterSaysSo) {
    const std::string name = "x";
    const Values none;
    for (const auto& outcome : {callManager("ScanImage", name, none)}) expectError(outcome, "NotSupported", {"this version"});
}

TEST_F(BusTest, WhatIsNotThereHasNoSchedule) {
    const std::string name = "nope";
    for (const char* method : {"RunScheduled", "EnableCapsule", "DisableCapsule"})
        expectError(callManager(method, name, Values{}), "NotFound", {"'nope'"});
    expectError(callManager("RunScheduled", name, Values{{"parallel", sdbus::Variant(std::uint32_t{1})}}), "InvalidArgument",
                {"'parallel'"});
}

TEST_F(BusTest, AnImageOfAnEngineThatIsNotThereIsRefusedByName) {
    const auto from = [&](const char* reference, const Values& options = {}) {
        return callManager("ImportImageFrom", std::string(reference), options);
    };
    expectError(from("tool"), "InvalidArgument", {"'tool'", "docker-daemon:"});
    expectError(from("dokcer:tool:1"), "NotFound", {"'dokcer'", "there are: process"});
    expectError(from("containerd:tool:1"), "NotFound", {"plugin 'containerd'", "there are: process"});
    expectError(from("process:tool:1"), "NotSupported", {"process: its plugin exports no images"});
    expectError(from("process:tool:1", {{"backend", sdbus::Variant(std::string("docker"))}}), "NotFound", {"no backend 'docker'"});
    expectError(from("oci-archive:/a.tar"), "InvalidArgument", {"ImportImage"});
    expectError(from("docker://tool:1"), "NotSupported", {"registries", "skopeo copy docker://tool:1"});
}

TEST_F(BusTest, WhatNoTerminalCanBeIsRefusedByName) {
    const auto with = [&](const Values& values) { return callManager("Run", std::string("c"), std::string("t"), Names{}, values); };
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const sdbus::Variant read(sdbus::UnixFd(ends[0], sdbus::adopt_fd)), write(sdbus::UnixFd(ends[1], sdbus::adopt_fd)), yes(true);
    expectError(with({{"tty", yes}, {"stderr", write}}), "InvalidArgument", {"'stderr'", "'tty'"});
    expectError(with({{"tty", yes}, {"open-stdin", yes}}), "InvalidArgument", {"'open-stdin'", "'tty'"});
    expectError(with({{"stdin", read}, {"open-stdin", yes}}), "InvalidArgument", {"'open-stdin'", "'stdin'"});
    expectError(with({{"tty", yes}, {"rows", sdbus::Variant(std::uint32_t{70000})}}), "InvalidArgument", {"70000 rows"});
    expectError(with({{"tty", sdbus::Variant(std::uint32_t{1})}}), "InvalidArgument", {"'tty'", "boolean"});
    const auto path = run(*bus, "no-such-capsule", "process:1");
    const auto onRun = [&](const char* method, auto... args) { return call(path, "org.recap1.Run", method, args...); };
    expectError(onRun("Resize", 24u, 70000u, Values{}), "InvalidArgument", {"70000 columns"});
    expectError(onRun("Attach", Values{{"takeover", yes}}), "InvalidArgument", {"option 'takeover'"});
    expectError(onRun("Attach", Values{}), "NotFound", {"has ended"});
    expectError(onRun("Resize", 24u, 80u, Values{}), "NotFound", {"has ended"});
    expectError(onRun("Detach", Values{}), "NotFound", {"is under way"});
}

TEST_F(BusTest, ARunThatCannotStartIsARunWithASentence) {
    std::map<std::string, std::pair<std::string, Values>> ended;
    auto listener = manager(*bus);
    listener->uponSignal("RunFinished")
        .onInterface(kManager)
        .call([&](const sdbus::ObjectPath& path, const std::string& outcome, std::int32_t, const Values& details) {
            ended[path] = {outcome, details};
        });
    listener->finishRegistration();
    const auto path = run(*bus, "no-such-capsule", "process:1");
    while (!ended.contains(path)) {
        if (!bus->processPendingRequest()) {
            const auto poll = bus->getEventLoopPollData();
            pollfd fd{poll.fd, poll.events, 0};
            ::poll(&fd, 1, poll.getPollTimeout());
        }
    }
    const auto& [outcome, details] = ended[path];
    EXPECT_EQ(outcome, "not-started");
    EXPECT_NE(details.at("detail").get<std::string>().find("no-such-capsule"), std::string::npos);
    EXPECT_EQ(details.at("error").get<std::string>(), "org.recap1.Error.NotFound");
    EXPECT_FALSE(details.contains("args"));
    const auto property = [&](const char* name) { return object(*bus, path)->getProperty(name).onInterface("org.recap1.Run"); };
    EXPECT_EQ(property("State").get<std::string>(), "finished");
    EXPECT_EQ(property("Outcome").get<std::string>(), "not-started");
    EXPECT_EQ(property("Escape").get<std::string>(), "clean");
}

TEST_F(BusTest, PlanFailsWithWhatTheRunWouldSay) {
    expectError(callManager("Plan", std::string("no-such-capsule"), std::string("process:1"), Names{}, Values{}), "NotFound",
                {"no-such-capsule"});
}

TEST_F(BusTest, WithoutARightNothingRuns) {
    const std::string refused =
        as(kNobody, [](sdbus::IConnection& own) { return outcomeOf([&] { run(own, "no-such-capsule", "process:1"); }); });
    EXPECT_EQ(refused.substr(0, refused.find(": ")), "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired") << refused;
    EXPECT_NE(refused.find("org.recap1.run"), std::string::npos) << refused;
    for (const char* method : {"RemoveCapsule", "RemoveImage"}) {
        const std::string managing = as(kNobody, [&](sdbus::IConnection& own) {
            return outcomeOf([&] { manager(own)->callMethod(method).onInterface(kManager).withArguments(std::string("x"), Values{}); });
        });
        EXPECT_EQ(managing.substr(0, managing.find(": ")), "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired") << managing;
    }
}

TEST_F(BusTest, ARuleDecidesByTheDetails) {
    const auto ask = [](const std::string& capsule, const std::string& target) {
        return as(kOperator, [&](sdbus::IConnection& own) { return outcomeOf([&] { run(own, capsule, target); }); });
    };
    EXPECT_EQ(ask("allowed-capsule", "process:1"), "ok");
    const std::string capsule = ask("other-capsule", "process:1");
    EXPECT_EQ(capsule.substr(0, capsule.find(": ")), "org.recap1.Error.AccessDenied") << capsule;
    const std::string backend = ask("allowed-capsule", "elsewhere:1");
    EXPECT_EQ(backend.substr(0, backend.find(": ")), "org.recap1.Error.AccessDenied") << backend;
}

TEST_F(BusTest, ARunsDetailsAreForWhoStartedItAndForRoot) {
    const std::string own = as(kOperator, [](sdbus::IConnection& connection) {
        std::string path;
        const auto outcome = outcomeOf([&] {
            path = run(connection, "allowed-capsule", "process:1");
            Values details;
            object(connection, path)
                ->callMethod("GetDetails")
                .onInterface("org.recap1.Run")
                .withArguments(Values{})
                .storeResultsTo(details);
            if (details.at("args").get<Names>() != Names{"argument"} || details.at("caller").get<std::uint32_t>() != kOperator)
                throw sdbus::Error("test", "wrong details");
        });
        return outcome == "ok" ? path : outcome;
    });
    ASSERT_EQ(own.substr(0, 16), "/org/recap1/run/") << own;
    EXPECT_EQ(call(own, "org.recap1.Run", "GetDetails", Values{}), "ok");
    for (const char* method : {"GetDetails", "OpenOutput", "ListArtifacts"}) {
        const std::string other = as(kNobody, [&](sdbus::IConnection& connection) {
            return outcomeOf([&] { object(connection, own)->callMethod(method).onInterface("org.recap1.Run").withArguments(Values{}); });
        });
        EXPECT_EQ(other.substr(0, other.find(": ")), "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired") << other;
        EXPECT_NE(other.find("org.recap1.read-output"), std::string::npos) << other;
    }
    // Properties hold nothing of that, and anybody reads them.
    const std::string seen = as(kNobody, [&](sdbus::IConnection& connection) {
        std::string names;
        auto proxy = object(connection, own);
        Values all;
        proxy->callMethod("GetAll")
            .onInterface("org.freedesktop.DBus.Properties")
            .withArguments(std::string("org.recap1.Run"))
            .storeResultsTo(all);
        for (const auto& [name, value] : all) names += name + " ";
        return names;
    });
    EXPECT_EQ(seen, "Capsule Escape ExitCode Id Outcome Phases State Target ");
}

TEST_F(BusTest, DoctorLooksAtItsParts) {
    Rows rows;
    manager(*bus)->callMethod("Doctor").onInterface(kManager).withArguments(Values{}).storeResultsTo(rows);
    std::map<std::string, std::string> status;
    for (auto& row : rows) status[row.at("check").get<std::string>()] = row.at("status").get<std::string>();
    EXPECT_EQ(status["launcher"], "ok");
    EXPECT_EQ(status["backend process"], "ok");
    EXPECT_EQ(status["pidfd"], "ok");
}

}  // namespace
