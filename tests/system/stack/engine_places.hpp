// SPDX-License-Identifier: Apache-2.0
// Places where the acceptance cases are run: containers of both engines, open ones, hardened ones and ones in user namespaces of
// their own. In each nginx serves as uid 101, and there is no shell; /data is a volume with a busybox, for looks from inside.
#pragma once

#include <ostream>

#include "tests/support/http.hpp"
#include "tests/system/stack/engines_fixture.hpp"

namespace recap::test {

struct Place {
    const char* name;
    bool docker = true;     // else containerd
    bool hardened = false;  // read-only root, no capability, no new privileges
    bool remapped = false;  // a user namespace of its own
};
inline std::ostream& operator<<(std::ostream& out, const Place& place) { return out << place.name; }

inline const std::vector<Place> kPlaces{
    {"DockerPlain", true},      {"DockerHardened", true, true},      {"DockerRemapped", true, true, true},
    {"ContainerdPlain", false}, {"ContainerdHardened", false, true}, {"ContainerdRemapped", false, true, true},
};

// What every scanner of viruses knows and nobody is harmed by; in two pieces, so that this file is left alone by them.
inline const std::string kEicar = std::string(R"(X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR)") + "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*";

class EngineCases : public EnginesTest, public ::testing::WithParamInterface<Place> {
protected:
    static constexpr std::uint64_t kMemory = 128 << 20;

    static void SetUpTestSuite();
    static void TearDownTestSuite();
    void SetUp() override;
    void TearDown() override;

    // Starts a container of an image that makeImage() made and answers its first process.
    static pid_t start(const Place& place, const std::string& name, const std::string& image, const std::filesystem::path& data);
    static void end(const Place& place, const std::string& name);
    static std::string targetOf(const Place& place, const std::string& name) {
        return (place.docker ? "docker:" : std::string("containerd:") + kNamespace + "/") + name;
    }
    static void makeImage(const std::string& image, const std::filesystem::path& root, const std::string& command);

    // This test's container, which all tests of its place have.
    const Place& place() const { return GetParam(); }
    std::string name() const { return std::string("at-") + place().name; }
    std::string target() const { return targetOf(place(), name()); }
    pid_t pid() const { return pids_.at(name()); }
    // What a program says in a container, by the engine's exec.
    static std::string insideOf(const Place& place, const std::string& name, const std::vector<std::string>& argv);
    std::string inside(const std::vector<std::string>& argv) const { return insideOf(place(), name(), argv); }
    std::string log() const;  // what the container has said

    // A run that is to end so; what is left of it is looked for.
    static nlohmann::json look(const std::string& capsule, const std::string& target, const char* outcome = "succeeded") {
        nlohmann::json report = Stack::get().run(capsule, target);
        EXPECT_EQ(report.at("outcome"), outcome) << report.dump(2);
        expectClean(report);
        return report;
    }

private:
    static pid_t startInDocker(const Place& place, const std::string& name, const std::string& image, const std::filesystem::path& data);
    static pid_t startInContainerd(const Place& place, const std::string& name, const std::string& image,
                                   const std::filesystem::path& data);
    static std::filesystem::path file(const std::string& name) { return files_->path() / name; }

    static std::unique_ptr<TempDir> files_;
    static std::map<std::string, pid_t> pids_;
    std::uint64_t startTime_ = 0;
};

}  // namespace recap::test
