// SPDX-License-Identifier: Apache-2.0
#include "daemon/images/image_index.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "daemon/images/answer.hpp"
#include "daemon/images/reference.hpp"
#include "sdk/image/digest.hpp"
#include "sdk/image/limits.hpp"
#include "sdk/image/names.hpp"
#include "sdk/image/stream.hpp"

namespace recap::images {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::size_t kMinDigits = 12;
constexpr std::size_t kMaxFile = image::kMaxAnswer * 2 + (1u << 20);  // the answer is kept as a JSON string
constexpr std::string_view kHexDigits = "0123456789abcdef";

Result<std::string> readFile(int fd, std::size_t limit) {
    if (::lseek(fd, 0, SEEK_SET) != 0) return failErrno("seek");
    return image::readAll(fd, limit);
}

bool isDigits(std::string_view text) { return !text.empty() && text.find_first_not_of(kHexDigits) == text.npos; }

Result<void> writeAtomically(const fs::path& path, std::string_view bytes) {
    const auto partial = path.string() + ".new";
    const UniqueFd fd(::open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!fd) return failErrno(partial);
    if (auto put = image::writeAll(fd.get(), bytes); !put) return forward(std::move(put), partial);
    if (::fsync(fd.get()) != 0 || ::rename(partial.c_str(), path.c_str()) != 0) return failErrno(partial);
    const UniqueFd folder(::open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder || ::fsync(folder.get()) != 0) return failErrno(path.parent_path().string());
    return {};
}

bool isOneOf(const Reference& own, const std::vector<std::string>& names) {
    return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
        const auto reference = parseReference(name);
        return reference && reference->text() == own.text();
    });
}

// What the importer named the image, in the index's form; else what the archive does, where that says a name and a tag. Empty: nothing.
Result<std::string> referenceFor(const ImportName& name, const std::string& annotation) {
    if (!name.given.empty()) {
        auto reference = parseName(name.given);
        if (!reference) return forward(std::move(reference));
        return reference->text();
    }
    const auto own = parseReference(annotation);
    if (annotation.empty() || !own || own->tag.empty() || !own->digest.empty()) return std::string();
    // Another name may be that of an image which is admitted, and would be taken from it.
    if (!name.asked.empty() && !isOneOf(*own, name.asked))
        return fail(Errc::Denied, "it calls itself " + image::shown(own->text()) + ", and " + image::shown(name.asked.front()) +
                                      " was asked for; with a reference given (--reference NAME:TAG) it is called so");
    return own->text();
}

}  // namespace

Result<std::unique_ptr<Index>> Index::open(fs::path folder) {
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) return fail(Errc::Io, folder.string() + ": " + error.message());
    std::unique_ptr<Index> index(new Index(std::move(folder)));
    index->load();
    return index;
}

