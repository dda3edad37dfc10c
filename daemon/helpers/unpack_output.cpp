// SPDX-License-Identifier: Apache-2.0
#include "daemon/helpers/unpack_output.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "daemon/launcher/protocol.hpp"
#include "sdk/base/unique_fd.hpp"
#include "sdk/image/digest.hpp"
#include "sdk/image/stream.hpp"

namespace recap::helpers {
namespace {

void putU32(std::string& bytes, std::uint32_t value) {
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(value >> shift & 0xff);
}

std::string_view letter(image::FileEntry::Kind kind) {
    using Kind = image::FileEntry::Kind;
    return kind == Kind::Regular ? "f" : kind == Kind::Directory ? "d" : kind == Kind::Symlink ? "l" : "o";
}

Result<void> writeFile(int folder, const char* name, std::string_view bytes) {
    const UniqueFd fd(::openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd) return failErrno(name);
    if (auto put = image::writeAll(fd.get(), bytes); !put) return forward(std::move(put), name);
    return {};
}

}  // namespace

std::string imageRecord(const image::ImportedImage& image) {
    std::string bytes = "RIMG";
    putU32(bytes, launcher::kImageRecordVersion);
    putU32(bytes, image::elfMachine(image.config.architecture));
    putU32(bytes, static_cast<std::uint32_t>(image.config.diffIds.size()));
    bytes += image::digestBytes(image.digest);
    for (const auto& id : image.config.diffIds) bytes += image::digestBytes(id);
    return bytes;
}

Result<std::string> answerText(const image::ImportedImage& image) {
    using Json = nlohmann::json;
    Json files = Json::array();
    for (const auto& [path, entry] : image.files) {
        if (!path.empty()) files.push_back({"/" + path, letter(entry.kind), entry.mode, entry.link});
    }
    const Json answer{{"digest", image.digest},
                      {"reference", image.reference},
                      {"architecture", image.config.architecture},
                      {"layers", image.config.diffIds},
                      {"size", image.size},
                      {"config",
                       {{"Entrypoint", image.config.entrypoint},
                        {"Cmd", image.config.cmd},
                        {"Env", image.config.env},
                        {"WorkingDir", image.config.workdir},
                        {"Labels", image.config.labels}}},
                      {"files", std::move(files)}};
    auto text = answer.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (text.size() > image::kMaxAnswer) {
        return fail(Errc::LimitExceeded, "the image's list of files is over " + std::to_string(image::kMaxAnswer) + " bytes");
    }
    return text;
}

Result<void> writeOutput(int staging, const image::ImportedImage& image) {
    if (image::elfMachine(image.config.architecture) == 0) {
        return fail(Errc::InvalidArgument, "config: architecture '" + image.config.architecture + "' is not known");
    }
    auto answer = answerText(image);
    if (!answer) return forward(std::move(answer));
    if (auto put = writeFile(staging, "answer.json", *answer); !put) return put;
    return writeFile(staging, "image", imageRecord(image));  // the launcher syncs when it takes the layers over
}

}  // namespace recap::helpers
