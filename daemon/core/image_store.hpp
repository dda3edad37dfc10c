// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "daemon/core/image.hpp"
#include "daemon/core/launcher.hpp"
#include "sdk/base/result.hpp"

namespace recap {

// What an import is to be called.
struct ImportName {
    std::string given;  // by the importer, NAME[:TAG]; empty: as the archive calls itself
    // Of an engine's image: what the engine was asked for, in each way of saying it. Its archive may be called by no other name.
    std::vector<std::string> asked = {};
};

// The index with its writing side; implemented by daemon/images over state/images. On the loop.
class ImageStore : public ImageIndex {
public:
    // Whether an import may be called so: a NAME[:TAG], or empty.
    virtual Result<void> checkReference(const std::string& reference) const = 0;
    // Its digest. Another image's reference moves.
    virtual Result<std::string> record(ImportedImage imported, const ImportName& name) = 0;
    virtual Result<void> forget(const std::string& digest) = 0;              // after the launcher has removed it
    virtual void admissions(const std::vector<AdmissionState>& states) = 0;  // the launcher's word; what it lacks is not there
};

}  // namespace recap
