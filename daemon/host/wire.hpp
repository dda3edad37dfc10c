// SPDX-License-Identifier: Apache-2.0
// What recapd and recap-plugin-host say to each other over an AF_UNIX SOCK_SEQPACKET socket: one record a message, flat,
// little-endian. The host numbers its records 1, 2, 3, …; recapd answers a gap with Resync and trusts nothing until the
// next SnapshotBegin. Texts are counted, valid UTF-8 without control characters. A record that is longer than it says,
// shorter than its fields, over a cap or of an unknown kind is refused whole, and the connection with it.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "daemon/core/backend.hpp"
#include "daemon/core/target.hpp"
#include "sdk/base/result.hpp"

namespace recap::host {

inline constexpr std::uint32_t kMagic = 0x31485052;  // "RPH1"
inline constexpr std::uint16_t kWireVersion = 1;
inline constexpr std::size_t kMaxRecord = 60 * 1024;  // below the socket's default buffer
inline constexpr std::size_t kMaxTargets = 8192;      // of one backend
inline constexpr std::size_t kMaxLabels = 256;
inline constexpr std::size_t kMaxAliases = 8;
inline constexpr std::size_t kMaxDetails = 16;
inline constexpr std::size_t kMaxDetailText = 255;  // of aliases, too
inline constexpr std::size_t kMaxLabelText = 4096;
inline constexpr std::size_t kMaxId = 255;
inline constexpr std::size_t kMaxText = 1024;  // name, image, runtime, a reference; cgroup's is kMaxLabelText

// From the host.
struct Hello {
    std::string plugin;
    std::string version;
    auto operator<=>(const Hello&) const = default;
};
struct TargetRecord {
    std::string id;
    std::string name;
    std::string image;
    std::string runtime;
    std::string cgroup;
    std::map<std::string, std::string> labels;
    std::vector<std::string> aliases;
    std::map<std::string, std::string> details;
    TargetState state = TargetState::Running;
    std::int32_t pid = 0;
    std::uint64_t startTime = 0;
    bool operator==(const TargetRecord&) const = default;
};
struct SnapshotBegin {};
struct SnapshotTarget {
    TargetRecord target;
};
struct SnapshotEnd {
    std::uint32_t count = 0;
};
struct Added {
    TargetRecord target;
};
struct Changed {
    TargetRecord target;
};
struct Removed {
    std::string id;
};
struct StateRecord {
    BackendState state = BackendState::Waiting;
    std::string detail;
    auto operator<=>(const StateRecord&) const = default;
};
struct Found {  // answer of Find; the target itself went before it as Added
    std::uint64_t request = 0;
    Errc error = Errc::None;
    std::string message;
};
struct Pong {
    std::uint64_t nonce = 0;
};
struct Exported {  // answer of Export, when nothing more will be written
    std::uint64_t request = 0;
    Errc error = Errc::None;
    std::string message;
};

// From recapd.
struct Find {
    std::uint64_t request = 0;
    std::string id;
};
struct Resync {};
struct Ping {
    std::uint64_t nonce = 0;
};
struct Export {  // with it, and with no other record, comes a descriptor: the end of a pipe that the image is written into
    std::uint64_t request = 0;
    std::string reference;
};

using FromHost =
    std::variant<Hello, SnapshotBegin, SnapshotTarget, SnapshotEnd, Added, Changed, Removed, StateRecord, Found, Pong, Exported>;
using ToHost = std::variant<Find, Resync, Ping, Export>;

struct Numbered {
    std::uint64_t number = 0;
    FromHost record;
};

std::string encode(std::uint64_t number, const FromHost& record);
std::string encode(const ToHost& record);
Result<Numbered> decodeFromHost(std::string_view bytes);
Result<ToHost> decodeToHost(std::string_view bytes);

// Valid UTF-8 without control characters, so that it may go to D-Bus, a journal or a terminal.
bool isCleanText(std::string_view text);
// The same with what is not replaced by '?', cut to `cap` bytes at a character's border.
std::string cleanText(std::string_view text, std::size_t cap);
// Cuts and cleans a target so that its record fits and is accepted; labels that do not fit are left out, last ones first.
// Answers how many.
std::size_t makeFit(TargetRecord& target);

}  // namespace recap::host
