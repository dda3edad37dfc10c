// SPDX-License-Identifier: Apache-2.0
// What it costs to know of many containers.
#include <malloc.h>

#include "targets.hpp"

namespace recap::test {
namespace {

struct ManyTargets : TargetsTest {
    ManyTargets() {
        for (int i = 0; i < 1000; ++i) children.push_back(std::make_unique<Child>());
    }
    // What a target costs, with the facts of its namespaces.
    std::size_t bytesOf(const std::function<void(const std::string& number, pid_t pid)>& tell) {
        const std::size_t before = ::mallinfo2().uordblks;
        for (int i = 0; i < 1000; ++i) {
            const pid_t pid = children[static_cast<std::size_t>(i)]->pid();
            tell(std::to_string(1000 + i), pid);
            for (auto& answer : std::exchange(launcher.inspects, {})) answer(factsOf(pid));
        }
        const std::size_t bytes = (::mallinfo2().uordblks - before) / 1000;
        std::printf("%zu bytes a container\n", bytes);
        EXPECT_EQ(table.list().size(), 1000u);
        EXPECT_TRUE(table.list().back()->facts);
        EXPECT_GT(bytes, 500u);
        return bytes;
    }
    std::vector<std::unique_ptr<Child>> children;
    static Target composed(const std::string& number, pid_t pid) {
        Target made = target("docker", std::string(60, 'a') + number, "shop-web-" + number, pid);
        made.image = "registry.example/shop/web:2026.11";
        made.runtime = "runc";
        made.cgroup = "/system.slice/docker-" + made.id.id + ".scope";
        made.cgroup.clear();  // this process is in none of that name
        made.aliases = {"shop/web", "shop/web/" + number};
        made.details = {{"health", "healthy"}, {"restarts", "0"}, {"user-namespace", "host"}};
        made.labels = {{"com.docker.compose.config-hash", std::string(64, 'c')},
                       {"com.docker.compose.container-number", number},
                       {"com.docker.compose.depends_on", "db:service_started:false"},
                       {"com.docker.compose.image", "sha256:" + std::string(64, 'd')},
                       {"com.docker.compose.oneoff", "False"},
                       {"com.docker.compose.project", "shop"},
                       {"com.docker.compose.project.config_files", "/srv/shop/compose.yaml"},
                       {"com.docker.compose.project.working_dir", "/srv/shop"},
                       {"com.docker.compose.service", "web"},
                       {"com.docker.compose.version", "2.29.7"},
                       {"maintainer", "NGINX Docker Maintainers <docker-maint@nginx.com>"},
                       {"org.opencontainers.image.version", "24.04"}};
        return made;
    }
};

// Each as a compose project's container is told: 64 digits of id, a dozen labels.
TEST_F(ManyTargets, AThousandTakeLessThanThreeMegabytes) {
    EXPECT_LT(bytesOf([&](const std::string& number, pid_t pid) { table.added(composed(number, pid)); }), 3000u);
}

// As where docker, its containerd and process all tell of each.
TEST_F(ManyTargets, AThousandThatThreeBackendsTellOfTakeLessThanThreeMegabytes) {
    const auto bytes = bytesOf([&](const std::string& number, pid_t pid) {
        const Target told = composed(number, pid);
        table.added(told);
        Target moby = target("containerd", "moby/" + told.id.id, "", pid);
        moby.runtime = "io.containerd.runc.v2";
        moby.labels = {{"com.docker/engine.bundle.path", "/var/run/docker/containerd/" + told.id.id}};
        table.added(std::move(moby));
        Target found = target("process", std::to_string(pid), told.id.id, pid);
        found.runtime = "runc";
        table.added(std::move(found));
    });
    EXPECT_LT(bytes, 3000u);
}

}  // namespace
}  // namespace recap::test
