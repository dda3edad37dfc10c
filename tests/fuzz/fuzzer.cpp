// SPDX-License-Identifier: Apache-2.0
// libFuzzer's side. RECAP_FUZZ_SEEDS: a folder that the seeds are written to.
#include <cstdint>
#include <fstream>

#include "tests/fuzz/fuzz.hpp"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    const char* folder = std::getenv("RECAP_FUZZ_SEEDS");
    int number = 0;
    if (folder != nullptr)
        for (const std::string& seed : recap::fuzz::seeds())
            std::ofstream(std::string(folder) + "/seed-" + std::to_string(++number), std::ios::binary) << seed;
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    recap::fuzz::input({reinterpret_cast<const char*>(data), size});
    return 0;
}
