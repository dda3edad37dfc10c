// SPDX-License-Identifier: Apache-2.0
#include "daemon/host/wire.hpp"

#include <bit>
#include <concepts>
#include <cstring>

namespace recap::host {
namespace {

static_assert(std::endian::native == std::endian::little);

// Header: magic u32, version u16, kind u16, length u32 (all of it), then for the host's records number u64.
constexpr std::size_t kHeader = 12;
constexpr std::uint16_t kToHostBase = 100;

class Writer {
public:
    template <std::integral T>
    void number(T value) {
        bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    void text(std::string_view value) {
        number(static_cast<std::uint32_t>(value.size()));
        bytes_.append(value);
    }
    std::string finish() {
        const auto length = static_cast<std::uint32_t>(bytes_.size());
        std::memcpy(bytes_.data() + 8, &length, sizeof length);
        return std::move(bytes_);
    }

private:
    std::string bytes_;
};

// Reads fields in order; the first one that does not fit makes all later ones empty and ok() false.
class Reader {
public:
    explicit Reader(std::string_view bytes) : rest_(bytes) {}

    template <std::integral T>
    T number() {
        T value{};
        if (rest_.size() < sizeof value) return bad(), value;
        std::memcpy(&value, rest_.data(), sizeof value);
        rest_.remove_prefix(sizeof value);
        return value;
    }
    std::string text(std::size_t cap) {
        const auto size = number<std::uint32_t>();
        if (size > cap || size > rest_.size() || !isCleanText(rest_.substr(0, size))) return bad(), std::string();
        std::string value(rest_.substr(0, size));
        rest_.remove_prefix(size);
        return value;
    }
    template <class Enum>
    Enum choice(Enum last) {
        const auto value = number<std::uint32_t>();
        if (value > static_cast<std::uint32_t>(last)) return bad(), Enum{};
        return static_cast<Enum>(value);
    }
    void bad() {
        ok_ = false;
        rest_ = {};
    }
    bool ok() const { return ok_; }
    bool finished() const { return ok_ && rest_.empty(); }

private:
    std::string_view rest_;
    bool ok_ = true;
};

void write(Writer& out, const Hello& hello) {
    out.text(hello.plugin);
    out.text(hello.version);
}
void write(Writer& out, const TargetRecord& target) {
    out.text(target.id);
    out.text(target.name);
    out.text(target.image);
    out.text(target.runtime);
    out.text(target.cgroup);
    out.number(static_cast<std::uint32_t>(target.state));
    out.number(target.pid);
    out.number(target.startTime);
    out.number(static_cast<std::uint32_t>(target.labels.size()));
    for (const auto& [key, value] : target.labels) {
        out.text(key);
        out.text(value);
    }
    out.number(static_cast<std::uint32_t>(target.aliases.size()));
    for (const auto& alias : target.aliases) out.text(alias);
    out.number(static_cast<std::uint32_t>(target.details.size()));
    for (const auto& [key, value] : target.details) {
        out.text(key);
        out.text(value);
    }
}
void write(Writer&, const SnapshotBegin&) {}
void write(Writer& out, const SnapshotTarget& record) { write(out, record.target); }
void write(Writer& out, const SnapshotEnd& record) { out.number(record.count); }
void write(Writer& out, const Added& record) { write(out, record.target); }
void write(Writer& out, const Changed& record) { write(out, record.target); }
void write(Writer& out, const Removed& record) { out.text(record.id); }
void write(Writer& out, const StateRecord& record) {
    out.number(static_cast<std::uint32_t>(record.state));
    out.text(record.detail);
}
void write(Writer& out, const Found& record) {
    out.number(record.request);
    out.number(static_cast<std::uint32_t>(record.error));
    out.text(record.message);
}
void write(Writer& out, const Pong& record) { out.number(record.nonce); }
void write(Writer& out, const Exported& record) {
    out.number(record.request);
    out.number(static_cast<std::uint32_t>(record.error));
    out.text(record.message);
}
void write(Writer& out, const Find& record) {
    out.number(record.request);
    out.text(record.id);
}
void write(Writer&, const Resync&) {}
void write(Writer& out, const Ping& record) { out.number(record.nonce); }
void write(Writer& out, const Export& record) {
    out.number(record.request);
    out.text(record.reference);
}

void read(Reader& in, Hello& hello) {
    hello.plugin = in.text(kMaxText);
    hello.version = in.text(kMaxText);
}
void read(Reader& in, TargetRecord& target) {
    target.id = in.text(kMaxId);
    if (target.id.empty()) in.bad();
    target.name = in.text(kMaxText);
    target.image = in.text(kMaxText);
    target.runtime = in.text(kMaxText);
    target.cgroup = in.text(kMaxLabelText);
    target.state = in.choice(TargetState::Stopped);
    target.pid = in.number<std::int32_t>();
    target.startTime = in.number<std::uint64_t>();
    const auto labels = in.number<std::uint32_t>();
    if (labels > kMaxLabels || target.pid < 0) in.bad();
    for (std::uint32_t i = 0; i < labels && in.ok(); ++i) {
        auto key = in.text(kMaxLabelText);
        auto value = in.text(kMaxLabelText);
        if (!target.labels.emplace(std::move(key), std::move(value)).second) in.bad();
    }
    const auto aliases = in.number<std::uint32_t>();
    if (aliases > kMaxAliases) in.bad();
    for (std::uint32_t i = 0; i < aliases && in.ok(); ++i) target.aliases.push_back(in.text(kMaxDetailText));
    const auto details = in.number<std::uint32_t>();
    if (details > kMaxDetails) in.bad();
    for (std::uint32_t i = 0; i < details && in.ok(); ++i) {
        auto key = in.text(kMaxDetailText);
        auto value = in.text(kMaxDetailText);
        if (!target.details.emplace(std::move(key), std::move(value)).second) in.bad();
    }
}
void read(Reader&, SnapshotBegin&) {}
void read(Reader& in, SnapshotTarget& record) { read(in, record.target); }
void read(Reader& in, SnapshotEnd& record) { record.count = in.number<std::uint32_t>(); }
void read(Reader& in, Added& record) { read(in, record.target); }
void read(Reader& in, Changed& record) { read(in, record.target); }
void read(Reader& in, Removed& record) { record.id = in.text(kMaxId); }
void read(Reader& in, StateRecord& record) {
    record.state = in.choice(BackendState::Unavailable);
    record.detail = in.text(kMaxText);
}
void read(Reader& in, Found& record) {
    record.request = in.number<std::uint64_t>();
    record.error = in.choice(Errc::Internal);
    record.message = in.text(kMaxText);
}
void read(Reader& in, Pong& record) { record.nonce = in.number<std::uint64_t>(); }
void read(Reader& in, Exported& record) {
    record.request = in.number<std::uint64_t>();
    record.error = in.choice(Errc::Internal);
    record.message = in.text(kMaxText);
}
void read(Reader& in, Find& record) {
    record.request = in.number<std::uint64_t>();
    record.id = in.text(kMaxId);
}
void read(Reader&, Resync&) {}
void read(Reader& in, Ping& record) { record.nonce = in.number<std::uint64_t>(); }
void read(Reader& in, Export& record) {
    record.request = in.number<std::uint64_t>();
    record.reference = in.text(kMaxText);
}

Writer begin(std::uint16_t kind) {
    Writer out;
    out.number(kMagic);
    out.number(kWireVersion);
    out.number(kind);
    out.number(std::uint32_t{0});
    return out;
}

// The kind of a record whose header is sound.
Result<std::uint16_t> checkHeader(Reader& in, std::string_view bytes) {
    const auto magic = in.number<std::uint32_t>();
    const auto version = in.number<std::uint16_t>();
    const auto kind = in.number<std::uint16_t>();
    const auto length = in.number<std::uint32_t>();
    if (bytes.size() > kMaxRecord)
        return fail(Errc::LimitExceeded,
                    "a record of " + std::to_string(bytes.size()) + " bytes; the most is " + std::to_string(kMaxRecord));
    if (!in.ok() || magic != kMagic || length != bytes.size()) return fail(Errc::InvalidArgument, "bytes that are no record");
    if (version != kWireVersion)
        return fail(Errc::NotSupported,
                    "a record of version " + std::to_string(version) + "; this recapd speaks " + std::to_string(kWireVersion));
    return kind;
}

// Makes the variant's alternative number `index` and reads it.
template <class Variant, std::size_t I = 0>
Result<Variant> readAlternative(Reader& in, std::size_t index) {
    if constexpr (I == std::variant_size_v<Variant>) {
        return fail(Errc::InvalidArgument, "a record of the unknown kind " + std::to_string(index));
    } else {
        if (index != I) return readAlternative<Variant, I + 1>(in, index);
        Result<Variant> made(tl::in_place, std::in_place_index<I>);
        read(in, std::get<I>(*made));
        if (!in.finished()) return fail(Errc::InvalidArgument, "a record of kind " + std::to_string(index) + " whose fields do not fit");
        return made;
    }
}

// Bytes of the UTF-8 character at the front of `text`; 0: none that is valid and no control character.
std::size_t characterLength(std::string_view text) {
    const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
    const unsigned first = byte(0);
    if (first < 0x80) return first < 0x20 || first == 0x7f ? 0 : 1;
    const std::size_t length = first >= 0xc2 && first < 0xe0   ? 2
                               : first >= 0xe0 && first < 0xf0 ? 3
                               : first >= 0xf0 && first < 0xf5 ? 4
                                                               : 0;
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0u) != 0x80) return 0;
    }
    const unsigned second = byte(1);
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) || (first == 0xf0 && second < 0x90) ||
        (first == 0xf4 && second > 0x8f))
        return 0;
    if (first == 0xc2 && second < 0xa0) return 0;  // C1 controls
    // Noncharacters, which sd-bus refuses: U+FDD0 to U+FDEF, and the last two of each plane.
    const unsigned last = byte(length - 1);
    if (first == 0xef && second == 0xb7 && last >= 0x90 && last <= 0xaf) return 0;
    const bool planeEnd = (first == 0xef && second == 0xbf) || (length == 4 && (second & 0x0fu) == 0x0f && byte(2) == 0xbf);
    if (planeEnd && last >= 0xbe) return 0;
    return length;
}

