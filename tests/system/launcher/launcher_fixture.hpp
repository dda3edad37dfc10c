// SPDX-License-Identifier: Apache-2.0
// One launcher and one nginx microcontainer for all tests of a suite; after each test, nothing may differ from before it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "tests/support/micro_container.hpp"
#include "tests/support/outside.hpp"
#include "tests/support/proc.hpp"
#include "tests/system/launcher/launcher_client.hpp"

namespace recap::test {

class LauncherTest : public ::testing::Test {
protected:
    static void SetUpTestSuite() {
        nginx_ = std::make_unique<MicroContainer>();
        launcher_ = std::make_unique<OwnLauncher>();
    }
    static void TearDownTestSuite() {
        launcher_.reset();
        nginx_.reset();
    }

    void SetUp() override {
        client_ = std::make_unique<LauncherClient>(launcher_->socket());
        ASSERT_TRUE(client_->ask<launcher::Hello>(launcher::Verb::Hello, launcher::Hello{}));
        outside_ = std::make_unique<Outside>(OutsideScope{.targets = {nginx_->pid()},
                                                          .daemons = {launcher_->pid()},
                                                          .cgroupRoots = launcher_->cgroupRoots(),
                                                          .folders = {launcher_->store()},
                                                          .contents = {nginx_->rootfs()}});
        before_ = outside_->look();
        launcher_->journal();
    }
    void TearDown() override {
        if (HasFailure()) endAll();
        EXPECT_THAT(leftAfter(*outside_, before_), ::testing::IsEmpty()) << launcher_->output();
    }
    // A failed test's own runs must not fail the next ones.
    void endAll() {
        client_ = std::make_unique<LauncherClient>(launcher_->socket());
        const auto all = client_->ask<launcher::RunList>(launcher::Verb::List, launcher::RunRef{});
        for (const auto& run : all ? all->runs : std::vector<launcher::RunState>{}) {
            const launcher::RunRef one{run.report.runId};
            static_cast<void>(client_->ask<launcher::Empty>(launcher::Verb::Stop, launcher::StopRequest{one.runId, 1000}));
            waitUntil([&] { return client_->ask<launcher::Empty>(launcher::Verb::Ack, one).has_value(); },
                      Deadline{std::chrono::seconds(3)});
        }
    }

    launcher::Plan plan(std::vector<std::string> words) { return planFor(*client_, *launcher_, nginx_->pid(), std::move(words)); }
    Finished run(const launcher::Plan& plan) { return runPlan(*client_, plan, nginx_->pid()); }
    Finished payload(std::vector<std::string> words) { return run(plan(std::move(words))); }

    // Asks for START and expects to be refused with this class and these words, with nothing having happened.
    void expectRefused(const launcher::Plan& plan, Errc code, const std::string& words) { expectRefused(plan, nginx_->pid(), code, words); }
    void expectRefused(const launcher::Plan& plan, pid_t target, Errc code, const std::string& words) {
        const auto started = startPlan(*client_, plan, target);
        ASSERT_FALSE(started) << "was not refused";
        EXPECT_EQ(name(started.error().code), name(code)) << started.error().message;
        EXPECT_THAT(started.error().message, ::testing::HasSubstr(words));
        EXPECT_THAT(differences(before_, outside_->look()), ::testing::IsEmpty());
    }

    static std::unique_ptr<MicroContainer> nginx_;
    static std::unique_ptr<OwnLauncher> launcher_;
    std::unique_ptr<LauncherClient> client_;
    std::unique_ptr<Outside> outside_;
    Picture before_;
};

inline std::unique_ptr<MicroContainer> LauncherTest::nginx_;
inline std::unique_ptr<OwnLauncher> LauncherTest::launcher_;

// The payload's own "name: value" lines.
inline std::map<std::string, std::string> values(const std::string& text) {
    std::map<std::string, std::string> found;
    for (const std::string& line : lines(text)) {
        const auto colon = line.rfind(": ");
        if (colon != std::string::npos) found[line.substr(0, colon)] = line.substr(colon + 2);
    }
    return found;
}

// The run's payload, from outside: the process in the launcher's cgroups that executes the test payload.
inline pid_t payloadOf(const std::string& runId) {
    for (const Process& process : allProcesses())
        if (process.cgroups.find(runId) != std::string::npos && process.name == "payload") return process.pid;
    return 0;
}

}  // namespace recap::test
