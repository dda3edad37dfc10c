// SPDX-License-Identifier: Apache-2.0
// libarchive, met only here: streams taken out of their compression, and tar as entries. What it says about an entry is
// still the archive's word; names.hpp and layer.hpp judge it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sdk/base/result.hpp"
#include "sdk/image/stream.hpp"

namespace recap::image {

enum class Compression { None, Gzip, Zstd };

// Call once in a program before the first archive is read, and before a jail: names of archives are UTF-8.
void prepareArchives();

// The bytes of `from` (borrowed) without their one compression, which has to be the stated one.
Result<std::unique_ptr<ByteSource>> decompress(ByteSource& from, Compression compression);

// What is put into the returned sink arrives compressed in `to`; finish() is the last call.
class Compressor {
public:
    virtual ~Compressor() = default;
    virtual Result<void> put(std::string_view bytes) = 0;
    virtual Result<void> finish() = 0;
};
Result<std::unique_ptr<Compressor>> compress(ByteSink to, Compression compression);

struct ArchiveEntry {
    enum class Kind { Regular, Directory, Symlink, HardLink, Device, Fifo, Socket, Unknown } kind = Kind::Unknown;
    std::string path;  // as the archive has it
    std::string link;
    std::uint32_t mode = 0;  // permission bits, setuid, setgid and sticky among them
    std::int64_t uid = 0;
    std::int64_t gid = 0;
    std::int64_t mtime = 0;
    std::int64_t size = 0;
    std::vector<std::string> xattrs;  // names
};

struct DataBlock {
    std::string_view bytes;  // valid until the next call
    std::uint64_t offset = 0;
};

class ArchiveReader {
public:
    virtual ~ArchiveReader() = default;
    virtual Result<std::optional<ArchiveEntry>> next() = 0;
    virtual Result<std::optional<DataBlock>> data() = 0;  // of the entry that next() gave
};

enum class Wrapping { Plain, AnyCompression };
Result<std::unique_ptr<ArchiveReader>> readTar(ByteSource& from, Wrapping wrapping);

}  // namespace recap::image
