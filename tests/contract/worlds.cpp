// SPDX-License-Identifier: Apache-2.0
#include "tests/contract/world.hpp"
#include "tests/support/command.hpp"
#include "tests/support/environment.hpp"
#include "tests/support/files.hpp"
#include "tests/support/micro_container.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;

fs::path buildDir() { return variable("RECAP_BUILD_DIR", "ctest"); }

class DemoWorld : public World {
public:
    std::string plugin() const override { return "demo"; }
    fs::path pluginsDir() const override { return buildDir() / "tests/plugins"; }
    std::string settings() const override { return "folder = \"" + folder_.path().string() + "\"\ninterval = \"50ms\"\n"; }
    pid_t start(const std::string& name, const std::map<std::string, std::string>& labels) override {
        auto child = std::make_unique<Child>(Command{.argv = {"sleep", "86400"}});
        std::string text = std::to_string(child->pid()) + " demo/image";
        for (const auto& [key, value] : labels) text += " " + key + "=" + value;
        writeFile(folder_.path() / ("." + name), text);
        fs::rename(folder_.path() / ("." + name), folder_.path() / name);
        const pid_t pid = child->pid();
        running_[name] = std::move(child);
        return pid;
    }
    void end(const std::string& name) override {
        fs::remove(folder_.path() / name);
        running_.erase(name);
    }

private:
    TempDir folder_{"recap-demo"};
    std::map<std::string, std::unique_ptr<Child>> running_;
};

class ProcessWorld : public World {
public:
    explicit ProcessWorld(std::string runtime) : runtime_(std::move(runtime)) {}
    std::string plugin() const override { return "process"; }
    fs::path pluginsDir() const override { return buildDir() / "lib/recap/plugins"; }
    std::string settings() const override { return "roots = [\"" + (folder_.path() / "sta*").string() + "\"]\n"; }
    std::vector<std::string> asItsUser() const override { return asRecapProcess(); }
    pid_t start(const std::string& name, const std::map<std::string, std::string>& labels) override {
        ContainerOptions options;
        options.name = name;
        options.kind = "busybox";
        options.argv = {"/bin/sleep", "86400"};
        options.labels = labels;
        options.runtime = runtime_;
        options.runtimeRoot = folder_.path() / "state";
        auto container = std::make_unique<MicroContainer>(options, folder_.path());
        const pid_t pid = container->pid();
        running_[name] = std::move(container);
        return pid;
    }
    void end(const std::string& name) override { running_.erase(name); }

private:
    std::string runtime_;
    TempDir folder_{"recap-process"};
    std::map<std::string, std::unique_ptr<MicroContainer>> running_;
};

}  // namespace

std::vector<std::string> asRecapProcess() {
    return {"setpriv",
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "--no-new-privs",
            "--inh-caps",
            "-all,+dac_read_search",
            "--ambient-caps",
            "-all,+dac_read_search",
            "--bounding-set",
            "-all,+dac_read_search"};
}

std::unique_ptr<World> makeDemoWorld() { return std::make_unique<DemoWorld>(); }
std::unique_ptr<World> makeProcessWorld(const std::string& runtime) { return std::make_unique<ProcessWorld>(runtime); }

}  // namespace recap::test
