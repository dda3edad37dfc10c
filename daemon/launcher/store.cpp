// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/store.hpp"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <set>

#include "daemon/launcher/checks.hpp"
#include "daemon/launcher/weaken.hpp"

namespace recap::launcher {

namespace {

constexpr char kRecordMagic[4] = {'R', 'I', 'M', 'G'};

void putNumber(std::string& bytes, std::uint32_t value) {
    for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<char>(value >> (8 * i)));
}
std::uint32_t getNumber(std::string_view bytes, std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
    return value;
}

void putDigest(std::string& bytes, std::string_view hex) {
    const auto nibble = [](char c) { return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10); };
    for (std::size_t i = 0; i < 64; i += 2) bytes.push_back(static_cast<char>(nibble(hex[i]) << 4 | nibble(hex[i + 1])));
}
std::string getDigest(std::string_view bytes, std::size_t at) {
    std::string hex;
    for (std::size_t i = 0; i < 32; ++i) {
        const auto byte = static_cast<unsigned char>(bytes[at + i]);
        hex.push_back("0123456789abcdef"[byte >> 4]);
        hex.push_back("0123456789abcdef"[byte & 15]);
    }
    return hex;
}

Result<UniqueFd> makeFolder(int dir, const char* name) {
    if (::mkdirat(dir, name, 0700) != 0 && errno != EEXIST) return failErrno(std::string("create store folder ") + name);
    UniqueFd fd(::openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return failErrno(std::string("open store folder ") + name);
    return fd;
}

Result<std::string> readSmall(int dir, const char* name) {
    UniqueFd file(::openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!file) return failErrno(std::string("open ") + name);
    char bytes[16 + 32 * (kMaxLayers + 1) + 1];
    const ssize_t size = ::read(file.get(), bytes, sizeof(bytes));
    if (size < 0) return failErrno(std::string("read ") + name);
    return std::string(bytes, static_cast<std::size_t>(size));
}

std::vector<std::string> entries(int dir) {
    std::vector<std::string> names;
    std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(::openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)), ::closedir);
    while (dirent* entry = stream ? ::readdir(stream.get()) : nullptr)
        if (std::string_view name = entry->d_name; name != "." && name != "..") names.emplace_back(name);
    std::ranges::sort(names);
    return names;
}

// Everything below an entry, then the entry: never through a symbolic link, never into another file system.
void removeTree(int dir, const char* name, dev_t device) {
    if (::unlinkat(dir, name, 0) == 0) return;
    UniqueFd sub(::openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat info {};
    if (!sub || ::fstat(sub.get(), &info) != 0 || info.st_dev != device) return;
    for (const auto& entry : entries(sub.get())) removeTree(sub.get(), entry.c_str(), device);
    ::unlinkat(dir, name, AT_REMOVEDIR);
}

}  // namespace

std::string encodeRecord(const ImageRecord& record) {
    std::string bytes(kRecordMagic, 4);
    putNumber(bytes, kImageRecordVersion);
    putNumber(bytes, record.machine);
    putNumber(bytes, static_cast<std::uint32_t>(record.layers.size()));
    putDigest(bytes, record.digest);
    for (const auto& layer : record.layers) putDigest(bytes, layer);
    return bytes;
}

Result<ImageRecord> decodeRecord(std::string_view bytes) {
    if (bytes.size() < 48 || bytes.substr(0, 4) != std::string_view(kRecordMagic, 4) || getNumber(bytes, 4) != kImageRecordVersion)
        return fail(Errc::InvalidArgument, "not an image record");
    const std::uint32_t count = getNumber(bytes, 12);
    if (count == 0 || count > kMaxLayers || bytes.size() != 48 + 32 * std::size_t{count})
        return fail(Errc::InvalidArgument, "malformed image record");
    ImageRecord record{getDigest(bytes, 16), getNumber(bytes, 8), {}};
    for (std::size_t i = 0; i < count; ++i) record.layers.push_back(getDigest(bytes, 48 + 32 * i));
    return record;
}

Result<Store> Store::open(const std::string& path) {
    Store store;
    store.root_.reset(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!store.root_) return failErrno("open store " + path);
    struct stat info {};
    if (::fstat(store.root_.get(), &info) != 0 || info.st_uid != 0 || ((info.st_mode & 077) != 0 && !weakened(Threat::OpenStore)))
        return fail(Errc::Denied, "store " + path + " must be owned by root with mode 0700");
    const std::pair<const char*, UniqueFd*> folders[] = {
        {"layers", &store.layers_}, {"images", &store.images_}, {"admitted", &store.admitted_}, {"incoming", &store.incoming_}};
    for (auto [name, fd] : folders) {
        auto opened = makeFolder(store.root_.get(), name);
        if (!opened) return forward(std::move(opened));
        *fd = std::move(*opened);
    }
    return store;
}

