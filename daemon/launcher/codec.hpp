// SPDX-License-Identifier: Apache-2.0
// The launcher's records as bytes. One list of fields a struct serves writing and reading, so that the two cannot part.
// Reading is strict: counts before memory, enumerations within their range, not a byte left over.
#pragma once

#include <bit>
#include <concepts>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

#include "daemon/launcher/protocol.hpp"
#include "sdk/base/result.hpp"

namespace recap::launcher {

inline constexpr std::size_t kHeaderSize = 16;
static_assert(std::endian::native == std::endian::little, "numbers travel as they lie in memory");

// The last value of each enumeration that travels.
constexpr auto last(Processes) { return Processes::Join; }
constexpr auto last(View) { return View::Write; }
constexpr auto last(Stdio) { return Stdio::Terminal; }
constexpr auto last(Storage) { return Storage::Disk; }
constexpr auto last(RunPhase) { return RunPhase::Finished; }
constexpr auto last(End) { return End::NotStarted; }
constexpr auto last(WatchKind) { return WatchKind::File; }
constexpr auto last(Resource) { return Resource::Io; }
constexpr auto last(WatchForm) { return WatchForm::Changes; }
constexpr auto last(Errc) { return kLastErrc; }

class Writer {
public:
    template <class... T>
    void operator()(const T&... values) {
        (put(values), ...);
    }
    const std::string& bytes() const { return bytes_; }
    std::string& bytes() { return bytes_; }

private:
    template <std::integral T>
    void put(T value) {
        bytes_.append(reinterpret_cast<const char*>(&value), sizeof(T));
    }
    template <class E>
        requires std::is_enum_v<E>
    void put(E value) { put(static_cast<std::underlying_type_t<E>>(value)); }
    void put(const std::string& text) {
        put(static_cast<std::uint32_t>(text.size()));
        bytes_ += text;
    }
    template <class T>
    void put(const std::vector<T>& list) {
        put(static_cast<std::uint32_t>(list.size()));
        if (list.empty()) return;
        if constexpr (std::integral<T>) {
            bytes_.append(reinterpret_cast<const char*>(list.data()), list.size() * sizeof(T));
        } else {
            for (const auto& item : list) put(item);
        }
    }
    template <class T, std::size_t N>
    void put(const std::array<T, N>& list) {
        for (const auto& item : list) put(item);
    }
    template <class T>
        requires std::is_class_v<T>
    void put(const T& value) {
        fields(*this, const_cast<T&>(value));  // NOLINT: one list of fields for both ways; the writer only reads
    }

    std::string bytes_;
};

class Reader {
public:
    explicit Reader(std::string_view bytes) : rest_(bytes) {}

    template <class... T>
    void operator()(T&... values) {
        (get(values), ...);
    }
    bool ok() const { return ok_; }
    bool exhausted() const { return ok_ && rest_.empty(); }

private:
    template <std::integral T>
    void get(T& value) {
        if (rest_.size() < sizeof(T)) return fail();
        if constexpr (std::same_as<T, bool>) {
            if (static_cast<unsigned char>(rest_[0]) > 1) return fail();
            value = rest_[0] == 1;
        } else {
            std::memcpy(&value, rest_.data(), sizeof(T));
        }
        rest_.remove_prefix(sizeof(T));
    }
    template <class E>
        requires std::is_enum_v<E>
    void get(E& value) {
        std::underlying_type_t<E> raw{};
        get(raw);
        if (raw > static_cast<std::underlying_type_t<E>>(last(E{}))) return fail();
        value = static_cast<E>(raw);
    }
    void get(std::string& text) {
        std::uint32_t size = 0;
        get(size);
        if (!ok_ || size > kMaxString || size > rest_.size()) return fail();
        text.assign(rest_.substr(0, size));
        rest_.remove_prefix(size);
    }
    template <class T>
    void get(std::vector<T>& list) {
        std::uint32_t count = 0;
        get(count);
        // Every item takes at least a byte, so a count beyond what is left is a lie; no memory before this.
        constexpr std::size_t cap = std::is_same_v<T, std::uint64_t> ? kMaxFilter : kMaxStrings;
        if (!ok_ || count > cap || count > rest_.size()) return fail();
        list.clear();
        if (count == 0) return;
        if constexpr (std::integral<T>) {
            if (rest_.size() < count * sizeof(T)) return fail();
            list.resize(count);
            std::memcpy(list.data(), rest_.data(), count * sizeof(T));
            rest_.remove_prefix(count * sizeof(T));
        } else {
            for (std::uint32_t i = 0; i < count && ok_; ++i) get(list.emplace_back());
        }
    }
    template <class T, std::size_t N>
    void get(std::array<T, N>& list) {
        for (auto& item : list) get(item);
    }
    template <class T>
        requires std::is_class_v<T>
    void get(T& value) { fields(*this, value); }
    void fail() {
        ok_ = false;
        rest_ = {};
    }

