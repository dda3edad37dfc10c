// SPDX-License-Identifier: Apache-2.0
// The image store as the launcher uses it: layers by diff-id, image records, admissions. Root-owned; names are hex digits only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "daemon/launcher/protocol.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::launcher {

struct ImageRecord {
    std::string digest;
    std::uint32_t machine = 0;  // ELF e_machine
    std::vector<std::string> layers;
};

std::string encodeRecord(const ImageRecord& record);
Result<ImageRecord> decodeRecord(std::string_view bytes);

class Store {
public:
    static Result<Store> open(const std::string& path);

    int layersFd() const { return layers_.get(); }
    // Admitted, for this machine, and made of exactly these layers; else an error that names which is not so.
    Result<void> check(const std::string& digest, const std::vector<std::string>& layers) const;
    Result<UniqueFd> openLayer(const std::string& diffId) const { return openLayer(layersFd(), diffId); }
    static Result<UniqueFd> openLayer(int layers, const std::string& diffId);  // `layers`: the folder of them
    Result<void> admit(const std::string& digest) const;
    struct Stored {
        ImageRecord record;
        bool admitted = false;
    };
    // In the order of their digests, those after `after`, at most `most`.
    std::vector<Stored> list(std::string_view after = {}, std::size_t most = SIZE_MAX) const;

    // An empty folder for recap-unpack, and its name for adopt() or discard().
    Result<UniqueFd> makeIncoming(std::string& name) const;
    // Moves what recap-unpack made into place; the digest. Layers that are there already are left in the folder.
    Result<std::string> adopt(const std::string& name) const;
    // Takes an image off the index; its layers that no other image has go to a folder of incoming/, named here, to be removed.
    Result<std::string> retire(const std::string& digest) const;
    // Removes incoming/<name>, which is as deep and wide as recap-unpack made it: for a child process.
    static void removeIncoming(int incoming, const std::string& name);
    std::vector<std::string> incoming() const;  // what imports left
    int incomingFd() const { return incoming_.get(); }
    std::vector<int> descriptors() const { return {root_.get(), layers_.get(), images_.get(), admitted_.get(), incoming_.get()}; }

private:
    Result<ImageRecord> record(const std::string& digest) const;
    UniqueFd root_, layers_, images_, admitted_, incoming_;
};

}  // namespace recap::launcher
