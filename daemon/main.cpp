// SPDX-License-Identifier: Apache-2.0
// recapd: builds the rooms in order on one sd-event loop. The only file that knows every room.
#include <getopt.h>
#include <signal.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-id128.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>

#include "daemon/bus/service.hpp"
#include "daemon/bus/signal_matches.hpp"
#include "daemon/core/host.hpp"
#include "daemon/core/image_store.hpp"
#include "daemon/core/settings.hpp"
#include "daemon/core/target_table.hpp"
#include "daemon/engine/engine.hpp"
#include "daemon/host/plugin_hosts.hpp"
#include "daemon/images/image_index.hpp"
#include "daemon/images/reference.hpp"
#include "daemon/launcher/client.hpp"
#include "daemon/plan/capsules.hpp"
#include "daemon/plan/planner.hpp"
#include "daemon/plan/policies.hpp"
#include "daemon/plan/settings.hpp"
#include "daemon/triggers/batches.hpp"
#include "daemon/triggers/enabled.hpp"
#include "daemon/triggers/event_journal.hpp"
#include "daemon/triggers/events.hpp"
#include "daemon/triggers/schedules.hpp"
#include "daemon/triggers/watches.hpp"
#include "sdk/manifest/files.hpp"

namespace recap {
namespace {

constexpr std::uint64_t kSettleUsec = 2'000'000;  // longest wait for launcher and plugin hosts before calls are taken

struct Arguments {
    Folders folders;
    std::string launcherSocket = "/run/recap/launcher.sock";
    std::string pluginSockets = "/run/recap/plugins";
    std::string systemd = "/run/systemd/system";
};

std::string rfc3339() {
    const std::time_t now = std::time(nullptr);
    std::tm utc{};
    ::gmtime_r(&now, &utc);
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return text;
}

std::string machineId() {
    sd_id128_t id{};
    char text[SD_ID128_STRING_MAX] = "";
    return sd_id128_get_machine(&id) < 0 ? std::string() : sd_id128_to_string(id, text);
}

// Where a manager runs (sd_booted(3)) it keeps the timers, by what stands in state/schedule. The other file says that there is
// something new, until recap-schedule takes it away: one that changes while that is at work is not missed.
std::function<Result<void>(const std::string&)> scheduleFile(const Arguments& arguments) {
    if (std::error_code error; !std::filesystem::is_directory(arguments.systemd, error)) return {};
    return [state = arguments.folders.state](const std::string& text) -> Result<void> {
        if (auto written = manifest::writeText(state + "/schedule", text, 0600); !written) return written;
        return manifest::writeText(state + "/schedule.changed", "", 0600);
    };
}

// Not synced, as it is written often: after a crash of the host no process is what it was, and the next boot is another one.
void keepTargets(EventParts& events, const std::string& path) {
    events.recall = [path]() -> Result<std::string> {
        std::ifstream file(path);
        if (!file) return fail(Errc::NotFound, path + ": there is none");
        return std::string(std::istreambuf_iterator<char>(file), {});
    };
    events.keep = [path](const std::string& text) -> Result<void> {
        std::error_code error;
        const std::string part = path + ".part";
        std::ofstream file(part, std::ios::trunc);
        std::filesystem::permissions(part, std::filesystem::perms(0600), error);
        if (!(file << text).flush()) return fail(Errc::Io, part + " can't be written");
        std::filesystem::rename(part, path, error);
        if (error) return fail(Errc::Io, path + ": " + error.message());
        return {};
    };
    sd_id128_t id{};
    char text[SD_ID128_STRING_MAX] = "";
    if (sd_id128_get_boot(&id) >= 0) events.boot = sd_id128_to_string(id, text);
}

// The index with its writing side, as core wants it.
class Images final : public ImageStore {
public:
    explicit Images(std::unique_ptr<images::Index> index) : index_(std::move(index)) {}

