// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/ceiling.hpp"

#include "daemon/launcher/codec.hpp"

namespace recap::launcher {

namespace {
constexpr std::uint32_t kCeilingMagic = 0x4c454352;  // "RCEL"
constexpr std::uint32_t kCeilingVersion = 1;
}  // namespace

std::string encodeCeiling(const Ceiling& ceiling) {
    Writer writer;
    writer(kCeilingMagic, kCeilingVersion, ceiling);
    return std::move(writer.bytes());
}

Result<Ceiling> decodeCeiling(std::string_view bytes) {
    std::uint32_t magic = 0;
    std::uint32_t version = 0;
    Ceiling ceiling;
    Reader reader(bytes);
    reader(magic, version);
    if (!reader.ok() || magic != kCeilingMagic) return fail(Errc::InvalidArgument, "not a compiled ceiling");
    if (version != kCeilingVersion) return fail(Errc::NotSupported, "compiled ceiling of version " + std::to_string(version));
    reader(ceiling);
    if (!reader.exhausted()) return fail(Errc::InvalidArgument, "malformed compiled ceiling");
    if ((ceiling.hostNamespaces & ~kHostNamespaces) != 0)
        return fail(Errc::InvalidArgument, "host-namespaces: the host's mnt, user and cgroup namespaces are never joined");
    return ceiling;
}

}  // namespace recap::launcher
