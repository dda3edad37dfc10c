// SPDX-License-Identifier: Apache-2.0
// Text of /proc, of which a target writes parts: names, mount points, cgroups. A byte that says which file, and its text.
#include "daemon/launcher/procfs.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace recap::fuzz {

std::vector<std::string> seeds() {
    return {std::string("\0", 1) + "1 (a) b) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 42 1 2\n",
            "\1"
            "2:pids:/x\n1:name=systemd:/y\n0::/docker/1\n",
            "\2"
            "21 1 0:20 / /mnt\\040a rw,nosuid shared:1 - fuse.sshfs src rw\n22 21 0:21 / / rw - ext4 /dev/a rw\n",
            "\3"
            "         0     100000      65536\n     65536     200000          1\n",
            "\4"
            "Name:\tx\nUid:\t0\t1\t2\t3\nNSpid:\t5\t1\nCapBnd:\t00ff\n"};
}

void input(std::string_view bytes) {
    if (bytes.empty()) return;
    const std::string_view text = bytes.substr(1);
    switch (static_cast<unsigned char>(bytes[0]) % 5) {
        case 0: static_cast<void>(launcher::parseStat(text)); break;
        case 1: promise(launcher::parseCgroup(text).size() <= text.size(), "a cgroup's path is of the text"); break;
        case 2:
            for (const auto& mount : launcher::parseMountinfo(text)) {
                promise(mount.path.size() + mount.type.size() <= text.size(), "a mount is of the text");
                static_cast<void>(launcher::isForeign(mount.type));
            }
            break;
        case 3: {
            const auto map = launcher::parseIdMap(text);
            for (const std::uint32_t id : {0u, 1u, 100000u, 0x7fffffffu, 0xffffffffu})
                if (const auto inside = launcher::insideOf(map, id)) promise(!map.empty(), "an id is mapped by a map");
            break;
        }
        default:
            for (const char* key : {"Name", "Uid", "NSpid", "CapBnd", ""})
                promise(launcher::statusLine(text, key).find('\n') == std::string_view::npos, "one line is one line");
    }
}

}  // namespace recap::fuzz
