// SPDX-License-Identifier: Apache-2.0
// One launcher and one nginx microcontainer for all tests of a suite; after each test, nothing may differ from before it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <stdexcept>

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
        before_ = lookWhenQuiet(*outside_);
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

    // Starts, and waits until the payload has said its word: from then on it does what it is there to do.
    std::string startAndHear(const launcher::Plan& asked, pid_t target, const std::string& word) {
        auto log = startPlan(*client_, asked, target);
        if (!log) throw std::runtime_error("START: " + log.error().message);
        log_ = std::move(*log);
        const auto heard = [&] { return said().find(word) != std::string::npos; };
        EXPECT_TRUE(waitUntil(heard, Deadline{kPatience})) << "payload said '" << said() << "', not '" << word << "'";
        client_->waitFor(asked.runId, launcher::RunPhase::Executing);  // the launcher may hear of it after us
        return asked.runId;
    }
    std::string said() const {
        char bytes[4096];
        const ssize_t got = ::pread(log_.get(), bytes, sizeof bytes, 0);
        std::string out, err;
        demultiplex(std::string(bytes, got > 0 ? static_cast<std::size_t>(got) : 0), out, err);
        return out;
    }
    launcher::Report endOf(const std::string& runId) {
        const launcher::Report report = finish(*client_, runId, log_.get()).report;
        EXPECT_THAT(report.left, ::testing::IsEmpty());
        EXPECT_TRUE(client_->ask<launcher::Empty>(launcher::Verb::Ack, launcher::RunRef{runId}));
        return report;
    }

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
    UniqueFd log_;  // of the run that was started last
};

inline std::unique_ptr<MicroContainer> LauncherTest::nginx_;
inline std::unique_ptr<OwnLauncher> LauncherTest::launcher_;

// A timeout that a payload's first words come before; where the machine is emulated they take longer.
inline std::uint64_t shortly() { return std::getenv("RECAP_TEST_EMULATED") != nullptr ? 5'000'000 : 300'000; }

// The processes of the container as its own /proc numbers them, from outside.
inline std::vector<std::string> ownNumbers(pid_t target) {
    std::vector<std::string> numbers;
    for (const Process& process : allProcesses()) {
        if (namespaceOf(process.pid, "pid") != namespaceOf(target, "pid")) continue;
        const std::string all = statusOf(process.pid).at("NSpid");
        numbers.push_back(all.substr(all.rfind('\t') + 1));
    }
    return numbers;
}

// The run's payload, from outside: the process in the launcher's cgroups that executes the test payload.
inline pid_t payloadOf(const std::string& runId) {
    for (const Process& process : allProcesses())
        if (process.cgroups.find(runId) != std::string::npos && process.name == "payload") return process.pid;
    return 0;
}

}  // namespace recap::test