Result<ImageRecord> Store::record(const std::string& digest) const {
    if (!isDigest(digest)) return fail(Errc::InvalidArgument, "'" + digest.substr(0, 80) + "' is not a digest of 64 hex digits");
    auto bytes = readSmall(images_.get(), digest.c_str());
    if (!bytes) return fail(Errc::NotFound, "image sha256:" + digest + " is not in the store");
    auto record = decodeRecord(*bytes);
    if (record && record->digest != digest) return fail(Errc::Internal, "image record of sha256:" + digest + " is another image's");
    return record;
}

Result<void> Store::check(const std::string& digest, const std::vector<std::string>& layers) const {
    auto found = record(digest);
    if (!found) return forward(std::move(found));
    if (::faccessat(admitted_.get(), digest.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return fail(Errc::NotAdmitted,
                    "image sha256:" + digest + " is imported but not admitted; root admits it with recap-admit sha256:" + digest);
    if (found->machine != EM_X86_64)
        return fail(Errc::NotSupported,
                    "image sha256:" + digest + " is for another architecture (ELF machine " + std::to_string(found->machine) + ")");
    if (found->layers != layers) return fail(Errc::Denied, "the plan's layers are not those of image sha256:" + digest);
    return {};
}

Result<UniqueFd> Store::openLayer(int layers, const std::string& diffId) {
    UniqueFd layer(::openat(layers, diffId.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!layer) return failErrno("open layer " + diffId);
    return layer;
}

Result<void> Store::admit(const std::string& digest) const {
    if (auto found = record(digest); !found) return forward(std::move(found));
    UniqueFd file(::openat(admitted_.get(), digest.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file || ::fsync(file.get()) != 0 || ::fsync(admitted_.get()) != 0) return failErrno("record the admission of sha256:" + digest);
    return {};
}

std::vector<Store::Stored> Store::list(std::string_view after, std::size_t most) const {
    std::vector<Stored> images;
    for (const auto& digest : entries(images_.get())) {
        if (digest <= after || images.size() >= most) continue;
        auto found = record(digest);
        if (found) images.push_back({std::move(*found), ::faccessat(admitted_.get(), digest.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0});
    }
    return images;
}

Result<UniqueFd> Store::makeIncoming(std::string& name) const {
    for (unsigned i = 0; i < 10000; ++i) {
        name = std::to_string(i);
        if (::mkdirat(incoming_.get(), name.c_str(), 0700) == 0) {
            UniqueFd fd(::openat(incoming_.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
            if (fd) return fd;
        }
        if (errno != EEXIST) return failErrno("create incoming/" + name);
    }
    return fail(Errc::LimitExceeded, "too many imports at once");
}

Result<std::string> Store::adopt(const std::string& name) const {
    UniqueFd dir(::openat(incoming_.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!dir) return failErrno("open incoming/" + name);
    auto bytes = readSmall(dir.get(), "image");
    if (!bytes) return forward(std::move(bytes), "recap-unpack");
    auto image = decodeRecord(*bytes);
    if (!image) return forward(std::move(image), "recap-unpack");
    UniqueFd made(::openat(dir.get(), "layers", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!made) return failErrno("recap-unpack: no layers");
    for (const auto& layer : image->layers) {
        if (::renameat2(made.get(), layer.c_str(), layers_.get(), layer.c_str(), RENAME_NOREPLACE) == 0) continue;
        const bool present = ::faccessat(layers_.get(), layer.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
        if (!present) return failErrno("move layer " + layer + " into the store");
    }
    ::syncfs(layers_.get());  // a record must not outlive its layers in a crash
    // An image that is known stays as it is: it may be admitted, and admission is by digest.
    if (::renameat2(dir.get(), "image", images_.get(), image->digest.c_str(), RENAME_NOREPLACE) != 0) {
        if (errno != EEXIST) return failErrno("record image sha256:" + image->digest);
        const auto known = record(image->digest);
        if (!known || known->layers != image->layers || known->machine != image->machine)
            return fail(Errc::Denied,
                        "recap-unpack says that image sha256:" + image->digest + " is another one than is known by this digest");
    }
    if (::fsync(images_.get()) != 0) return failErrno("record image sha256:" + image->digest);
    return image->digest;
}

Result<std::string> Store::retire(const std::string& digest) const {
    auto image = record(digest);
    if (!image) return forward(std::move(image));
    std::string name;
    auto trash = makeIncoming(name);
    if (!trash) return forward(std::move(trash));
    ::unlinkat(admitted_.get(), digest.c_str(), 0);
    if (::unlinkat(images_.get(), digest.c_str(), 0) != 0) return failErrno("remove image sha256:" + digest);
    std::set<std::string> kept;
    for (const auto& other : list()) kept.insert(other.record.layers.begin(), other.record.layers.end());
    for (const auto& layer : image->layers)
        if (!kept.contains(layer)) ::renameat2(layers_.get(), layer.c_str(), trash->get(), layer.c_str(), RENAME_NOREPLACE);
    return name;
}

void Store::removeIncoming(int incoming, const std::string& name) {
    struct stat info {};
    if (::fstat(incoming, &info) == 0) removeTree(incoming, name.c_str(), info.st_dev);
}

std::vector<std::string> Store::incoming() const { return entries(incoming_.get()); }

}  // namespace recap::launcher
