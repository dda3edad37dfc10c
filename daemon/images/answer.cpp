// SPDX-License-Identifier: Apache-2.0
#include "daemon/images/answer.hpp"

#include <optional>

#include <nlohmann/json.hpp>

#include "sdk/image/digest.hpp"
#include "sdk/image/limits.hpp"
#include "sdk/image/names.hpp"

namespace recap::images {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxStrings = 1024;
constexpr std::size_t kMaxString = 32 * 1024;
constexpr std::size_t kMaxLink = 4096;

tl::unexpected<Error> refuse(std::string_view key, std::string_view why) {
    return fail(Errc::InvalidArgument, "answer of the import: '" + std::string(key) + "' " + std::string(why));
}

std::optional<std::string> text(const Json& value, std::size_t limit = kMaxString) {
    if (!value.is_string()) return {};
    const auto& string = value.get_ref<const std::string&>();
    if (string.size() > limit || string.find('\0') != string.npos) return {};
    return string;
}

const Json& at(const Json& object, const char* key) {
    static const Json kNull;
    const auto found = object.is_object() ? object.find(key) : object.end();
    return object.is_object() && found != object.end() ? *found : kNull;
}

Result<void> take(const Json& object, const char* key, std::vector<std::string>& list) {
    const auto& array = at(object, key);
    if (!array.is_array() || array.size() > kMaxStrings) return refuse(key, "is not an array of at most 1024 strings");
    for (const auto& item : array) {
        auto string = text(item);
        if (!string) return refuse(key, "has an entry that is not a short string");
        list.push_back(std::move(*string));
    }
    return {};
}

Result<void> takeConfig(const Json& config, Image& image) {
    for (auto taken : {take(config, "Entrypoint", image.entrypoint), take(config, "Cmd", image.cmd), take(config, "Env", image.env)}) {
        if (!taken) return taken;
    }
    auto workdir = text(at(config, "WorkingDir"));
    if (!workdir || (!workdir->empty() && !workdir->starts_with('/'))) return refuse("WorkingDir", "is not an absolute path");
    image.workdir = std::move(*workdir);
    const auto& labels = at(config, "Labels");
    if (!labels.is_object() || labels.size() > kMaxStrings) return refuse("Labels", "is not an object of at most 1024 strings");
    for (const auto& [key, value] : labels.items()) {
        auto string = text(value);
        if (!string || key.size() > kMaxString) return refuse("Labels", "has a value that is not a short string");
        image.labels[key] = std::move(*string);
    }
    return {};
}

std::optional<ImageFile::Kind> kindOf(std::string_view letter) {
    if (letter == "f") return ImageFile::Kind::Regular;
    if (letter == "d") return ImageFile::Kind::Directory;
    if (letter == "l") return ImageFile::Kind::Symlink;
    if (letter == "o") return ImageFile::Kind::Other;
    return {};
}

// [path, kind, mode, link]
Result<void> takeFile(const Json& entry, Image& image) {
    if (!entry.is_array() || entry.size() != 4) return refuse("files", "has an entry that is not [path, kind, mode, link]");
    const image::Limits limits;
    const auto path = text(entry[0], limits.path + 1);
    const auto letter = text(entry[1]);
    const auto link = text(entry[3], kMaxLink);
    const auto kind = letter ? kindOf(*letter) : std::nullopt;
    if (!path || !kind || !link || !entry[2].is_number_unsigned()) return refuse("files", "has a malformed entry");
    const auto mode = entry[2].get<std::uint64_t>();
    const auto clean =
        path->starts_with('/') ? image::cleanName(std::string_view(*path).substr(1), limits) : Result<std::string>(std::string());
    if (!clean || clean->empty() || "/" + *clean != *path || mode > 07777)
        return refuse("files", "has an entry with the path " + image::shown(*path));
    image.files[*path] = {*kind, static_cast<std::uint32_t>(mode), *link};
    return {};
}

Result<void> takeLayers(const Json& json, Image& image) {
    if (auto taken = take(json, "layers", image.layers); !taken) return taken;
    if (image.layers.empty() || image.layers.size() > image::Limits{}.layers) return refuse("layers", "has not 1 to 127 entries");
    for (const auto& layer : image.layers) {
        if (!image::isHexDigest(layer)) return refuse("layers", "has an entry that is not a diff-id");
    }
    return {};
}

}  // namespace

Result<Answer> parseAnswer(std::string_view bytes) {
    if (bytes.size() > image::kMaxAnswer)
        return fail(Errc::LimitExceeded, "answer of the import: over " + std::to_string(image::kMaxAnswer) + " bytes");
    const auto json = Json::parse(bytes.begin(), bytes.end(), nullptr, false);
    if (!json.is_object()) return fail(Errc::InvalidArgument, "answer of the import: not a JSON object");
    Answer answer;
    const auto digest = text(at(json, "digest"));
    if (!digest || !image::isHexDigest(*digest)) return refuse("digest", "is not 64 hex digits");
    const auto reference = text(at(json, "reference"));
    const auto architecture = text(at(json, "architecture"), 32);
    if (!reference || !architecture) return refuse("reference", "or 'architecture' is not a short string");
    answer.image.digest = *digest;
    answer.image.architecture = *architecture;
    answer.reference = *reference;
    if (auto taken = takeLayers(json, answer.image); !taken) return forward(std::move(taken));
    if (!at(json, "size").is_number_unsigned()) return refuse("size", "is not a number");
    answer.image.size = at(json, "size").get<std::uint64_t>();
    if (auto taken = takeConfig(at(json, "config"), answer.image); !taken) return forward(std::move(taken));
    const auto& files = at(json, "files");
    if (!files.is_array() || files.size() > image::Limits{}.entries) return refuse("files", "is not an array of at most 200000 entries");
    for (const auto& entry : files) {
        if (auto taken = takeFile(entry, answer.image); !taken) return forward(std::move(taken));
    }
    return answer;
}

}  // namespace recap::images
