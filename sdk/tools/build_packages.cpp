// SPDX-License-Identifier: Apache-2.0
#include "sdk/tools/build_packages.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>

#include "sdk/tools/process.hpp"

namespace recap::tools {
namespace {

namespace fs = std::filesystem;

// What maintainer scripts call. Said to be installed already, so that apt does not bring them (and perl, passwd, PAM with them).
struct Assumed {
    std::string_view name;
    std::string_view provides;
};
constexpr std::array kAssumed{Assumed{"adduser", ""},      Assumed{"debconf", "debconf-2.0"},
                              Assumed{"dpkg", ""},         Assumed{"init-system-helpers", ""},
                              Assumed{"install-info", ""}, Assumed{"ucf", ""}};

struct Package {
    std::string name;
    std::string version;
    std::string architecture;
    // As apt names the file in its archive folder.
    std::string file() const {
        std::string escaped;
        for (const char c : version) escaped += c == ':' ? std::string("%3a") : std::string(1, c);
        return name + "_" + escaped + "_" + architecture + ".deb";
    }
};

bool isPackageName(std::string_view name) {
    constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyz0123456789+-.:=~ABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    return !name.empty() && name.front() != '-' && name.find_first_not_of(allowed) == name.npos;
}

class Apt {
public:
    Apt(const PackageOptions& options, const std::vector<std::string>& packages) : options_(options), packages_(packages) {}

    Result<std::vector<Package>> fetch() {
        if (auto prepared = prepare(); !prepared) return forward(std::move(prepared));
        auto closure = outputOf(command({"--simulate", "install"}, true));
        if (!closure) return forward(std::move(closure));
        auto found = parseClosure(*closure);
        if (found.empty()) return fail(Errc::NotFound, "apt-get names no package to fetch");
        const auto missing = [&](const Package& package) { return !fs::exists(options_.cache / package.file()); };
        if (std::any_of(found.begin(), found.end(), missing)) {
            if (auto got = outputOf(command({"--download-only", "install"}, true)); !got) return forward(std::move(got));
        }
        for (const auto& package : found) {
            if (missing(package))
                return fail(Errc::Io, (options_.cache / package.file()).string() +
                                          ": apt-get did not fetch it (a source of kind file: has to be of kind copy:)");
        }
        return found;
    }

private:
    Result<void> prepare() {
        std::error_code error;
        for (const auto& folder : {options_.cache / "partial", options_.scratch / "apt/lists/partial", options_.scratch / "apt/cache"}) {
            fs::create_directories(folder, error);
            if (error) return fail(Errc::Io, folder.string() + ": " + error.message());
        }
        std::ofstream status(options_.scratch / "apt/status");
        for (const auto& assumed : kAssumed) {
            if (std::find(packages_.begin(), packages_.end(), assumed.name) != packages_.end()) continue;
            status << "Package: " << assumed.name << "\nStatus: install ok installed\nVersion: 9999:0\nArchitecture: all\n";
            if (!assumed.provides.empty()) status << "Provides: " << assumed.provides << "\n";
            status << "Maintainer: none <none@localhost>\nDescription: needed by maintainer scripts only\n\n";
        }
        status.close();
        if (!status) return fail(Errc::Io, (options_.scratch / "apt/status").string() + ": not written");
        ownLists_ = !hostHasLists();
        if (!ownLists_) return {};
        auto updated = outputOf(command({"update"}, false));
        return updated ? Result<void>{} : forward(std::move(updated));
    }

    // Minimal systems are shipped without package lists: then they are fetched for this build alone.
    static bool hostHasLists() {
        const auto setting = outputOf({"apt-config", "shell", "lists", "Dir::State::lists/d"});  // lists='/var/lib/apt/lists/'
        if (!setting || std::count(setting->begin(), setting->end(), '\'') != 2) return false;
        const auto first = setting->find('\'') + 1;
        std::error_code error;
        for (const auto& file : fs::directory_iterator(setting->substr(first, setting->rfind('\'') - first), error)) {
            if (file.path().filename().string().find("_Packages") != std::string::npos) return true;
        }
        return false;
    }

    std::vector<std::string> command(const std::vector<std::string>& verb, bool withPackages) const {
        const auto apt = (options_.scratch / "apt").string();
        std::vector<std::string> argv{"apt-get", "--quiet", "--yes", "--no-install-recommends"};
        std::vector<std::string> settings{"Debug::NoLocking=1",
                                          "Dir::State::status=" + apt + "/status",
                                          "Dir::State::extended_states=" + apt + "/extended_states",
                                          "Dir::Cache=" + apt + "/cache",
                                          "Dir::Cache::archives=" + options_.cache.string() + "/",
                                          "Dir::Log=" + apt,
                                          "APT::Get::AutomaticRemove=0"};
        if (ownLists_) settings.push_back("Dir::State::lists=" + apt + "/lists");
        for (auto& setting : settings) {
            argv.emplace_back("-o");
            argv.push_back(std::move(setting));
        }
        argv.insert(argv.end(), verb.begin(), verb.end());
        if (withPackages) argv.insert(argv.end(), packages_.begin(), packages_.end());
        return argv;
    }

    // "Inst libc6 (2.36-9+deb12u14 Debian:12.13/oldstable [amd64]) []", and for an upgrade "Inst NAME [OLD] (…)".
    static std::vector<Package> parseClosure(const std::string& text) {
        std::vector<Package> all;
        std::istringstream stream(text);
        for (std::string line; std::getline(stream, line);) {
            const auto open = line.find(" (");
            const auto arch = open == line.npos ? open : line.find(" [", open);
            if (!line.starts_with("Inst ") || open == line.npos || arch == line.npos) continue;
            Package package;
            package.name = line.substr(5, line.find(' ', 5) - 5);
            package.version = line.substr(open + 2, line.find(' ', open + 2) - open - 2);
            package.architecture = line.substr(arch + 2, line.find(']', arch) - arch - 2);
            all.push_back(std::move(package));
        }
        return all;
    }

    const PackageOptions& options_;
    const std::vector<std::string>& packages_;
    bool ownLists_ = false;
};

}  // namespace

Result<std::map<std::string, std::string>> addPackages(Rootfs& rootfs, const std::vector<std::string>& packages,
                                                       const PackageOptions& options) {
    for (const auto& name : packages) {
        if (!isPackageName(name)) return fail(Errc::InvalidArgument, "package '" + name + "': not a package's name");
    }
    auto closure = Apt(options, packages).fetch();
    if (!closure) return forward(std::move(closure), "packages");
    std::map<std::string, std::string> versions;
    for (const auto& package : *closure) {
        const auto deb = options.cache / package.file();
        auto added = runProgram({"dpkg-deb", "--fsys-tarfile", deb.string()}, [&](int fd) { return rootfs.addTar(fd); });
        if (!added) return forward(std::move(added), package.name);
        versions[package.name] = package.version;
    }
    return versions;
}

}  // namespace recap::tools