std::size_t encodedSize(const TargetRecord& target) {
    std::size_t size = kHeader + 8 + 5 * 4 + 28 + target.id.size() + target.name.size() + target.image.size() + target.runtime.size() +
                       target.cgroup.size();
    for (const auto* pairs : {&target.labels, &target.details})
        for (const auto& [key, value] : *pairs) size += 8 + key.size() + value.size();
    for (const auto& alias : target.aliases) size += 4 + alias.size();
    return size;
}

}  // namespace

std::string encode(std::uint64_t number, const FromHost& record) {
    Writer out = begin(static_cast<std::uint16_t>(record.index() + 1));
    out.number(number);
    std::visit([&](const auto& fields) { write(out, fields); }, record);
    return out.finish();
}

std::string encode(const ToHost& record) {
    Writer out = begin(static_cast<std::uint16_t>(kToHostBase + record.index()));
    std::visit([&](const auto& fields) { write(out, fields); }, record);
    return out.finish();
}

Result<Numbered> decodeFromHost(std::string_view bytes) {
    Reader in(bytes);
    const auto kind = checkHeader(in, bytes);
    if (!kind) return tl::unexpected(kind.error());
    Numbered numbered;
    numbered.number = in.number<std::uint64_t>();
    auto record = readAlternative<FromHost>(in, static_cast<std::size_t>(*kind) - 1);
    if (!record) return tl::unexpected(std::move(record.error()));
    numbered.record = std::move(*record);
    return numbered;
}