    std::string_view rest_;
    bool ok_ = true;
};

// One line a struct, in the order of protocol.hpp.
// clang-format off
template <class A> void fields(A& a, Hello& v) { a(v.version, v.features, v.launcher, v.openFiles, v.hostNamespaces); }
template <class A> void fields(A& a, IdRange& v) { a(v.inside, v.outside, v.count); }
template <class A> void fields(A& a, TargetFacts& v) {
    a(v.pid, v.startTime, v.cgroup, v.namespaces, v.hostNamespaces, v.uid, v.gid, v.groups, v.capBounding, v.capEffective,
      v.rootDevice, v.rootInode, v.foreignMounts, v.userNamespaceMapped, v.uidMap, v.gidMap);
}
template <class A> void fields(A& a, Limits& v) { a(v.memory, v.cpuMilli, v.pids, v.scratch); }
template <class A> void fields(A& a, Plan& v) {
    a(v.runId, v.timeoutUsec, v.graceUsec, v.callerUid, v.boundTo, v.capsule, v.target, v.startTime, v.cgroup, v.expected, v.namespaces,
      v.processes, v.view, v.writes, v.freeze, v.imageDigest, v.layers, v.executable, v.argv, v.env, v.workdir, v.uid, v.gid, v.groups,
      v.capabilities, v.noFile, v.limits, v.stdio, v.attached, v.rows, v.columns, v.logMax, v.artifacts, v.artifactsMax, v.artifactsStorage, v.filter);
}
template <class A> void fields(A& a, Started& v) { a(v.runId); }
template <class A> void fields(A& a, Report& v) {
    a(v.runId, v.end, v.value, v.step, v.error, v.message, v.received, v.attached, v.executing, v.finished, v.escaped, v.left,
      v.cpuUsec, v.cpuSystemUsec, v.memoryPeak, v.pidsPeak, v.outOfMemory, v.logTruncated, v.logBytes, v.unenforcedLimits, v.omittedMounts,
      v.written, v.hasArtifacts);
}
template <class A> void fields(A& a, RunEvent& v) { a(v.phase, v.report); }
template <class A> void fields(A& a, SignalRequest& v) { a(v.runId, v.signal); }
template <class A> void fields(A& a, StopRequest& v) { a(v.runId, v.graceUsec); }
template <class A> void fields(A& a, ResizeRequest& v) { a(v.runId, v.rows, v.columns); }
template <class A> void fields(A& a, AttachRequest& v) { a(v.runId, v.takeOver, v.replay); }
template <class A> void fields(A& a, RunRef& v) { a(v.runId); }
template <class A> void fields(A& a, ImageRef& v) { a(v.digest); }
template <class A> void fields(A& a, WatchRequest& v) {
    a(v.target, v.startTime, v.cgroup, v.mounts, v.kind, v.resource, v.stallUsec, v.windowUsec, v.path);
}
template <class A> void fields(A& a, Watched& v) { a(v.id, v.form, v.stallUsec, v.windowUsec); }
template <class A> void fields(A& a, WatchRef& v) { a(v.id); }
template <class A> void fields(A& a, RunState& v) { a(v.phase, v.report, v.capsule, v.target, v.callerUid, v.boundTo, v.terminal); }
template <class A> void fields(A& a, RunList& v) { a(v.runs); }
template <class A> void fields(A& a, ImageEntry& v) { a(v.digest, v.admitted); }
template <class A> void fields(A& a, ImageList& v) { a(v.images); }
template <class A> void fields(A& a, Reply& v) { a(v.status, v.message); }
// clang-format on

struct Empty {};
template <class A>
void fields(A&, Empty&) {}

inline void putHeader(Writer& writer, Verb verb, std::uint32_t sequence) {
    writer(kMagic, kVersion, static_cast<std::uint16_t>(verb), std::uint32_t{0}, sequence);
}

inline std::string sealed(Writer& writer) {
    const auto length = static_cast<std::uint32_t>(writer.bytes().size());
    for (std::size_t i = 0; i < 4; ++i) writer.bytes()[8 + i] = static_cast<char>(length >> (8 * i));
    return std::move(writer.bytes());
}

// A request or an event.
template <class T>
std::string encode(Verb verb, std::uint32_t sequence, const T& body) {
    Writer writer;
    putHeader(writer, verb, sequence);
    writer(body);
    return sealed(writer);
}

template <class T>
std::string encodeReply(Verb verb, std::uint32_t sequence, const T& body) {
    Writer writer;
    putHeader(writer, verb, sequence);
    writer(Reply{});
    writer(body);
    return sealed(writer);
}

inline std::string encodeFailure(Verb verb, std::uint32_t sequence, const Error& error) {
    return encode(verb, sequence, Reply{error.code, error.message});
}

inline Result<Header> decodeHeader(std::string_view message) {
    if (message.size() < kHeaderSize) return fail(Errc::InvalidArgument, "message shorter than a header");
    Header header;
    std::uint16_t verb = 0;
    Reader reader(message.substr(0, kHeaderSize));
    reader(header.magic, header.version, verb, header.length, header.sequence);
    header.verb = static_cast<Verb>(verb);
    if (header.magic != kMagic) return fail(Errc::InvalidArgument, "not a message of recap-launcher's protocol");
    if (header.version != kVersion)
        return fail(Errc::NotSupported,
                    "protocol version " + std::to_string(header.version) + ", this side speaks " + std::to_string(kVersion));
    if (header.length != message.size())
        return fail(Errc::InvalidArgument, "message of " + std::to_string(message.size()) + " bytes says " + std::to_string(header.length));
    return header;
}

// The body of a request or event; the header must have been read before.
template <class T>
Result<T> decode(std::string_view message) {
    T body{};
    Reader reader(message.substr(kHeaderSize));
    reader(body);
    if (!reader.exhausted()) return fail(Errc::InvalidArgument, "malformed message body");
    return body;
}

// The body of a reply, or the failure that it carries.
template <class T>
Result<T> decodeReply(std::string_view message) {
    Reply status;
    T body{};
    Reader reader(message.substr(kHeaderSize));
    reader(status);
    if (reader.ok() && status.status != Errc::None) return fail(status.status, std::move(status.message));
    reader(body);
    if (!reader.exhausted()) return fail(Errc::Internal, "malformed reply");
    return body;
}

}  // namespace recap::launcher
