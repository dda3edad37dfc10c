// SPDX-License-Identifier: Apache-2.0
// capsule.toml: what an author writes, read by recapd as user recap.
#include "sdk/manifest/reader.hpp"

#include "tests/fuzz/fuzz.hpp"

namespace recap::fuzz {

std::vector<std::string> seeds() {
    return {R"(manifest = 1
[capsule]
name = "noop"
version = "1.0.0"
description = "Does nothing"
image = "recap/noop:1"
command = ["noop"]
[sandbox]
policy = "trusted"
reason = "-"
[limits]
timeout = "30s"
)"};
}

void input(std::string_view bytes) {
    const auto read = manifest::readManifest(bytes, "capsule.toml", "0.1.0");
    static_cast<void>(read);
}

}  // namespace recap::fuzz
