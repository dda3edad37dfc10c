// SPDX-License-Identifier: Apache-2.0
#include "sdk/image/archive.hpp"

#include <archive.h>
#include <archive_entry.h>

#include <clocale>

#include "sdk/image/names.hpp"

namespace recap::image {
namespace {

struct Free {
    void operator()(struct archive* handle) const { ::archive_free(handle); }
};
using Handle = std::unique_ptr<struct archive, Free>;

tl::unexpected<Error> failed(struct archive* handle, std::string_view what) {
    const char* said = ::archive_error_string(handle);
    return fail(Errc::InvalidArgument, std::string(what) + ": " + (said ? said : "not readable"));
}

// libarchive's view of a ByteSource.
class Input {
public:
    explicit Input(ByteSource& from) : from_(from), buffer_(128 * 1024) {}
    static la_ssize_t read(struct archive* handle, void* self, const void** bytes) {
        auto& input = *static_cast<Input*>(self);
        auto got = input.from_.read(input.buffer_.data(), input.buffer_.size());
        if (!got) {
            ::archive_set_error(handle, EIO, "%s", got.error().message.c_str());
            return -1;
        }
        *bytes = input.buffer_.data();
        return static_cast<la_ssize_t>(*got);
    }

private:
    ByteSource& from_;
    std::vector<char> buffer_;
};

class Decompressor : public ByteSource {
public:
    explicit Decompressor(ByteSource& from) : input_(from), handle_(::archive_read_new()) {}

    Result<void> open(Compression compression) {
        auto* handle = handle_.get();
        ::archive_read_support_format_raw(handle);
        ::archive_read_support_format_empty(handle);
        if (compression == Compression::Gzip) ::archive_read_support_filter_gzip(handle);
        if (compression == Compression::Zstd) ::archive_read_support_filter_zstd(handle);
        struct archive_entry* entry = nullptr;
        if (::archive_read_open(handle, &input_, nullptr, &Input::read, nullptr) != ARCHIVE_OK) return failed(handle, "decompress");
        const int outer = ::archive_filter_code(handle, 0);
        const int wanted = compression == Compression::Gzip   ? ARCHIVE_FILTER_GZIP
                           : compression == Compression::Zstd ? ARCHIVE_FILTER_ZSTD
                                                              : ARCHIVE_FILTER_NONE;
        if (outer != wanted) return fail(Errc::InvalidArgument, "its bytes are not of the compression that its media type says");
        if (::archive_filter_count(handle) != (wanted == ARCHIVE_FILTER_NONE ? 1 : 2))
            return fail(Errc::InvalidArgument, "it is compressed more than once");
        const int status = ::archive_read_next_header(handle, &entry);
        if (status == ARCHIVE_EOF) ended_ = true;
        return status == ARCHIVE_OK || status == ARCHIVE_EOF ? Result<void>{} : failed(handle, "decompress");
    }

    Result<std::size_t> read(char* buffer, std::size_t size) override {
        if (ended_) return std::size_t{0};
        const auto got = ::archive_read_data(handle_.get(), buffer, size);
        if (got < 0) return failed(handle_.get(), "decompress");
        return static_cast<std::size_t>(got);
    }

private:
    Input input_;
    Handle handle_;
    bool ended_ = false;
};

ArchiveEntry::Kind kindOf(struct archive_entry* entry) {
    using Kind = ArchiveEntry::Kind;
    if (::archive_entry_hardlink(entry)) return Kind::HardLink;
    switch (::archive_entry_filetype(entry)) {
        case AE_IFREG: return Kind::Regular;
        case AE_IFDIR: return Kind::Directory;
        case AE_IFLNK: return Kind::Symlink;
        case AE_IFCHR:
        case AE_IFBLK: return Kind::Device;
        case AE_IFIFO: return Kind::Fifo;
        case AE_IFSOCK: return Kind::Socket;
        default: return Kind::Unknown;
    }
}

class TarReader : public ArchiveReader {
public:
    explicit TarReader(ByteSource& from) : input_(from), handle_(::archive_read_new()) {}

    Result<void> open(Wrapping wrapping) {
        auto* handle = handle_.get();
        ::archive_read_support_format_tar(handle);
        ::archive_read_support_format_empty(handle);
        if (wrapping == Wrapping::AnyCompression) {
            ::archive_read_support_filter_gzip(handle);
            ::archive_read_support_filter_zstd(handle);
        }
        if (::archive_read_open(handle, &input_, nullptr, &Input::read, nullptr) != ARCHIVE_OK) return failed(handle, "tar");
        return {};
    }

    Result<std::optional<ArchiveEntry>> next() override {
        const int status = ::archive_read_next_header(handle_.get(), &entry_);
        if (status == ARCHIVE_EOF) return std::optional<ArchiveEntry>{};
        // ARCHIVE_WARN is a header that libarchive guessed at: a stranger's guess is not taken.
        if (status != ARCHIVE_OK) return failed(handle_.get(), "tar");
        const char* path = ::archive_entry_pathname(entry_);
        if (!path) return fail(Errc::InvalidArgument, "tar: an entry's name is not UTF-8");
        return describe(path);
    }

