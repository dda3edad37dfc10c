// SPDX-License-Identifier: Apache-2.0
// libFuzzer's side. RECAP_FUZZ_SEEDS: a folder that the seeds, and the corpus of RECAP_FUZZ_CORPUS, are written to.
#include <cstdint>

#include "tests/fuzz/fuzz.hpp"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    const char* folder = std::getenv("RECAP_FUZZ_SEEDS");
    const char* corpus = std::getenv("RECAP_FUZZ_CORPUS");
    if (folder == nullptr || corpus == nullptr) return 0;
    int number = 0;
    for (const auto& inputs : {recap::fuzz::seeds(), recap::fuzz::readCorpus(corpus)})
        for (const std::string& bytes : inputs)
            std::ofstream(std::string(folder) + "/seed-" + std::to_string(++number), std::ios::binary) << bytes;
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    recap::fuzz::input({reinterpret_cast<const char*>(data), size});
    return 0;
}
