// SPDX-License-Identifier: Apache-2.0
#include "plugins/containerd/export.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <set>

#include "sdk/image/digest.hpp"
#include "sdk/image/names.hpp"
#include "sdk/image/oci.hpp"
#include "sdk/image/tar_writer.hpp"

namespace recap::containerd {
namespace {

using image::Descriptor;
using image::TarMember;

constexpr image::Limits kLimits;
constexpr int kMaxNesting = 2;  // of indexes

struct Found {
    std::string nameSpace;
    std::string name;
    ImageTarget target;
};

class Exporter {
public:
    Exporter(Client& client, const std::string& nameSpace, image::ByteSink sink)
        : client_(client), nameSpace_(nameSpace), tar_(std::move(sink)) {}

    Result<void> run(const Found& found) {
        auto chosen = choose(found.target);
        if (!chosen) return forward(std::move(chosen));
        auto text = document(*chosen);
        if (!text) return forward(std::move(text));
        auto manifest = image::parseManifest(*text, kLimits);
        if (!manifest) return forward(std::move(manifest), "manifest sha256:" + chosen->digest);
        std::vector<Descriptor> blobs{manifest->config};
        blobs.insert(blobs.end(), manifest->layers.begin(), manifest->layers.end());
        for (const auto& blob : blobs) {
            if (auto there = checkThere(blob); !there) return there;
        }
        chosen->annotations[std::string(image::kReferenceAnnotation)] = found.name;
        chosen->annotations[std::string(image::kContainerdNameAnnotation)] = found.name;
        return write(*chosen, *text, blobs);
    }

private:
    // This machine's manifest, through as many indexes as are allowed.
    Result<Descriptor> choose(const ImageTarget& target) {
        auto digest = image::parseDigest(target.digest);
        if (!digest) return forward(std::move(digest));
        Descriptor top{target.mediaType, std::move(*digest), target.size, {}, {}, {}};
        for (int depth = 0; image::isIndexType(top.mediaType); ++depth) {
            const std::string what = "index sha256:" + top.digest;
            if (depth > kMaxNesting) return fail(Errc::InvalidArgument, what + ": indexes nested too deep");
            auto text = document(top);
            if (!text) return forward(std::move(text));
            auto index = image::parseIndex(*text);
            if (!index) return forward(std::move(index), what);
            auto fitting = fittingOf(*index);
            if (!fitting) return forward(std::move(fitting), what);
            top = std::move(*fitting);
        }
        if (image::isManifestType(top.mediaType)) return top;
        return fail(Errc::InvalidArgument, "media type " + image::shown(top.mediaType) + " is no image's");
    }

    // What the index says of other platforms (attestations have "unknown" for both) is left out.
    static Result<Descriptor> fittingOf(std::vector<Descriptor>& index) {
        std::string others;
        for (auto& one : index) {
            const bool anyPlatform = one.architecture.empty() || index.size() == 1;
            if (anyPlatform || (one.os == "linux" && one.architecture == image::hostArchitecture())) return std::move(one);
            others += (others.empty() ? "" : ", ") + image::shown(one.os + "/" + one.architecture);
        }
        return fail(Errc::InvalidArgument, "no image for linux/" + std::string(image::hostArchitecture()) + ", only " + others);
    }

    Result<std::string> document(const Descriptor& descriptor) {
        const std::string digest = "sha256:" + descriptor.digest;
        if (descriptor.size > kLimits.document)
            return fail(Errc::LimitExceeded, "document " + digest + ": longer than " + std::to_string(kLimits.document) + " bytes");
        std::string text;
        auto read = client_.content(nameSpace_, digest, descriptor.size, [&](std::string_view bytes) {
            text += bytes;
            return Result<void>();
        });
        if (!read) return forward(std::move(read));
        if (image::sha256(text) != descriptor.digest)
            return fail(Errc::InvalidArgument, "document " + digest + ": its bytes have another digest");
        return text;
    }

    Result<void> checkThere(const Descriptor& blob) {
        const std::string digest = "sha256:" + blob.digest;
        auto size = client_.contentSize(nameSpace_, digest);
        if (!size && size.error().code == Errc::NotFound)
            return fail(Errc::NotFound,
                        "content " + digest + " is not in containerd's store; it may be set to discard what it has unpacked");
        if (!size) return forward(std::move(size));
        if (*size != blob.size)
            return fail(Errc::InvalidArgument, "content " + digest + ": is not of " + std::to_string(blob.size) + " bytes");
        return {};
    }

    Result<void> put(const std::string& path, std::string_view bytes) {
        TarMember member;
        member.path = path;
        member.size = bytes.size();
        if (auto begun = tar_.begin(member); !begun) return begun;
        if (auto data = tar_.data(bytes); !data) return data;
        return tar_.end();
    }

