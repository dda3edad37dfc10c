// SPDX-License-Identifier: Apache-2.0
// A Docker Engine and a containerd of the suite's own, as backends of the stack.
#pragma once

#include <sys/stat.h>

#include "tests/support/engines/dockerd.hpp"
#include "tests/support/engines/remains.hpp"
#include "tests/support/environment.hpp"
#include "tests/support/wait.hpp"
#include "tests/system/stack/stack_fixture.hpp"

namespace recap::test {

// Settings of the suite's own over the stack's, which recapd reads at once.
class DropIn {
public:
    static void set(const std::string& text) {
        std::filesystem::create_directories(path().parent_path());
        writeFile(path(), text);
        ASSERT_EQ(::chmod(path().c_str(), 0644), 0);
        const CommandResult reloaded = Stack::get().reload();
        ASSERT_TRUE(reloaded.ok()) << reloaded.all();
    }
    static void remove() { std::filesystem::remove(path()); }

private:
    static std::filesystem::path path() { return Stack::get().folder("RECAP_CONFIG_DIR") / "recapd.toml.d/50-engines.toml"; }
};

class EnginesTest : public StackTest {
protected:
    static constexpr const char* kNamespace = "recap-engines";  // containerd's

    static void startEngines(bool remapsUsers = false) {
        StackTest::SetUpTestSuite();
        docker_ = std::make_unique<Dockerd>("/var/lib", remapsUsers);  // a host of plugins has a /tmp of its own
        DropIn::set("[plugins.docker]\nendpoint = \"" + docker_->endpoint() + "\"\n[plugins.containerd]\nendpoint = \"unix://" +
                    docker_->containerdSocket().string() + "\"\n");
    }
    static void endEngines() {
        for (const auto& id : lines(ctr({"containers", "ls", "--quiet"}).out)) endInContainerd(id);
        const auto remains = docker_->stop();
        EXPECT_THAT(remains, ::testing::IsEmpty());
        docker_.reset();
        // containerd's own containers are in a cgroup of their namespace's name, which nobody removes.
        EXPECT_THAT(clearCgroups(kNamespace), ::testing::IsEmpty());
        DropIn::remove();
        StackTest::TearDownTestSuite();
    }

    static CommandResult ctr(std::vector<std::string> verb) {
        std::vector<std::string> argv{"ctr", "--address", docker_->containerdSocket().string(), "--namespace", kNamespace};
        argv.insert(argv.end(), verb.begin(), verb.end());
        return test::run(Command{.argv = argv});
    }
    static void importToContainerd(const std::string& image) {
        const TempDir folder;
        docker_->docker({"save", "--output", (folder.path() / "app.tar").string(), image});
        EXPECT_TRUE(ctr({"images", "import", (folder.path() / "app.tar").string()}).ok());
    }
    // `options` are ctr run's.
    static void runInContainerd(const std::string& id, const std::string& image, const std::vector<std::string>& options,
                                const std::vector<std::string>& command = {}) {
        std::vector<std::string> verb{"run", "--detach"};
        verb.insert(verb.end(), options.begin(), options.end());
        verb.push_back("docker.io/library/" + image);
        verb.push_back(id);
        verb.insert(verb.end(), command.begin(), command.end());
        const auto started = ctr(verb);
        EXPECT_TRUE(started.ok()) << started.all();
    }
    static void endInContainerd(const std::string& id) {
        ctr({"tasks", "rm", "--force", id});
        ctr({"containers", "rm", id});
    }
    static std::vector<std::string> withoutCapabilities() {
        std::vector<std::string> words;
        for (const char* capability : {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE",
                                       "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"})
            for (const std::string& word : {std::string("--cap-drop"), std::string("CAP_") + capability}) words.push_back(word);
        return words;
    }

    // The row of `recapctl targets` with this name; null: none, or more than one.
    static nlohmann::json row(const std::string& name) {
        const nlohmann::json listed = Stack::get().ctlJson({"targets"});
        nlohmann::json found;
        for (const auto& one : listed.at("targets")) {
            if (one.at("name") != name) continue;
            if (!found.is_null()) return nullptr;
            found = one;
        }
        return found;
    }
    static void installTool(const std::string& name, const std::string& command, const std::string& sandbox,
                            const std::string& timeout = "30s", const std::string& image = "test/engine-tools:1") {
        Stack::get().install(
            manifestOf(name, image, command,
                       "[sandbox]\npolicy = \"trusted\"\nreason = \"a test\"\n" + sandbox + "\n[limits]\ntimeout = \"" + timeout + "\"\n"));
    }
    static std::unique_ptr<Dockerd> docker_;
};
inline std::unique_ptr<Dockerd> EnginesTest::docker_;

}  // namespace recap::test