    Result<const Image*> find(std::string_view reference) const override { return index_->find(reference); }
    std::vector<const Image*> list() const override { return index_->list(); }
    Result<void> checkReference(const std::string& reference) const override {
        if (reference.empty()) return {};
        if (auto name = images::parseName(reference); !name) return forward(std::move(name));
        return {};
    }
    Result<std::string> record(ImportedImage imported, const ImportName& name) override {
        auto image = index_->record(imported, name, rfc3339());
        if (!image) return forward(std::move(image));
        return (*image)->digest;
    }
    Result<void> forget(const std::string& digest) override { return index_->remove(digest); }
    void admissions(const std::vector<AdmissionState>& states) override { index_->setAdmission(states); }

private:
    std::unique_ptr<images::Index> index_;
};

class Recapd final : public LaunchEvents, public TargetListener {
public:
    explicit Recapd(const Arguments& arguments)
        : arguments_(arguments), policies_(arguments.folders, syscalls_), capsules_(arguments.folders, policies_, syscalls_) {
        settings_.tenants = Tenants::unknown();
    }

    Result<int> run();

private:
    Result<void> makeLoop();
    Result<void> makeRooms();
    Result<void> makeTriggers();
    Result<void> arm();
    std::string unheard(const std::string& capsule, std::size_t event) const;
    void heardSignal(const std::string& match, const Occurrence& occurrence);
    Result<BatchId> startFor(const CapsuleInfo& capsule, const Occurrence& occurrence, const std::vector<TargetId>& on);
    Result<void> openForCalls();
    Result<void> reload();
    void refreshAdmissions(std::function<void()> then);
    void settle(bool late);
    void onReload();
    void tellAll();
    static void sayError(const char* what, const Error& error) { std::fprintf(stderr, SD_ERR "%s: %s\n", what, error.message.c_str()); }

    void progressed(const RunId& id, const Phases& phases) override { engine_->progressed(id, phases); }
    void ended(RunReport report) override { engine_->ended(std::move(report)); }
    void connected() override;
    void disconnected(Error why) override;
    void targetAdded(const Target&) override {}
    void targetRemoved(const TargetId&) override {}
    void backendChanged(const BackendStatus&) override { settle(false); }

