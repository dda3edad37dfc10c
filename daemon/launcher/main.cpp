// SPDX-License-Identifier: Apache-2.0
// recap-launcher: root, static, no exceptions, no plugins, no network. Makes itself small first, then serves.
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <sys/capability.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <span>

#include "daemon/launcher/features.hpp"
#include "daemon/launcher/seccomp.hpp"
#include "daemon/launcher/supervisor.hpp"
#include "daemon/launcher/weaken.hpp"

namespace recap::launcher {
namespace {

struct Options {
    std::string socket = "/run/recap/launcher.sock";
    std::string admitSocket = "/run/recap/admit.sock";
    std::string store = "/var/lib/recap/store";
    std::string cgroupRoot;
    bool useV1 = true;
    std::string ceiling = "/run/recap/ceiling.bin";
    std::string peerUser = "recap";
    std::string helpers = "/usr/libexec/recap";
    std::string journalSocket = "/run/systemd/journal/socket";
    std::string runDir = "/run/recap/launcher";
    std::uint64_t without = 0;
    std::span<char> commandLine;
};

constexpr const char* kHelp =
    "recap-launcher - attach capsules to running containers for recapd\n\n"
    "Usage: recap-launcher [OPTION…]\n"
    "  --socket PATH          where recapd connects (SOCK_SEQPACKET)   [/run/recap/launcher.sock]\n"
    "  --admit-socket PATH    where root admits images                 [/run/recap/admit.sock]\n"
    "                         both may be passed by LISTEN_FDS, named launcher and admit\n"
    "  --store DIR            image store, root's, mode 0700           [/var/lib/recap/store]\n"
    "  --cgroup-root DIR      capsules' cgroups go below it            [the launcher's own cgroup]\n"
    "  --cgroup-v1 auto|off   use v1 controllers where v2 lacks them   [auto]\n"
    "  --ceiling FILE         compiled ceiling; absent: the defaults   [/run/recap/ceiling.bin]\n"
    "  --peer-user USER       the only user whose plans are read       [recap]\n"
    "  --libexec DIR          recap-unpack and recap-collect           [/usr/libexec/recap]\n"
    "  --journal-socket PATH  journald's native socket                 [/run/systemd/journal/socket]\n"
    "  --run-dir DIR          lock and mountpoint                      [/run/recap/launcher]\n"
    "  --without FEATURE      take proc-pidns, overlay-fd, cgroup-kill or socket-scope to be missing: for\n"
    "                         tests, and where a kernel has it and it does not work; may be repeated\n"
    "  --version, --help\n"
    "Signals: HUP reads the ceiling again; TERM kills every capsule and ends.\n";

void say(const std::string& line) { static_cast<void>(::write(2, (line + "\n").data(), line.size() + 1) + 1); }

Result<Options> parse(int argc, char** argv) {
    Options options;
    if (argc > 0) options.commandLine = {argv[0], argv[argc - 1] + std::strlen(argv[argc - 1]) + 1};
    const option known[] = {{"socket", 1, nullptr, 's'},         {"admit-socket", 1, nullptr, 'a'},
                            {"store", 1, nullptr, 'S'},          {"cgroup-root", 1, nullptr, 'g'},
                            {"cgroup-v1", 1, nullptr, '1'},      {"ceiling", 1, nullptr, 'c'},
                            {"peer-user", 1, nullptr, 'u'},      {"libexec", 1, nullptr, 'l'},
                            {"journal-socket", 1, nullptr, 'j'}, {"run-dir", 1, nullptr, 'r'},
                            {"without", 1, nullptr, 'w'},        {"version", 0, nullptr, 'V'},
                            {"help", 0, nullptr, 'h'},           {}};
    for (int c = 0; (c = ::getopt_long(argc, argv, "", known, nullptr)) != -1;) {
        switch (c) {
            case 's': options.socket = optarg; break;
            case 'a': options.admitSocket = optarg; break;
            case 'S': options.store = optarg; break;
            case 'g': options.cgroupRoot = optarg; break;
            case '1': {
                const std::string_view value = optarg;
                if (value != "auto" && value != "off")
                    return fail(Errc::InvalidArgument, "--cgroup-v1 is auto or off, not '" + std::string(value) + "'");
                options.useV1 = value == "auto";
                break;
            }
            case 'c': options.ceiling = optarg; break;
            case 'u': options.peerUser = optarg; break;
            case 'l': options.helpers = optarg; break;
            case 'j': options.journalSocket = optarg; break;
            case 'r': options.runDir = optarg; break;
            case 'w':
                if (fallbackFeature(optarg) == 0)
                    return fail(Errc::InvalidArgument,
                                "--without is proc-pidns, overlay-fd, cgroup-kill or socket-scope, not '" + std::string(optarg) + "'");
                options.without |= fallbackFeature(optarg);
                break;
            case 'V': static_cast<void>(::write(1, RECAP_VERSION "\n", sizeof(RECAP_VERSION)) + 1); ::_exit(0);
            case 'h': static_cast<void>(::write(1, kHelp, std::strlen(kHelp)) + 1); ::_exit(0);
            default: return fail(Errc::InvalidArgument, "see recap-launcher --help");
        }
    }
    if (optind < argc) return fail(Errc::InvalidArgument, "unexpected argument '" + std::string(argv[optind]) + "'");
    return options;
}

Result<std::string> slurp(const std::string& path, std::size_t cap) {
    UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file) return failErrno("open " + path);
    struct stat info {};
    if (::fstat(file.get(), &info) != 0 || info.st_uid != 0 || (info.st_mode & 022) != 0)
        return fail(Errc::Denied, path + " must be root's, writable for root alone");
    std::string text(cap + 1, '\0');
    std::size_t size = 0;
    ssize_t got = 0;
    while (size < text.size() && (got = ::read(file.get(), text.data() + size, text.size() - size)) > 0)
        size += static_cast<std::size_t>(got);
    if (size > cap) return fail(Errc::LimitExceeded, path + " is longer than " + std::to_string(cap) + " bytes");
    text.resize(size);
    return text;
}

// A user's number without the C library's name services, which would load code (threat T6).
Result<std::uint32_t> userId(const std::string& user) {
    const auto number = [](std::string_view text, std::uint32_t& value) {
        auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        return !text.empty() && error == std::errc{} && end == text.data() + text.size();
    };
    std::uint32_t uid = 0;
    if (number(user, uid)) return uid;
    auto passwd = slurp("/etc/passwd", 16 << 20);
    if (!passwd) return forward(std::move(passwd));
    for (std::size_t at = 0; at < passwd->size();) {
        const auto end = std::min(passwd->find('\n', at), passwd->size());
        const std::string_view line(passwd->data() + at, end - at);
        at = end + 1;
        if (!line.starts_with(user + ":")) continue;
        const auto second = line.find(':', user.size() + 1);
        const auto third = line.find(':', second + 1);
        if (second != std::string_view::npos && third != std::string_view::npos && number(line.substr(second + 1, third - second - 1), uid))
            return uid;
    }
    return fail(Errc::NotFound, "no user '" + user + "'");
}

Result<Ceiling> readCeiling(const std::string& path) {
    auto bytes = slurp(path, 1 << 20);
    if (!bytes) return bytes.error().code == Errc::NotFound ? Result<Ceiling>(Ceiling{}) : forward(std::move(bytes));
    auto ceiling = decodeCeiling(*bytes);
    if (!ceiling) return forward(std::move(ceiling), path);
    return ceiling;
}

// What capsules may be given is kept inheritable, so that the bounding set, which every child would have to drop by itself, can be
// emptied here once. Not dumpable: a target's root may not look into the processes that join it (threat T1).
Result<void> limitSelf() {
    cap_t own = ::cap_get_proc();
    for (cap_value_t value = 0; value < 64; ++value) {
        cap_flag_value_t held = CAP_CLEAR;
        if (::cap_get_flag(own, value, CAP_PERMITTED, &held) != 0) continue;
        if (::cap_get_bound(value) != 1) held = CAP_CLEAR;
        ::cap_set_flag(own, CAP_INHERITABLE, 1, &value, held);
    }
    if (::cap_set_proc(own) != 0) return failErrno("set the inheritable capabilities");
    ::cap_free(own);
    for (cap_value_t value = 0; value < 64; ++value)
        if (::cap_get_bound(value) == 1 && ::cap_drop_bound(value) != 0) return failErrno("empty the bounding set");
    if (!weakened(Threat::Tracing) && ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return failErrno("prctl");
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
    ::umask(022);
    return {};
}

// A mount namespace of its own: nothing is ever mounted in the host's.
Result<void> leaveMounts() {
    if (::unshare(CLONE_NEWNS) != 0) return failErrno("unshare the mount namespace");
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return failErrno("make mounts private");
    return {};
}

// The process's own, by fcntl(2): a child that is about to end with it, or to execute, must not hold it on.
Result<UniqueFd> lock(const std::string& dir) {
    if (::mkdir(dir.c_str(), 0700) != 0 && errno != EEXIST) return failErrno("create " + dir);
    UniqueFd file(::open((dir + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file) return failErrno("open " + dir + "/lock");
    struct flock whole {};
    whole.l_type = F_WRLCK;
    if (::fcntl(file.get(), F_SETLK, &whole) != 0) return fail(Errc::Busy, "another recap-launcher holds " + dir + "/lock");
    return file;
}

Result<SupervisorSetup> setUp(const Options& options) {
    auto peer = userId(options.peerUser);
    if (!peer) return forward(std::move(peer));
    auto ceiling = readCeiling(options.ceiling);
    if (!ceiling) return forward(std::move(ceiling));
    auto procfs = Procfs::mount();
    if (!procfs) return forward(std::move(procfs));
    auto host = hostIds(*procfs);
    if (!host) return forward(std::move(host));
    if (auto left = leaveMounts(); !left) return forward(std::move(left));
    auto ownMounts = procfs->ownNamespaceInode("mnt");
    if (!ownMounts) return forward(std::move(ownMounts));
    auto cgroups = CgroupTree::open(*procfs, options.cgroupRoot, options.useV1);
    if (!cgroups) return forward(std::move(cgroups));
    auto store = Store::open(options.store);
    if (!store) return forward(std::move(store));
    auto freezer = Freezer::open(*procfs, host->namespaces[0], options.runDir);
    if (!freezer) return forward(std::move(freezer));
    auto places = WatchPlaces::open(*procfs);
    if (!places) return forward(std::move(places));
    Prepared prepared;
    const std::string mountpoint = options.runDir + "/dev";
    if (::mkdir(mountpoint.c_str(), 0700) != 0 && errno != EEXIST) return failErrno("create " + mountpoint);
    auto device = makeDeviceTemplate(mountpoint);
    if (!device) return forward(std::move(device));
    auto seed = makeSeed(*procfs);
    if (!seed) return forward(std::move(seed));
    prepared.device = std::move(*device);
    prepared.seed = std::move(*seed);
    prepared.ownMounts.reset(::openat(procfs->fd(), "self/ns/mnt", O_RDONLY | O_CLOEXEC));
    prepared.ownPids.reset(::openat(procfs->fd(), "self/ns/pid", O_RDONLY | O_CLOEXEC));
    prepared.host = *host;
    prepared.hostUsers = host->first[4];
    prepared.supervisor = ::getpid();
    prepared.ceilingFilter = ceilingFilter();
    prepared.commandLine = options.commandLine;
    return SupervisorSetup{std::move(*procfs),  *host,
                           *ownMounts,          std::move(*cgroups),
                           std::move(*freezer), std::move(*places),
                           std::move(*store),   std::move(*ceiling),
                           std::move(prepared), *peer,
                           options.helpers,     options.journalSocket,
                           options.without};
}

Result<UniqueFd> bindSocket(const std::string& path, std::uint32_t owner) {
    UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) return fail(Errc::InvalidArgument, "socket path too long: " + path);
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    ::unlink(path.c_str());
    const mode_t old = ::umask(0177);
    const int bound = ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    ::umask(old);
    if (bound != 0) return failErrno("bind " + path);
    if (::chown(path.c_str(), owner, static_cast<gid_t>(-1)) != 0 || ::listen(socket.get(), 16) != 0) return failErrno("listen on " + path);
    return socket;
}

// sd_listen_fds(3) with names; descriptor 3 and up.
UniqueFd passedSocket(std::string_view name) {
    const char* count = ::getenv("LISTEN_FDS");
    const char* names = ::getenv("LISTEN_FDNAMES");
    if (count == nullptr || names == nullptr) return {};
    std::string_view rest = names;
    for (int fd = 3; fd < 3 + std::atoi(count); ++fd) {
        const auto colon = std::min(rest.find(':'), rest.size());
        if (rest.substr(0, colon) == name) {
            ::fcntl(fd, F_SETFD, FD_CLOEXEC);
            ::fcntl(fd, F_SETFL, O_NONBLOCK);
            return UniqueFd(fd);
        }
        rest.remove_prefix(std::min(colon + 1, rest.size()));
    }
    return {};
}

// sd_notify(3).
void notify(std::string_view state) {
    const char* path = ::getenv("NOTIFY_SOCKET");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path == nullptr || std::strlen(path) >= sizeof(address.sun_path)) return;
    std::memcpy(address.sun_path, path, std::strlen(path));
    if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
    UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
    ::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address), size);
}