    Result<void> putBlob(const Descriptor& blob) {
        TarMember member;
        member.path = blob.blobPath();
        member.size = blob.size;
        if (auto begun = tar_.begin(member); !begun) return begun;
        auto read =
            client_.content(nameSpace_, "sha256:" + blob.digest, blob.size, [&](std::string_view bytes) { return tar_.data(bytes); });
        return read ? tar_.end() : read;
    }

    Result<void> write(const Descriptor& top, const std::string& manifest, const std::vector<Descriptor>& blobs) {
        if (auto done = put("oci-layout", R"({"imageLayoutVersion":"1.0.0"})"); !done) return done;
        if (auto done = put("index.json", image::printIndex(top)); !done) return done;
        if (auto done = put(top.blobPath(), manifest); !done) return done;
        std::set<std::string> written{top.digest};
        for (const auto& blob : blobs) {
            if (!written.insert(blob.digest).second) continue;
            if (auto done = putBlob(blob); !done) return done;
        }
        return tar_.finish();
    }

    Client& client_;
    std::string nameSpace_;
    image::TarWriter tar_;
};

// As containerd has it, or as people write what is on Docker's registry.
std::vector<std::string> spellings(const std::string& name) {
    const auto slash = name.find('/');
    const std::string first = name.substr(0, slash);
    const bool hasHost = slash != name.npos && (first.find_first_of(".:") != first.npos || first == "localhost");
    std::vector<std::string> all{name};
    const std::string full = hasHost ? name : (slash == name.npos ? "docker.io/library/" : "docker.io/") + name;
    const bool hasTag = full.find_first_of(":@", full.rfind('/')) != full.npos;
    if (!hasTag || full != name) all.push_back(full + (hasTag ? "" : ":latest"));
    return all;
}

Result<void> collect(Client& client, const std::string& nameSpace, const std::string& name, std::vector<Found>& into) {
    for (const auto& spelling : spellings(name)) {
        auto target = client.image(nameSpace, spelling);
        if (target) {
            into.push_back({nameSpace, spelling, std::move(*target)});
            return {};
        }
        const auto code = target.error().code;
        if (code != Errc::NotFound && code != Errc::InvalidArgument) return forward(std::move(target));
    }
    return {};
}

Result<Found> locate(Client& client, const std::vector<std::string>& namespaces, const std::string& reference) {
    std::vector<Found> found;
    for (const auto& nameSpace : namespaces) {
        if (auto done = collect(client, nameSpace, reference, found); !done) return forward(std::move(done));
        if (reference.starts_with(nameSpace + "/")) {
            if (auto done = collect(client, nameSpace, reference.substr(nameSpace.size() + 1), found); !done)
                return forward(std::move(done));
        }
    }
    if (found.empty()) return fail(Errc::NotFound, "no image " + image::shown(reference) + " in containerd at '" + client.socket() + "'");
    std::string candidates;
    bool differ = false;
    for (const auto& one : found) {
        differ = differ || one.target.digest != found.front().target.digest;
        candidates += (candidates.empty() ? "" : ", ") + one.nameSpace + "/" + one.name;
    }
    if (differ) return fail(Errc::Ambiguous, "image " + image::shown(reference) + " is not the same everywhere: " + candidates);
    return std::move(found.front());
}

}  // namespace

Result<void> exportImage(Client& client, const std::vector<std::string>& namespaces, std::string_view reference,
                         const std::function<Result<void>(std::string_view)>& sink) {
    auto all = namespaces.empty() ? client.namespaces() : Result<std::vector<std::string>>(namespaces);
    if (!all) return forward(std::move(all));
    auto found = locate(client, *all, std::string(reference));
    if (!found) return forward(std::move(found));
    return Exporter(client, found->nameSpace, sink).run(*found);
}

// At most PIPE_BUF at once: so much goes into a pipe that poll(2) calls writable without waiting.
std::function<Result<void>(std::string_view)> stoppableSink(int out, int stopFd) {
    return [out, stopFd](std::string_view bytes) -> Result<void> {
        while (!bytes.empty()) {
            std::array<pollfd, 2> fds{{{stopFd, POLLIN, 0}, {out, POLLOUT, 0}}};
            if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return failErrno("poll");
            if (fds[0].revents != 0) return fail(Errc::Unavailable, "stopped");
            if (fds[1].revents == 0) continue;
            const ssize_t put = ::write(out, bytes.data(), std::min<std::size_t>(bytes.size(), PIPE_BUF));
            if (put < 0 && errno != EINTR && errno != EAGAIN) return failErrno("write the archive");
            if (put > 0) bytes.remove_prefix(static_cast<std::size_t>(put));
        }
        return {};
    };
}

}  // namespace recap::containerd
