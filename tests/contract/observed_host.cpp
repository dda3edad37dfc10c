// SPDX-License-Identifier: Apache-2.0
#include "tests/contract/observed_host.hpp"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stdexcept>

#include "tests/support/environment.hpp"
#include "tests/support/wait.hpp"

namespace recap::test {

ObservedHost::ObservedHost(const World& world, const std::string& moreSettings) : world_(world) {
    std::filesystem::create_directories(folder_.path() / "etc");
    std::filesystem::create_directories(folder_.path() / "sockets");
    ::chmod((folder_.path() / "sockets").c_str(), 0777);
    const auto toml = folder_.path() / "etc/recapd.toml";
    writeFile(toml, "[plugins.world]\nplugin = \"" + world.plugin() + "\"\n" + world.settings() + moreSettings);
    ::chmod(toml.c_str(), 0644);
    sd_event* loop = nullptr;
    if (sd_event_new(&loop) < 0) throw std::runtime_error("no event loop");
    loop_.reset(loop);
    startHost();
    host::HostTimes times;
    times.firstRetry = 5'000;
    times.longestRetry = 50'000;
    hosts_ = std::make_unique<host::PluginHosts>(loop_.get(), (folder_.path() / "sockets").string(), *this, times);
    hosts_->configure({{"world", world.plugin(), {}}});
}

ObservedHost::~ObservedHost() { hosts_.reset(); }

void ObservedHost::startHost() {
    auto argv = world_.asItsUser();
    const std::string folder = folder_.path().string();
    for (const auto& word : {(binDir() / "recap-plugin-host").string(), std::string("world"), "--socket=" + folder + "/sockets/world",
                             "--plugins-dir=" + world_.pluginsDir().string(), "--vendor-dir=" + folder + "/none",
                             "--runtime-dir=" + folder + "/none", "--config-dir=" + folder + "/etc"})
        argv.push_back(word);
    program_ = std::make_unique<Child>(Command{.argv = argv});
}

void ObservedHost::killHost() {
    program_->signal(SIGKILL);
    program_->wait(Deadline(kPatience));
    program_.reset();
}

bool ObservedHost::until(const std::function<bool()>& done) {
    const Deadline deadline(kPatience);
    while (!done() && !deadline.passed()) sd_event_run(loop_.get(), 20'000);
    return done();
}

bool ObservedHost::untilReady() {
    return until([&] { return status_.state == BackendState::Ready; });
}

std::vector<const Target*> ObservedHost::allNamed(const std::string& name) const {
    std::vector<const Target*> all;
    for (const auto& [id, target] : targets_) {
        if (target.name == name) all.push_back(&target);
    }
    return all;
}

const Target* ObservedHost::named(const std::string& name) const {
    const auto all = allNamed(name);
    return all.size() == 1 ? all.front() : nullptr;
}

bool ObservedHost::untilNamed(const std::string& name) {
    return until([&] { return named(name) != nullptr; });
}

bool ObservedHost::untilGone(const std::string& name) {
    return until([&] { return allNamed(name).empty(); });
}

Result<void> ObservedHost::find(const std::string& id) {
    std::optional<Result<void>> answer;
    hosts_->find({"world", id}, [&](Result<void> result) { answer = std::move(result); });
    if (!until([&] { return answer.has_value(); })) return fail(Errc::Timeout, "no answer");
    return *answer;
}

void ObservedHost::snapshot(const std::string&, std::vector<Target> targets) {
    targets_.clear();
    for (auto& target : targets) targets_[target.id.id] = std::move(target);
}
void ObservedHost::added(Target target) { targets_[target.id.id] = std::move(target); }
void ObservedHost::removed(const TargetId& id) { targets_.erase(id.id); }
void ObservedHost::state(BackendStatus status) { status_ = std::move(status); }

}  // namespace recap::test