Result<ToHost> decodeToHost(std::string_view bytes) {
    Reader in(bytes);
    const auto kind = checkHeader(in, bytes);
    if (!kind) return tl::unexpected(kind.error());
    return readAlternative<ToHost>(in, static_cast<std::size_t>(*kind) - kToHostBase);
}

bool isCleanText(std::string_view text) {
    while (!text.empty()) {
        const std::size_t length = characterLength(text);
        if (length == 0) return false;
        text.remove_prefix(length);
    }
    return true;
}

std::string cleanText(std::string_view text, std::size_t cap) {
    std::string clean;
    while (!text.empty()) {
        const std::size_t length = characterLength(text);
        if (clean.size() + std::max<std::size_t>(length, 1) > cap) break;
        if (length == 0)
            clean += '?';
        else
            clean += text.substr(0, length);
        text.remove_prefix(std::max<std::size_t>(length, 1));
    }
    return clean;
}

std::size_t makeFit(TargetRecord& target) {
    target.id = cleanText(target.id, kMaxId);
    target.name = cleanText(target.name, kMaxText);
    target.image = cleanText(target.image, kMaxText);
    target.runtime = cleanText(target.runtime, kMaxText);
    target.cgroup = cleanText(target.cgroup, kMaxLabelText);
    if (target.aliases.size() > kMaxAliases) target.aliases.resize(kMaxAliases);
    for (auto& alias : target.aliases) alias = cleanText(alias, kMaxDetailText);
    std::map<std::string, std::string> details;
    for (const auto& [key, value] : target.details) {
        if (details.size() < kMaxDetails) details.emplace(cleanText(key, kMaxDetailText), cleanText(value, kMaxDetailText));
    }
    target.details = std::move(details);
    const std::size_t given = target.labels.size();
    std::map<std::string, std::string> labels;
    for (const auto& [key, value] : target.labels) {
        if (key.size() <= kMaxLabelText && value.size() <= kMaxLabelText)
            labels.emplace(cleanText(key, kMaxLabelText), cleanText(value, kMaxLabelText));
    }
    target.labels = std::move(labels);
    while (target.labels.size() > kMaxLabels || encodedSize(target) > kMaxRecord) target.labels.erase(std::prev(target.labels.end()));
    return given - target.labels.size();
}

}  // namespace recap::host
