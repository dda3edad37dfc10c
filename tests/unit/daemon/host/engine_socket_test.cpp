// SPDX-License-Identifier: Apache-2.0
// Engines that are not there yet.
#include <fstream>

#include "tests/unit/daemon/host/hosts.hpp"

namespace recap::host {
namespace {

TEST_F(Hosts, AnEngineThatIsNotInstalledHasNoHost) {
    listen();
    const auto engine = folder_ / "engine/run/docker.sock";
    start({"docker", "docker", {}, {{"endpoint", {"unix://" + engine.string()}}}});
    EXPECT_EQ(sink_.last.state, BackendState::Waiting);
    EXPECT_EQ(sink_.last.detail, "no socket at " + engine.string());
    Error error;
    hosts_->find({"docker", "web"}, [&](const Result<void>& found) { error = found.error(); });
    EXPECT_EQ(error.code, Errc::Unavailable);
    EXPECT_THAT(error.message, HasSubstr("no socket at " + engine.string()));
    std::filesystem::create_directory(folder_ / "engine");
    std::filesystem::create_directory(folder_ / "engine/run");
    for (int i = 0; i < 20; ++i) sd_event_run(loop_.get(), 1000);
    EXPECT_FALSE(readable(listener_.get())) << "there are folders only";
    std::filesystem::remove_all(folder_ / "engine");
    for (int i = 0; i < 20; ++i) sd_event_run(loop_.get(), 1000);
    std::filesystem::create_directories(folder_ / "engine/run");
    for (int i = 0; i < 20; ++i) sd_event_run(loop_.get(), 1000);
    std::ofstream(engine).close();  // any file will do: what it is worth the host finds out
    accept();
    send(Hello{"docker", "1"});
    snapshot({record("a")});
    EXPECT_THAT(sink_.ids(), ElementsAre("a"));
}

TEST_F(Hosts, AnEngineWithoutASocketOfItsOwnIsNotWaitedFor) {
    for (const char* endpoint : {"tcp://127.0.0.1:1", "unix://", "unix://relative"}) {
        listen();
        start({"docker", "docker", {}, {{"endpoint", {endpoint}}}});
        accept();
    }
}

}  // namespace
}  // namespace recap::host