void Index::load() {
    std::error_code error;
    for (const auto& file : fs::directory_iterator(folder_, error)) {
        if (file.path().extension() != ".json") continue;
        const auto complain = [&](const std::string& why) { problems_.push_back(file.path().string() + ": " + why); };
        const UniqueFd fd(::open(file.path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
        const auto bytes = fd ? readFile(fd.get(), kMaxFile) : Result<std::string>(failErrno("open"));
        if (!bytes) {
            complain(bytes.error().message);
            continue;
        }
        const auto json = Json::parse(*bytes, nullptr, false);
        if (!json.is_object() || !json.contains("answer") || !json["answer"].is_string()) {
            complain("not an image's record");
            continue;
        }
        Entry entry;
        entry.answer = json["answer"].get<std::string>();
        auto answer = parseAnswer(entry.answer);
        if (!answer || answer->image.digest != file.path().stem().string()) {
            complain(answer ? "it is of another image" : answer.error().message);
            continue;
        }
        entry.image = std::move(answer->image);
        if (json.contains("references") && json["references"].is_array()) {
            for (const auto& text : json["references"]) {
                if (!text.is_string()) continue;
                if (const auto reference = parseReference(text.get<std::string>())) entry.image.references.push_back(reference->text());
            }
        }
        if (json.contains("imported") && json["imported"].is_string()) entry.image.imported = json["imported"];
        images_.insert_or_assign(entry.image.digest, std::move(entry));
    }
}

Result<void> Index::save(const Entry& entry) const {
    const Json json{{"version", 1}, {"imported", entry.image.imported}, {"references", entry.image.references}, {"answer", entry.answer}};
    return writeAtomically(fileOf(entry.image.digest), json.dump());
}

Result<const Image*> Index::find(std::string_view asked) const {
    constexpr std::string_view prefix = "sha256:";
    if (asked.starts_with(prefix) && isDigits(asked.substr(prefix.size()))) return findByDigest(asked.substr(prefix.size()), asked);
    const auto reference = parseReference(asked);
    if (!reference) {
        if (isDigits(asked)) return findByDigest(asked, asked);
        return tl::unexpected<Error>(reference.error());
    }
    if (!reference->digest.empty()) return findByDigest(reference->digest, asked);
    const auto wanted = reference->text();
    for (const auto& [digest, entry] : images_) {
        const auto& names = entry.image.references;
        if (std::find(names.begin(), names.end(), wanted) != names.end()) return &entry.image;
    }
    if (isDigits(asked) && asked.size() >= kMinDigits) return findByDigest(asked, asked);
    return fail(Errc::NotFound, "no image '" + wanted + "'; recapctl image import brings one in, recapctl image list shows those here");
}

Result<const Image*> Index::findByDigest(std::string_view digits, std::string_view asked) const {
    const auto name = image::shown(asked);
    if (digits.size() < kMinDigits) return fail(Errc::InvalidArgument, "image " + name + ": at least 12 digits of a digest are needed");
    const auto first = images_.lower_bound(std::string(digits));
    if (first == images_.end() || !first->first.starts_with(digits))
        return fail(Errc::NotFound, "no image " + name + "; recapctl image list shows those here");
    if (const auto next = std::next(first); next != images_.end() && next->first.starts_with(digits)) {
        return fail(Errc::Ambiguous, "image " + name + ": more than one digest begins so; give more digits");
    }
    return &first->second.image;
}

std::vector<const Image*> Index::list() const {
    std::vector<const Image*> all;
    for (const auto& [digest, entry] : images_) all.push_back(&entry.image);
    return all;
}

Result<const Image*> Index::record(const ImportedImage& imported, const ImportName& name, const std::string& now) {
    auto bytes = readFile(imported.answer.get(), image::kMaxAnswer);
    if (!bytes) return forward(std::move(bytes), "answer of the import");
    auto answer = parseAnswer(*bytes);
    if (!answer) return forward(std::move(answer));
    if (answer->image.digest != imported.digest) {
        return fail(Errc::Internal, "answer of the import: it is about sha256:" + answer->image.digest + ", not sha256:" + imported.digest);
    }
    auto reference = referenceFor(name, answer->reference);
    if (!reference) return forward(std::move(reference));
    Entry entry{std::move(answer->image), std::move(*bytes)};
    entry.image.imported = now;
    if (const auto known = images_.find(imported.digest); known != images_.end()) {
        entry.image.references = known->second.image.references;
        entry.image.admitted = known->second.image.admitted;
    }
    auto& mine = entry.image.references;
    if (!reference->empty() && std::find(mine.begin(), mine.end(), *reference) == mine.end()) mine.push_back(std::move(*reference));
    if (auto saved = save(entry); !saved) return forward(std::move(saved));
    auto& kept = images_[imported.digest];
    kept = std::move(entry);
    if (auto taken = takeReferences(kept.image); !taken) return forward(std::move(taken));
    return &kept.image;
}

// From every other image what is now the owner's.
Result<void> Index::takeReferences(const Image& owner) {
    for (auto& [digest, entry] : images_) {
        if (&entry.image == &owner) continue;
        const auto moved = std::erase_if(entry.image.references, [&](const std::string& name) {
            return std::find(owner.references.begin(), owner.references.end(), name) != owner.references.end();
        });
        if (moved == 0) continue;
        if (auto saved = save(entry); !saved) return saved;
    }
    return {};
}

Result<void> Index::remove(const std::string& digest) {
    if (!images_.contains(digest)) return fail(Errc::NotFound, "no image sha256:" + digest);
    if (::unlink(fileOf(digest).c_str()) != 0 && errno != ENOENT) return failErrno(fileOf(digest).string());
    images_.erase(digest);
    return {};
}

std::vector<std::string> Index::setAdmission(const std::vector<AdmissionState>& states) {
    std::vector<std::string> unknown;
    for (auto& [digest, entry] : images_) entry.image.admitted = false;
    for (const auto& state : states) {
        if (!images_.contains(state.digest)) unknown.push_back(state.digest);
        setAdmission(state.digest, state.admitted);
    }
    return unknown;
}

void Index::setAdmission(const std::string& digest, bool admitted) {
    if (const auto found = images_.find(digest); found != images_.end()) found->second.image.admitted = admitted;
}

}  // namespace recap::images
