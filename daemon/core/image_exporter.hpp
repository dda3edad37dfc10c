// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap {

// Images of a backend's engine, brought here by its plugin host: recapd itself never touches an engine. On the loop.
class ImageExporter {
public:
    virtual ~ImageExporter() = default;
    // Writes the image that `reference` names in the engine's words, as a tar, into the pipe whose end `out` is, and closes it.
    // It may take as long as it likes; who closes the pipe's other end has it ended, and that is no error. Errors do not name
    // the backend. The reply comes on a later turn where a host is asked, from inside the call otherwise.
    virtual void exportImage(const std::string& backend, const std::string& reference, UniqueFd out,
                             std::function<void(Result<void>)> reply) = 0;
};

}  // namespace recap