    Arguments arguments_;
    EventLoop loop_;
    EventSource late_;
    plan::SyscallTable syscalls_;
    plan::PolicyFiles policies_;
    plan::CapsuleFiles capsules_;
    Settings settings_;
    std::unique_ptr<Images> images_;
    std::unique_ptr<plan::CapsulePlanner> planner_;
    std::unique_ptr<LauncherClient> launcher_;
    std::unique_ptr<TargetTable> targets_;
    std::unique_ptr<Ledger> ledger_;
    std::unique_ptr<Estates> estates_;
    std::unique_ptr<Engine> engine_;
    std::unique_ptr<Batches> batches_;
    std::unique_ptr<Schedules> schedules_;
    std::unique_ptr<Events> events_;
    std::unique_ptr<Watches> watches_;
    std::unique_ptr<bus::SignalMatches> signals_;
    std::unique_ptr<EventJournal> journal_;
    std::unique_ptr<bus::Service> bus_;
    std::unique_ptr<host::PluginHosts> hosts_;
    bool open_ = false;
};

Result<void> Recapd::makeLoop() {
    sd_event* loop = nullptr;
    if (const int error = sd_event_new(&loop); error < 0) return failErrno("event loop", -error);
    loop_.reset(loop);
    sd_event_set_watchdog(loop, true);
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
    ::sigprocmask(SIG_BLOCK, &signals, nullptr);
    const auto end = [](sd_event_source* source, const signalfd_siginfo*, void* self) {
        static_cast<Recapd*>(self)->tellAll();
        return sd_event_exit(sd_event_source_get_event(source), 0);
    };
    const auto again = [](sd_event_source*, const signalfd_siginfo*, void* self) {
        static_cast<Recapd*>(self)->onReload();
        return 0;
    };
    for (const int signal : {SIGTERM, SIGINT}) {
        if (const int error = sd_event_add_signal(loop, nullptr, signal, end, this); error < 0) return failErrno("signals", -error);
    }
    if (const int error = sd_event_add_signal(loop, nullptr, SIGHUP, again, this); error < 0) return failErrno("signals", -error);
    return {};
}

Result<void> Recapd::makeRooms() {
    const std::string& state = arguments_.folders.state;
    auto index = images::Index::open(state + "/images");
    if (!index) return forward(std::move(index));
    for (const auto& problem : (*index)->problems()) std::fprintf(stderr, SD_WARNING "image index: %s\n", problem.c_str());
    images_ = std::make_unique<Images>(std::move(*index));
    planner_ = std::make_unique<plan::CapsulePlanner>(capsules_, policies_, syscalls_, *images_);
    planner_->configure(settings_);  // until recapd.toml is read, it knows no tenants either
    launcher_ = std::make_unique<LauncherClient>(loop_.get(), arguments_.launcherSocket, *this);
    planner_->boundBy([this] { return HostBounds{launcher_->hostNamespaces(), (launcher_->features() & kCanScopeSockets) != 0}; });
    targets_ = std::make_unique<TargetTable>(loop_.get(), *launcher_);
    auto ledger = Ledger::open(loop_.get(), state + "/ledger.db");
    if (!ledger) return forward(std::move(ledger));
    ledger_ = std::move(*ledger);
    auto estates = Estates::open(loop_.get(), *launcher_, state);
    if (!estates) return forward(std::move(estates));
    estates_ = std::move(*estates);
    const auto refresh = [this](std::function<void()> then) { refreshAdmissions(std::move(then)); };
    auto engine = Engine::create({loop_.get(), *launcher_, *planner_, capsules_, *targets_, *ledger_, *estates_, refresh});
    if (!engine) return forward(std::move(engine));
    engine_ = std::move(*engine);
    if (auto made = makeTriggers(); !made) return made;
    hosts_ = std::make_unique<host::PluginHosts>(loop_.get(), arguments_.pluginSockets, *targets_);
    auto bus = bus::Service::create({loop_.get(), *launcher_, *planner_, *engine_, *batches_, *targets_, capsules_, policies_, *images_,
                                     *hosts_, [this] { return reload(); }, refresh, state, settings_.tenants, *schedules_});
    if (!bus) return forward(std::move(bus));
    bus_ = std::move(*bus);
    targets_->findWith(*hosts_);
    targets_->listen(*bus_);
    targets_->listen(*this);
    batches_->listen(*bus_);
    engine_->listen(*batches_);  // first: what the bus tells of a run's end is already in its batch
    engine_->listen(*bus_);
    engine_->listen(*events_);
    targets_->listen(*watches_);  // before events, which then tell what watches have counted of a target that goes
    targets_->listen(*events_);
    journal_ = std::make_unique<EventJournal>(*engine_, *batches_);
    batches_->listen(*journal_);
    engine_->listen(*journal_);
    return engine_->restore();
}

Result<void> Recapd::makeTriggers() {
    auto batches = Batches::create({loop_.get(), *engine_, *targets_, capsules_});
    if (!batches) return forward(std::move(batches));
    batches_ = std::move(*batches);
    ScheduleParts parts{loop_.get(), capsules_, *images_, *targets_, *batches_, *engine_, scheduleFile(arguments_), machineId()};
    parts.before = manifest::readText(arguments_.folders.state + "/schedule").value_or("");
    parts.armed = [this] { return arm(); };
    parts.unheard = [this](const std::string& capsule, std::size_t event) { return unheard(capsule, event); };
    auto schedules = Schedules::create(parts);
    if (!schedules) return forward(std::move(schedules));
    schedules_ = std::move(*schedules);
    const auto armedSince = [this](const CapsuleInfo& capsule) { return sound(capsule, capsules_) ? capsule.enabling.since : 0; };
    const auto fire = [this](const CapsuleInfo& capsule, const Occurrence& occurrence, const std::vector<TargetId>& on) {
        return startFor(capsule, occurrence, on);
    };
    EventParts eventParts{loop_.get(), *targets_, capsules_, *engine_, fire, armedSince};
    keepTargets(eventParts, arguments_.folders.state + "/targets");
    auto events = Events::create(eventParts);
    if (!events) return forward(std::move(events));
    events_ = std::move(*events);
    auto watches = Watches::create({loop_.get(), *events_, *targets_, *launcher_, *engine_, capsules_});
    if (!watches) return forward(std::move(watches));
    watches_ = std::move(*watches);
    signals_ = std::make_unique<bus::SignalMatches>(
        loop_.get(), [this](const std::string& match, const Occurrence& occurrence) { heardSignal(match, occurrence); });
    return {};
}

// What is waited for: events, what is watched in targets, and signals of services.
Result<void> Recapd::arm() {
    events_->refresh();
    watches_->refresh();
    std::vector<bus::SignalRule> rules;
    for (const auto& armed : events_->armed())
        if (armed.event.on == "dbus-signal") rules.push_back({armed.event.match, armed.event.sender, armed.event.cooldown});
    return signals_->keep(rules);
}

std::string Recapd::unheard(const std::string& capsule, std::size_t event) const {
    const auto found = capsules_.find(capsule);
    if (!found || event >= (*found)->schedule.events.size()) return {};
    const EventSchedule& waitedFor = (*found)->schedule.events[event];
    return waitedFor.on == "dbus-signal" ? signals_->problemOf(waitedFor.match) : watches_->problemOf(capsule, event);
}

void Recapd::heardSignal(const std::string& match, const Occurrence& occurrence) {
    std::vector<ArmedEvent> waiting;  // what is fired may change which are armed
    for (const auto& armed : events_->armed())
        if (armed.event.on == "dbus-signal" && armed.event.match == match) waiting.push_back(armed);
    for (const auto& armed : waiting) events_->happened(armed, nullptr, occurrence);
}

Result<BatchId> Recapd::startFor(const CapsuleInfo& capsule, const Occurrence& occurrence, const std::vector<TargetId>& on) {
    BatchRequest request;
    request.run.trigger = Trigger::Event;
    request.run.occurrence = std::make_shared<const Occurrence>(occurrence);
    request.run.received = monotonicMicroseconds();
    request.selection.targets = on;
    request.selection.parallel = capsule.selection.parallel;
    if (auto asked = asEnabler(capsule, *images_, *batches_, request); !asked) return forward(std::move(asked));
    return batches_->start(std::move(request));
}

// A bad file keeps its old version; the error names each.
Result<void> Recapd::reload() {
    std::string problems;
    const auto note = [&](const Result<void>& loaded) {
        if (!loaded) problems += (problems.empty() ? "" : "\n") + loaded.error().message;
    };
    note(policies_.reload());
    note(capsules_.reload());
    auto settings = plan::loadSettings(arguments_.folders);
    if (settings) {
        settings_ = std::move(*settings);
        planner_->configure(settings_);
        targets_->keep(settings_.tenants);
        engine_->limit(settings_.limits);
        hosts_->configure(settings_.plugins);
        for (const auto& problem : settings_.problems) note(fail(Errc::InvalidArgument, problem));
    } else {
        note(tl::unexpected(settings.error()));
    }
    if (!problems.empty()) return fail(Errc::InvalidArgument, problems);
    return {};
}

void Recapd::onReload() {
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", static_cast<unsigned long long>(monotonicMicroseconds()));
    if (const auto reloaded = reload(); !reloaded) sayError("reload", reloaded.error());
    bus_->capsulesChanged();
    sd_notify(0, "READY=1");
}

// No later recapd knows what this one has counted.
void Recapd::tellAll() {
    watches_->tellAll();
    events_->tellAll();
}

void Recapd::refreshAdmissions(std::function<void()> then) {
    launcher_->images([this, then = std::move(then)](const Result<std::vector<AdmissionState>>& states) {
        if (states) images_->admissions(*states);
        then();
    });
}

void Recapd::connected() {
    refreshAdmissions([this] {
        bus_->capsulesChanged();
        settle(false);
    });
    targets_->launcherConnected();
    watches_->launcherConnected();
    engine_->connected();
}

void Recapd::disconnected(Error why) {
    watches_->launcherGone();
    engine_->disconnected(std::move(why));
}

// Calls are taken once there is something to answer them with: early ones wait in the bus.
void Recapd::settle(bool late) {
    if (open_ || bus_ == nullptr) return;
    std::size_t known = 0;
    for (const auto& backend : targets_->backends()) known += backend.state != BackendState::Unavailable;
    if (!late && (!launcher_->available() || known < settings_.plugins.size())) return;
    open_ = true;
    late_.reset();
    if (const auto opened = openForCalls(); !opened) {
        sayError("recapd", opened.error());
        sd_event_exit(loop_.get(), EXIT_FAILURE);
    }
}

Result<void> Recapd::openForCalls() {
    if (auto published = bus_->publish(); !published) return published;
    events_->begin();
    watches_->refresh();
    schedules_->begin();  // a turn that is due at once finds its targets
    sd_notify(0, "READY=1\nSTATUS=Taking calls as org.recap1");
    return {};
}

Result<int> Recapd::run() {
    if (auto made = makeLoop(); !made) return forward(std::move(made));
    if (auto made = makeRooms(); !made) return forward(std::move(made));
    sd_event_source* late = nullptr;
    const auto onLate = [](sd_event_source*, std::uint64_t, void* self) {
        static_cast<Recapd*>(self)->settle(true);
        return 0;
    };
    const int error = sd_event_add_time_relative(loop_.get(), &late, CLOCK_MONOTONIC, kSettleUsec, 0, onLate, this);
    if (error < 0) return failErrno("start timer", -error);
    late_.reset(late);
    launcher_->connect();
    if (const auto loaded = reload(); !loaded) sayError("settings", loaded.error());
    bus_->capsulesChanged();
    const int status = sd_event_loop(loop_.get());
    sd_notify(0, "STOPPING=1");
    if (status < 0) return failErrno("event loop", -status);
    return status;
}

// Descriptors: one a target, some a run. The unit's own limit stays the outer one.
void raiseDescriptorLimit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

constexpr const char* kUsage =
    "recapd - runs capsules on containers, asked over D-Bus (org.recap1)\n\n"
    "  --state DIR            ledger, logs, artifacts, installed capsules (/var/lib/recap/state)\n"
    "  --launcher-socket PATH recap-launcher's socket (/run/recap/launcher.sock)\n"
    "  --plugin-sockets DIR   plugin hosts' sockets (/run/recap/plugins)\n"
    "  --vendor-dir DIR       capsules, policies, settings as shipped (/usr/lib/recap)\n"
    "  --runtime-dir DIR      likewise, until the next boot (/run/recap)\n"
    "  --config-dir DIR       likewise, the administrator's (/etc/recap)\n"
    "  --systemd-dir DIR      there where a systemd manager runs, which then keeps the timers (/run/systemd/system)\n"
    "  --version, --help\n";

// Nothing: the program is done, with `status`.
std::optional<Arguments> parse(int argc, char** argv, int& status) {
    Arguments arguments;
    const option options[] = {{"state", required_argument, nullptr, 's'},
                              {"launcher-socket", required_argument, nullptr, 'l'},
                              {"plugin-sockets", required_argument, nullptr, 'p'},
                              {"vendor-dir", required_argument, nullptr, 'v'},
                              {"runtime-dir", required_argument, nullptr, 'r'},
                              {"config-dir", required_argument, nullptr, 'c'},
                              {"systemd-dir", required_argument, nullptr, 'm'},
                              {"version", no_argument, nullptr, 'V'},
                              {"help", no_argument, nullptr, 'h'},
                              {}};
    int option = 0;
    while ((option = ::getopt_long(argc, argv, "", options, nullptr)) != -1) {
        switch (option) {
            case 's': arguments.folders.state = optarg; break;
            case 'l': arguments.launcherSocket = optarg; break;
            case 'p': arguments.pluginSockets = optarg; break;
            case 'v': arguments.folders.vendor = optarg; break;
            case 'r': arguments.folders.runtime = optarg; break;
            case 'c': arguments.folders.config = optarg; break;
            case 'm': arguments.systemd = optarg; break;
            case 'V':
                std::puts("recapd " RECAP_VERSION);
                status = EXIT_SUCCESS;
                return {};
            case 'h':
                std::fputs(kUsage, stdout);
                status = EXIT_SUCCESS;
                return {};
            default:
                std::fputs(kUsage, stderr);
                status = EXIT_FAILURE;
                return {};
        }
    }
    if (optind == argc) return arguments;
    std::fprintf(stderr, "recapd: unexpected argument '%s'\n", argv[optind]);
    status = EXIT_FAILURE;
    return {};
}

}  // namespace
}  // namespace recap

int main(int argc, char** argv) {
    int status = EXIT_SUCCESS;
    const auto arguments = recap::parse(argc, argv, status);
    if (!arguments) return status;
    ::signal(SIGPIPE, SIG_IGN);
    recap::raiseDescriptorLimit();
    recap::Recapd recapd(*arguments);
    const auto ended = recapd.run();
    if (ended) return *ended;
    std::fprintf(stderr, SD_ERR "recapd: %s\n", ended.error().message.c_str());
    return EXIT_FAILURE;
}
