// SPDX-License-Identifier: Apache-2.0
// Tar as an attacker writes it: any name, any type, any record, byte by byte. Tests only.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace recap::test {

struct RawMember {
    std::string name;
    char type = '0';  // '1' hard link, '2' symbolic link, '3' character device, '4' block device, '5' folder, '6' fifo
    std::string content = {};
    std::string link = {};
    unsigned mode = 0644;
    unsigned uid = 0;
    unsigned gid = 0;
    std::vector<std::pair<std::string, std::string>> pax = {};  // "path", "linkpath", "SCHILY.xattr.NAME", …
    std::uint64_t declaredSize = ~std::uint64_t{0};             // default: the content's
};

std::string rawTar(const std::vector<RawMember>& members, bool ended = true);

}  // namespace recap::test
