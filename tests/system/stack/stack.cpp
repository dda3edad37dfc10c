// SPDX-License-Identifier: Apache-2.0
#include "tests/system/stack/stack.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <stdexcept>

#include "tests/support/environment.hpp"

namespace recap::test {

namespace fs = std::filesystem;
using nlohmann::json;

Stack& Stack::get() {
    static Stack stack;  // the stack belongs to the program's environment, not to a test
    variable("RECAP_STACK", "tests/support/with-stack");
    return stack;
}

fs::path Stack::folder(const char* name) const { return variable(name, "tests/support/with-stack"); }

pid_t Stack::pid(const std::string& unit) const {
    const std::filesystem::path file = folder("RECAP_PIDS") / unit;
    const std::string text = std::filesystem::exists(file) ? readFile(file) : "";
    return text.empty() ? 0 : std::stoi(text);
}

std::string Stack::logs() const {
    std::string all;
    for (const auto& entry : fs::directory_iterator(folder("RECAP_LOGS")))
        if (entry.path().extension() == ".log" && entry.path().stem() != "install")
            all += "--- " + entry.path().filename().string() + "\n" + readFile(entry.path());
    return all;
}

CommandResult Stack::ctl(std::vector<std::string> arguments, std::optional<std::uint32_t> uid) const {
    arguments.insert(arguments.begin(), "recapctl");
    return test::run(Command{.argv = std::move(arguments), .uid = uid});
}

CommandResult Stack::reload() const {
    return test::run({"busctl", "--address=" + variable("DBUS_SYSTEM_BUS_ADDRESS", "dev with"), "call", "org.recap1", "/org/recap1",
                      "org.recap1.Manager", "Reload", "a{sv}", "0"});
}

json Stack::ctlJson(std::vector<std::string> arguments, std::optional<std::uint32_t> uid) const {
    arguments.insert(arguments.begin(), "--json");
    const CommandResult result = ctl(arguments, uid);
    try {
        return json::parse(result.out);
    } catch (const json::exception&) {
        std::string line = "recapctl";
        for (const auto& word : arguments) line += " " + word;
        throw std::runtime_error(line + " printed no JSON\n" + result.all() + logs());
    }
}

json Stack::run(const std::string& capsule, const std::string& target, const std::vector<std::string>& words) const {
    std::vector<std::string> arguments{"run", capsule, target, "--"};
    arguments.insert(arguments.end(), words.begin(), words.end());
    return ctlJson(std::move(arguments));
}

std::string Stack::startDetached(const std::string& capsule, const std::string& target, const std::vector<std::string>& words) const {
    std::vector<std::string> arguments{"run", "--detach", capsule, target, "--"};
    arguments.insert(arguments.end(), words.begin(), words.end());
    const json answer = ctlJson(std::move(arguments));
    if (!answer.contains("id")) throw std::runtime_error("recapctl run --detach: " + answer.dump());
    return answer.at("id");
}

json Stack::waitForEnd(const std::string& run) const {
    json details;
    const auto ended = [&] {
        details = ctlJson({"show", run});
        return details.value("state", "") == "finished";
    };
    if (!waitUntil(ended, Deadline{kPatience})) throw std::runtime_error("run " + run + " does not end: " + details.dump() + logs());
    return details;
}

bool Stack::waitForLog(const std::string& run, const std::string& text) const {
    Child logs{Command{.argv = {"recapctl", "logs", "--follow", run}}};
    return logs.waitForOutput(text, Deadline{kPatience});
}

void Stack::importImage(const std::string& reference, image::FileList files, bool admit, const std::string& architecture) {
    if (std::find(imported_.begin(), imported_.end(), reference) != imported_.end()) return;
    const TempDir folder{"recap-image"};
    image::ImageSpec spec;
    spec.layers = {std::move(files)};
    spec.config.architecture = architecture;
    spec.reference = reference;
    spec.compression = image::Compression::None;
    const std::string layout = (folder.path() / "layout").string();
    if (auto written = image::writeLayoutFolder(spec, layout); !written) throw std::runtime_error(written.error().message);
    std::vector<std::string> arguments{"image", "import", layout};
    if (!admit) arguments.push_back("--no-admit");
    if (const CommandResult result = ctl(arguments); !result.ok())
        throw std::runtime_error("import " + reference + ": " + result.all() + logs());
    imported_.push_back(reference);
}

void Stack::install(const std::string& toml) const {
    const TempDir folder;
    writeFile(folder.path() / "capsule.toml", toml);
    const CommandResult result = ctl({"capsule", "install", "--replace", (folder.path() / "capsule.toml").string()});
    if (!result.ok()) throw std::runtime_error("install a capsule: " + result.all() + toml);
}

Outside Stack::outside(std::vector<pid_t> targets, std::vector<fs::path> contents) const {
    OutsideScope scope{.targets = std::move(targets), .contents = std::move(contents)};
    scope.daemons = {pid("recap-launcher.service")};
    const fs::path unified = folder("RECAP_CGROUP_ROOT");
    const fs::path relative = unified.lexically_relative("/sys/fs/cgroup/unified");
    scope.cgroupRoots = {unified};
    if (relative.native().rfind("..", 0) != 0)
        for (const auto& hierarchy : fs::directory_iterator("/sys/fs/cgroup"))
            if (hierarchy.path() / relative != unified) scope.cgroupRoots.push_back(hierarchy.path() / relative);
    scope.folders = {folder("RECAP_STORE_DIR"), folder("RECAP_RUNTIME_DIR"), folder("RECAP_STATE_DIR") / "logs",
                     folder("RECAP_STATE_DIR") / "artifacts"};
    return Outside{std::move(scope)};
}

image::FileList filesOf(const fs::path& root) {
    image::FileList files;
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
        image::FileSpec file;
        struct stat what {};
        if (::lstat(entry.path().c_str(), &what) != 0) throw std::runtime_error("no " + entry.path().string());
        file.mode = what.st_mode & 0777;
        if (S_ISLNK(what.st_mode)) {
            file.kind = image::FileSpec::Kind::Symlink;
            file.link = fs::read_symlink(entry.path()).string();
        } else if (S_ISDIR(what.st_mode)) {
            file.kind = image::FileSpec::Kind::Directory;
        } else {
            file.source = entry.path().string();
        }
        files[entry.path().lexically_relative(root).string()] = std::move(file);
    }
    return files;
}

image::FileList payloadFiles() {
    image::FileList files;
    files["payload"].mode = 0755;
    files["payload"].source = (fs::path(RECAP_TEST_PROGRAMS) / "recap-test-payload").string();
    files["tmp"].kind = image::FileSpec::Kind::Directory;
    files["tmp"].mode = 0777;
    return files;
}

std::string manifestOf(const std::string& name, const std::string& image, const std::string& command, const std::string& rest) {
    return "manifest = 1\n[capsule]\nname = \"" + name + "\"\nversion = \"1.0.0\"\ndescription = \"a test\"\nimage = \"" + image +
           "\"\ncommand = " + command + "\n" + rest;
}

std::string targetOf(const MicroContainer& container) { return "process:" + std::to_string(container.pid()); }

}  // namespace recap::test
