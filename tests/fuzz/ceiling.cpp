// SPDX-License-Identifier: Apache-2.0
// ceiling.bin, and an image's record in the store: root's own files, which a launcher must not fall over either.
#include "daemon/launcher/ceiling.hpp"
#include "daemon/launcher/store.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace recap::fuzz {

std::vector<std::string> seeds() {
    launcher::Ceiling wide;
    wide.writes = {"/var/log", "/srv"};
    wide.freeze = wide.rootUser = true;
    launcher::Ceiling hosts, forged;
    hosts.hostNamespaces = launcher::kHostNamespaces;
    forged.hostNamespaces = launcher::kNsNet | launcher::kNsMnt;
    return {launcher::encodeCeiling({}), launcher::encodeCeiling(wide), launcher::encodeCeiling(hosts), launcher::encodeCeiling(forged),
            launcher::encodeRecord({std::string(64, 'a'), 62, {std::string(64, 'b')}})};
}

void input(std::string_view bytes) {
    if (const auto ceiling = launcher::decodeCeiling(bytes)) {
        promise(launcher::encodeCeiling(*ceiling) == bytes, "one ceiling has one form");
        promise((ceiling->hostNamespaces & ~launcher::kHostNamespaces) == 0, "none lets the host's files, users or cgroups be joined");
    }
    if (const auto record = launcher::decodeRecord(bytes)) promise(launcher::encodeRecord(*record) == bytes, "one record has one form");
}

}  // namespace recap::fuzz
