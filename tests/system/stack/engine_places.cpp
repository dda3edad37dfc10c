// SPDX-License-Identifier: Apache-2.0
#include "tests/system/stack/engine_places.hpp"

#include <unistd.h>

namespace recap::test {

namespace fs = std::filesystem;
using ::testing::IsEmpty;

std::unique_ptr<TempDir> EngineCases::files_;
std::map<std::string, pid_t> EngineCases::pids_;

void EngineCases::SetUpTestSuite() {
    startEngines(true);
    files_ = std::make_unique<TempDir>("recap-places", "/var/lib");
    fs::create_directory(file("data"));
    fs::copy_file("/usr/bin/busybox", file("data/busybox"));
    writeFile(file("resolv.conf"), "nameserver 127.0.0.1\n");
    writeFile(file("hosts"), "127.0.0.1 localhost web.internal\n");
    Rootfs web{file("web")}, scratch{file("scratch")};
    fillNginx(web);
    fillScratch(scratch);
    for (Rootfs* root : {&web, &scratch}) root->folder("/data");
    makeImage("recap-web:1", web.path(), R"(["/usr/sbin/nginx", "-c", "/etc/nginx/nginx.conf"])");
    makeImage("recap-scratch:1", scratch.path(), R"(["/app", "tick"])");
    web.text("/usr/share/nginx/html/upload.bin", kEicar);
    makeImage("recap-infected:1", web.path(), R"(["/usr/sbin/nginx", "-c", "/etc/nginx/nginx.conf"])");
    for (const Place& place : kPlaces) {
        const std::string name = std::string("at-") + place.name;
        pids_[name] = start(place, name, "recap-web:1", file("data"));
    }
}

void EngineCases::TearDownTestSuite() {
    endEngines();
    files_.reset();
}

void EngineCases::SetUp() {
    const auto serves = [this] {
        try {
            return httpGet(pid(), 8080, "/").status == 200;
        } catch (const std::runtime_error&) {
            return false;
        }
    };
    ASSERT_TRUE(waitUntil(serves, Deadline{kPatience})) << log();
    startTime_ = processOf(pid())->startTime;
    outside_ = std::make_unique<Outside>(Stack::get().outside({pid()}));
    before_ = outside_->look();
}

void EngineCases::TearDown() {
    EXPECT_THAT(left(), IsEmpty());
    const auto process = processOf(pid());
    ASSERT_TRUE(process);
    EXPECT_EQ(process->startTime, startTime_);
    EXPECT_EQ(statusOf(pid()).at("TracerPid"), "0");
    EXPECT_EQ(httpGet(pid(), 8080, "/").status, 200);
}

void EngineCases::makeImage(const std::string& image, const fs::path& root, const std::string& command) {
    const TempDir folder;
    const std::string tar = (folder.path() / "root.tar").string();
    mustRun({"tar", "-C", root.string(), "-cf", tar, "."});
    docker_->docker({"import", "--change", "CMD " + command, "--change", "USER 101:101", tar, image});
    importToContainerd(image);
}

pid_t EngineCases::start(const Place& place, const std::string& name, const std::string& image, const fs::path& data) {
    const pid_t pid = place.docker ? startInDocker(place, name, image, data) : startInContainerd(place, name, image, data);
    EXPECT_TRUE(waitUntil([&] { return !row(name).is_null(); }, Deadline{kPatience})) << name << Stack::get().ctl({"backends"}).out;
    return pid;
}

pid_t EngineCases::startInDocker(const Place& place, const std::string& name, const std::string& image, const fs::path& data) {
    std::vector<std::string> verb{"run",
                                  "--detach",
                                  "--network=none",
                                  "--name=" + name,
                                  "--tmpfs=/run:mode=1777",
                                  "--tmpfs=/tmp:mode=1777",
                                  "--volume=" + data.string() + ":/data",
                                  "--dns=127.0.0.1",
                                  "--add-host=web.internal:127.0.0.1",
                                  "--memory=" + std::to_string(kMemory)};
    if (!place.remapped) verb.emplace_back("--userns=host");
    if (place.hardened) verb.insert(verb.end(), {"--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"});
    verb.push_back(image);
    docker_->docker(verb);
    return docker_->pidOf(name);
}

pid_t EngineCases::startInContainerd(const Place& place, const std::string& name, const std::string& image, const fs::path& data) {
    const auto bind = [](const fs::path& source, const std::string& path) {
        return "type=bind,src=" + source.string() + ",dst=" + path + ",options=rbind:rw";
    };
    const fs::path pidFile = file(name + ".pid");
    std::vector<std::string> options{
        "--memory-limit", std::to_string(kMemory), "--pid-file", pidFile.string(), "--log-uri", "file://" + file(name + ".log").string()};
    for (const std::string& mount :
         {bind(data, "/data"), bind(file("resolv.conf"), "/etc/resolv.conf"), bind(file("hosts"), "/etc/hosts"),
          std::string("type=tmpfs,src=tmpfs,dst=/run,options=mode=1777"), std::string("type=tmpfs,src=tmpfs,dst=/tmp,options=mode=1777"),
          std::string("type=cgroup,src=cgroup,dst=/sys/fs/cgroup,options=ro:nosuid:nodev:noexec")})
        options.insert(options.end(), {"--mount", mount});
    const std::string map = "0:" + std::to_string(Dockerd::kRemapped) + ":65536";
    if (place.remapped) options.insert(options.end(), {"--uidmap", map, "--gidmap", map});
    if (!place.hardened) options.emplace_back("--allow-new-privs");
    if (place.hardened) options.emplace_back("--read-only");
    if (place.hardened)
        for (const auto& word : withoutCapabilities()) options.push_back(word);
    runInContainerd(name, image, options);
    return std::stoi(readFile(pidFile));
}

void EngineCases::end(const Place& place, const std::string& name) {
    if (place.docker)
        docker_->remove(name);
    else
        endInContainerd(name);
}

std::string EngineCases::insideOf(const Place& place, const std::string& name, const std::vector<std::string>& argv) {
    static int count = 0;
    std::vector<std::string> verb{"exec", name};
    if (!place.docker) verb = {"tasks", "exec", "--user", "101:101", "--exec-id", "look-" + std::to_string(++count), name};
    verb.insert(verb.end(), argv.begin(), argv.end());
    const auto said = place.docker ? docker_->docker(verb) : ctr(verb);
    EXPECT_TRUE(said.ok()) << said.all();
    return said.out;
}

std::string EngineCases::log() const { return place().docker ? docker_->docker({"logs", name()}).all() : readFile(file(name() + ".log")); }

}  // namespace recap::test
