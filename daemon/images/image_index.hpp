// SPDX-License-Identifier: Apache-2.0
// The images that recapd knows: one file of recap-unpack's answer each, in state/images/. On the loop.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/core/image.hpp"
#include "daemon/core/image_store.hpp"
#include "daemon/core/launcher.hpp"

namespace recap::images {

class Index : public ImageIndex {
public:
    // Makes the folder where it is missing. Files that cannot be read are left out and named in problems().
    static Result<std::unique_ptr<Index>> open(std::filesystem::path folder);

    Result<const Image*> find(std::string_view reference) const override;
    std::vector<const Image*> list() const override;

    // After IMPORT. Without a given name, the one that the archive gives itself, if it is NAME:TAG. A reference that another image
    // had moves. `now` is RFC 3339. The image is not admitted: that is the launcher's word.
    Result<const Image*> record(const ImportedImage& imported, const ImportName& name, const std::string& now);

    // After REMOVE_IMAGE. Errc::NotFound for a digest that is not here.
    Result<void> remove(const std::string& digest);

    // The launcher's IMAGES: admissions, and which images it still has. Returns the digests that it has and the index does
    // not know (their answers are lost: import them again).
    std::vector<std::string> setAdmission(const std::vector<AdmissionState>& states);
    void setAdmission(const std::string& digest, bool admitted);

    const std::vector<std::string>& problems() const { return problems_; }

private:
    struct Entry {
        Image image;
        std::string answer;  // as recap-unpack wrote it
    };

    explicit Index(std::filesystem::path folder) : folder_(std::move(folder)) {}
    void load();
    Result<void> save(const Entry& entry) const;
    Result<const Image*> findByDigest(std::string_view digits, std::string_view asked) const;
    Result<void> takeReferences(const Image& owner);
    std::filesystem::path fileOf(const std::string& digest) const { return folder_ / (digest + ".json"); }

    std::filesystem::path folder_;
    std::map<std::string, Entry> images_;  // by digest
    std::vector<std::string> problems_;
};

}  // namespace recap::images