void watchdog(Loop& loop, std::uint64_t everyUsec) {
    notify("WATCHDOG=1");
    loop.at(monotonicUsec() + everyUsec, [&loop, everyUsec] { watchdog(loop, everyUsec); });
}

Result<void> watchSignals(Supervisor& supervisor, const std::string& ceilingPath, UniqueFd& holder) {
    sigset_t signals;
    ::sigemptyset(&signals);
    for (int number : {SIGHUP, SIGTERM, SIGINT}) ::sigaddset(&signals, number);
    ::sigprocmask(SIG_BLOCK, &signals, nullptr);
    holder.reset(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
    const int fd = holder.get();
    const bool added = supervisor.loop().add(fd, EPOLLIN, [&supervisor, ceilingPath, fd](std::uint32_t) {
        signalfd_siginfo info{};
        if (::read(fd, &info, sizeof(info)) != sizeof(info)) return;
        if (info.ssi_signo != SIGHUP) return supervisor.shutDown();
        auto ceiling = readCeiling(ceilingPath);
        if (ceiling) return supervisor.setCeiling(std::move(*ceiling));
        supervisor.journal().write(Priority::Error, kMessageRefused, "the ceiling stays as it was: " + ceiling.error().message);
    });
    return added ? Result<void>{} : failErrno("watch signals");
}

Result<void> serve(const Options& options) {
    if (auto limited = limitSelf(); !limited) return limited;
    auto held = lock(options.runDir);
    if (!held) return forward(std::move(held));
    auto setup = setUp(options);
    if (!setup) return forward(std::move(setup));
    const std::uint32_t peer = setup->peerUid;
    Supervisor supervisor(std::move(*setup));
    UniqueFd signals;
    if (auto watched = watchSignals(supervisor, options.ceiling, signals); !watched) return watched;
    if (auto started = supervisor.start(static_cast<unsigned>(std::max(1l, ::sysconf(_SC_NPROCESSORS_ONLN)))); !started) return started;
    for (const bool admit : {false, true}) {
        UniqueFd socket = passedSocket(admit ? "admit" : "launcher");
        if (!socket) {
            auto bound = bindSocket(admit ? options.admitSocket : options.socket, admit ? 0 : peer);
            if (!bound) return forward(std::move(bound));
            socket = std::move(*bound);
        }
        if (auto listening = supervisor.listen(std::move(socket), admit); !listening) return listening;
    }
    notify("READY=1\nSTATUS=Serving");
    if (const char* usec = ::getenv("WATCHDOG_USEC")) watchdog(supervisor.loop(), std::max(1000ull, ::strtoull(usec, nullptr, 10) / 2));
    supervisor.loop().run();
    notify("STOPPING=1");
    return {};
}

}  // namespace
}  // namespace recap::launcher

int main(int argc, char** argv) {
    auto options = recap::launcher::parse(argc, argv);
    if (!options) {
        recap::launcher::say("recap-launcher: " + options.error().message);
        return 2;
    }
    auto served = recap::launcher::serve(*options);
    if (served) return 0;
    recap::launcher::say("recap-launcher: " + served.error().message);
    return 1;
}
