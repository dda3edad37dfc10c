// SPDX-License-Identifier: Apache-2.0
// replay CORPUS ROUNDS: every seed, every line of the file, and ROUNDS mutations of them, the same each time.
#include <iterator>
#include <random>

#include "tests/fuzz/fuzz.hpp"

namespace {

std::vector<std::string> inputs(const char* corpus) {
    std::vector<std::string> all = recap::fuzz::seeds();
    for (std::string& bytes : recap::fuzz::readCorpus(corpus)) all.push_back(std::move(bytes));
    return all;
}

class Mutator {
public:
    std::string operator()(std::string bytes, const std::string& other) {
        for (std::size_t times = 1 + below(4); times > 0; --times) mutate(bytes, other);
        return bytes;
    }
    std::size_t below(std::size_t end) { return end == 0 ? 0 : random_() % end; }

private:
    void mutate(std::string& bytes, const std::string& other) {
        constexpr std::uint32_t kBorders[] = {0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff};
        const std::size_t at = below(bytes.size() + 1);
        switch (below(6)) {
            case 0: bytes.resize(at); break;
            case 1: bytes.insert(at, 1 + below(8), static_cast<char>(below(256))); break;
            case 2: bytes.insert(at, other, below(other.size() + 1), below(64)); break;
            case 3: bytes.erase(at, 1 + below(8)); break;
            case 4:
                if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
                break;
            default:
                const std::uint32_t border = kBorders[below(std::size(kBorders))];
                bytes.replace(at, std::min(sizeof(border), bytes.size() - at), reinterpret_cast<const char*>(&border), sizeof(border));
        }
    }

    std::mt19937_64 random_{26};
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return std::fprintf(stderr, "usage: %s CORPUS ROUNDS\n", argv[0]), 2;
    const std::vector<std::string> all = inputs(argv[1]);
    recap::fuzz::promise(!all.empty(), "there is something to replay");
    for (const std::string& bytes : all) recap::fuzz::input(bytes);
    Mutator mutate;
    const long rounds = std::atol(argv[2]);
    for (long round = 0; round < rounds; ++round) recap::fuzz::input(mutate(all[mutate.below(all.size())], all[mutate.below(all.size())]));
    std::printf("%zu inputs and %ld mutations of them\n", all.size(), rounds);
    return 0;
}