    Result<std::optional<DataBlock>> data() override {
        const void* bytes = nullptr;
        std::size_t size = 0;
        la_int64_t offset = 0;
        const int status = ::archive_read_data_block(handle_.get(), &bytes, &size, &offset);
        if (status == ARCHIVE_EOF) return std::optional<DataBlock>{};
        if (status != ARCHIVE_OK || offset < 0) return failed(handle_.get(), "tar");
        return DataBlock{{static_cast<const char*>(bytes), size}, static_cast<std::uint64_t>(offset)};
    }

private:
    Result<std::optional<ArchiveEntry>> describe(const char* path) {
        ArchiveEntry found;
        found.kind = kindOf(entry_);
        found.path = path;
        const char* link = found.kind == ArchiveEntry::Kind::HardLink ? ::archive_entry_hardlink(entry_) : ::archive_entry_symlink(entry_);
        if (found.kind == ArchiveEntry::Kind::Symlink && !link)
            return fail(Errc::InvalidArgument, "entry " + shown(path) + ": the link's target is not UTF-8");
        if (link) found.link = link;
        found.mode = static_cast<std::uint32_t>(::archive_entry_perm(entry_));
        found.uid = ::archive_entry_uid(entry_);
        found.gid = ::archive_entry_gid(entry_);
        found.mtime = ::archive_entry_mtime_is_set(entry_) ? static_cast<std::int64_t>(::archive_entry_mtime(entry_)) : 0;
        found.size = ::archive_entry_size(entry_);
        const char* name = nullptr;
        const void* value = nullptr;
        std::size_t size = 0;
        ::archive_entry_xattr_reset(entry_);
        while (::archive_entry_xattr_next(entry_, &name, &value, &size) == ARCHIVE_OK) {
            if (name) found.xattrs.emplace_back(name);
        }
        return std::optional<ArchiveEntry>(std::move(found));
    }

    Input input_;
    Handle handle_;
    struct archive_entry* entry_ = nullptr;
};

class ArchiveCompressor : public Compressor {
public:
    explicit ArchiveCompressor(ByteSink to) : to_(std::move(to)), handle_(::archive_write_new()), entry_(::archive_entry_new()) {}
    ~ArchiveCompressor() override { ::archive_entry_free(entry_); }

    Result<void> open(Compression compression) {
        auto* handle = handle_.get();
        ::archive_write_set_format_raw(handle);
        if (compression == Compression::Gzip) {
            ::archive_write_add_filter_gzip(handle);
            if (::archive_write_set_options(handle, "gzip:!timestamp") != ARCHIVE_OK) return failed(handle, "compress");
        }
        if (compression == Compression::Zstd) ::archive_write_add_filter_zstd(handle);
        ::archive_write_set_bytes_in_last_block(handle, 1);
        ::archive_entry_set_filetype(entry_, AE_IFREG);
        if (::archive_write_open(handle, this, nullptr, &ArchiveCompressor::write, nullptr) != ARCHIVE_OK ||
            ::archive_write_header(handle, entry_) != ARCHIVE_OK)
            return failed(handle, "compress");
        return {};
    }
    Result<void> put(std::string_view bytes) override {
        while (!bytes.empty()) {
            const auto done = ::archive_write_data(handle_.get(), bytes.data(), bytes.size());
            if (done <= 0) return failed(handle_.get(), "compress");
            bytes.remove_prefix(static_cast<std::size_t>(done));
        }
        return {};
    }
    Result<void> finish() override {
        return ::archive_write_close(handle_.get()) == ARCHIVE_OK ? Result<void>{} : failed(handle_.get(), "compress");
    }

private:
    static la_ssize_t write(struct archive* handle, void* self, const void* bytes, std::size_t size) {
        auto put = static_cast<ArchiveCompressor*>(self)->to_({static_cast<const char*>(bytes), size});
        if (put) return static_cast<la_ssize_t>(size);
        ::archive_set_error(handle, EIO, "%s", put.error().message.c_str());
        return -1;
    }

    ByteSink to_;
    Handle handle_;
    struct archive_entry* entry_;
};

}  // namespace

void prepareArchives() { std::setlocale(LC_CTYPE, "C.UTF-8"); }

Result<std::unique_ptr<ByteSource>> decompress(ByteSource& from, Compression compression) {
    auto stream = std::make_unique<Decompressor>(from);
    if (auto opened = stream->open(compression); !opened) return forward(std::move(opened));
    return stream;
}

Result<std::unique_ptr<Compressor>> compress(ByteSink to, Compression compression) {
    auto stream = std::make_unique<ArchiveCompressor>(std::move(to));
    if (auto opened = stream->open(compression); !opened) return forward(std::move(opened));
    return stream;
}

Result<std::unique_ptr<ArchiveReader>> readTar(ByteSource& from, Wrapping wrapping) {
    auto reader = std::make_unique<TarReader>(from);
    if (auto opened = reader->open(wrapping); !opened) return forward(std::move(opened));
    return reader;
}

}  // namespace recap::image
