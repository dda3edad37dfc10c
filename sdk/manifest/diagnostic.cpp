// SPDX-License-Identifier: Apache-2.0
#include "sdk/manifest/diagnostic.hpp"

#include <algorithm>
#include <tuple>

namespace recap::manifest {

std::string Diagnostic::text() const {
    std::string result = file;
    if (line) result += ":" + std::to_string(line) + ":" + std::to_string(column);
    if (!key.empty()) result += ": " + key;
    return result + ": " + message;
}

std::string join(const Diagnostics& diagnostics) {
    std::string result;
    for (const auto& diagnostic : diagnostics) result += (result.empty() ? "" : "\n") + diagnostic.text();
    return result;
}

void sortByPosition(Diagnostics& diagnostics) {
    std::stable_sort(diagnostics.begin(), diagnostics.end(),
                     [](const Diagnostic& a, const Diagnostic& b) { return std::tie(a.line, a.column) < std::tie(b.line, b.column); });
}

}  // namespace recap::manifest
