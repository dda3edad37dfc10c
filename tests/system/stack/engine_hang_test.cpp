// SPDX-License-Identifier: Apache-2.0
// An engine that takes connections and says nothing: nobody but its own backend waits for it.
#include "tests/support/engines/fake_docker.hpp"
#include "tests/system/stack/engines_fixture.hpp"

namespace recap::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// Nothing that the docker backend waits for is given up sooner than this: what waits for the engine takes at least as long.
constexpr std::chrono::milliseconds kShortestWait{2500};

class EngineHang : public StackTest {
protected:
    static void SetUpTestSuite() {
        StackTest::SetUpTestSuite();
        folder_ = std::make_unique<TempDir>("recap-hang", "/var/lib");  // a host of plugins has a /tmp of its own
        engine_ = std::make_unique<FakeDocker>(folder_->path() / "docker.sock");
        ASSERT_EQ(::chmod((folder_->path() / "docker.sock").c_str(), 0666), 0);
        DropIn::set("[plugins.docker]\nendpoint = \"unix://" + (folder_->path() / "docker.sock").string() + "\"\n");
    }
    static void TearDownTestSuite() {
        engine_.reset();
        folder_.reset();
        DropIn::remove();
        StackTest::TearDownTestSuite();
    }
    // A process that this engine says is a container of its own: the cgroup bears its id.
    static std::unique_ptr<MicroContainer> app(unsigned number, const std::string& name) {
        auto made = std::make_unique<MicroContainer>(ContainerOptions{.name = fakeId(number), .kind = "busybox"});
        engine_->put({.id = fakeId(number), .name = name, .pid = made->pid()});
        return made;
    }
    static json backend() {
        const json listed = Stack::get().ctlJson({"backends"});
        for (const auto& one : listed.at("backends"))
            if (one.at("name") == "docker") return one;
        return nullptr;
    }
    static json target(const std::string& name) {
        const json listed = Stack::get().ctlJson({"targets"});
        for (const auto& one : listed.at("targets"))
            if (one.at("name") == name) return one;
        return nullptr;
    }
    static bool becomes(const char* state) {
        return waitUntil([&] { return backend().value("state", "") == state; }, Deadline{kPatience});
    }
    static void expectRun(const std::string& target) {
        const auto start = std::chrono::steady_clock::now();
        const json report = Stack::get().run("t-payload", target, {"exit"});
        EXPECT_LT(std::chrono::steady_clock::now() - start, kShortestWait) << target;
        EXPECT_EQ(report.at("outcome"), "succeeded") << target << report.dump(2);
        expectClean(report);
    }

    static std::unique_ptr<TempDir> folder_;
    static std::unique_ptr<FakeDocker> engine_;
};
std::unique_ptr<TempDir> EngineHang::folder_;
std::unique_ptr<FakeDocker> EngineHang::engine_;

TEST_F(EngineHang, HoldsUpNoRunIsToldAndComesBack) {
    const auto web = app(1, "h-web");
    ASSERT_TRUE(engine_->waitForStreams(1));
    engine_->event("start", fakeId(1));
    ASSERT_TRUE(waitUntil([] { return !target("h-web").is_null(); }, Deadline{kPatience})) << backend().dump(2);
    engine_->hang();
    engine_->endStreams();
    const auto late = app(2, "h-late");
    for (int i = 0; i < 3; ++i)  // from before anybody knows of it until after it was given up
        for (const auto& known : {targetOf(*nginx_), std::string("docker:h-web"), std::string("h-web")}) expectRun(known);
    // A name that only the engine could know is refused, and others go on meanwhile.
    Child asking(Command{.argv = {"recapctl", "run", "t-payload", "docker:h-late", "--", "exit"}});
    expectRun(targetOf(*nginx_));
    const CommandResult asked = asking.wait(Deadline{kPatience});
    EXPECT_EQ(asked.status, 125) << asked.all();
    EXPECT_THAT(asked.err, HasSubstr("backend 'docker' is unavailable")) << asked.all();
    const auto isTold = [] {  // first that the stream has ended, then that nothing is said on a new connection
        const json row = backend();
        return row.at("state") == "unavailable" && row.at("detail").get<std::string>().find("answer") != std::string::npos;
    };
    ASSERT_TRUE(waitUntil(isTold, Deadline{kPatience})) << backend().dump(2);
    EXPECT_EQ(target("h-web").at("stale"), true) << "it stays, and is marked";
    expectRun("docker:h-web");
    expectRun(targetOf(*nginx_));
    engine_->goOn();
    ASSERT_TRUE(becomes("ready")) << backend().dump(2);
    ASSERT_TRUE(waitUntil([] { return !target("h-late").is_null() && target("h-web").at("stale") == false; }, Deadline{kPatience}));
    expectRun("docker:h-late");
}

}  // namespace
}  // namespace recap::test
