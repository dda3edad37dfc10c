// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/manager.hpp"

#include "daemon/bus/engine_image.hpp"

namespace recap::bus {
namespace {

constexpr std::size_t kMaxManifest = 64 * 1024;
// The 64 digits of "[sha256:]DIGITS"; empty: it is no whole digest.
std::string wholeDigest(std::string_view text) {
    constexpr std::string_view prefix = "sha256:";
    if (text.starts_with(prefix)) text.remove_prefix(prefix.size());
    const bool whole = text.size() == 64 && text.find_first_not_of("0123456789abcdef") == text.npos;
    return std::string(whole ? text : std::string_view());
}

template <class... Replies>
void notSupported(sdbus::Result<Replies...>&& result, const char* sentence) {
    Answer<Replies...>(std::move(result)).refuse(Error{Errc::NotSupported, sentence});
}

}  // namespace

Manager::Manager(sdbus::IConnection& bus, Context& context)
    : AdaptorInterfaces(bus, "/org/recap1"),
      context_(context),
      transfers_(context.rooms.loop, context.rooms.exporter, context.rooms.launcher) {
    registerAdaptor();
}

Manager::~Manager() { unregisterAdaptor(); }

// An enabled capsule's command, targets and times are its enabler's word as well: nobody else gives him another.
Result<void> Manager::mayInstall(std::uint32_t uid, const std::string& name) const {
    const auto enabling = context_.rooms.capsules.enablingOf(name);
    if (uid == 0 || !enabling || enabling->uid == uid) return {};
    return fail(Errc::AccessDenied, "capsule '" + name + "' runs by itself, by the right of user " + std::to_string(enabling->uid) +
                                        " who enabled it: that user and root may install over it, and anybody else once it is disabled");
}

void Manager::InstallCapsule(sdbus::Result<sdbus::ObjectPath>&& result, std::string toml, Values values) {
    begin(std::move(result), [&](const Answer<sdbus::ObjectPath>& answer) -> Result<void> {
        Options options(std::move(values));
        const bool replace = options.flag("replace");
        const bool interactive = options.flag("interactive");
        if (auto finished = options.finish(); !finished) return finished;
        if (toml.size() > kMaxManifest)
            return fail(Errc::LimitExceeded,
                        "a manifest of " + std::to_string(toml.size()) + " bytes; at most " + std::to_string(kMaxManifest) + " are taken");
        const auto name = context_.rooms.capsules.nameIn(toml);
        if (!name) return tl::unexpected(name.error());
        const auto install = [this, answer, toml, replace, name = *name](std::uint32_t uid) {
            if (const auto may = mayInstall(uid, name); !may) return answer.refuse(may.error());
            const auto installed = context_.rooms.capsules.install(toml, replace);
            if (!installed) return answer.refuse(installed.error());
            context_.capsulesChanged();
            answer.give(sdbus::ObjectPath(capsulePath(*installed)));
        };
        manageAs(answer, manageRight("capsules", "InstallCapsule", *name), interactive, [this, answer, toml, install](std::uint32_t uid) {
            const auto info = context_.rooms.capsules.infoIn(toml);
            if (!info) return answer.refuse(info.error());
            context_.rooms.schedules.check(*info, answer.later([answer, install, uid](const Result<void>& checked) {
                if (!checked) return answer.refuse(checked.error());
                install(uid);
            }));
        });
        return {};
    });
}

void Manager::RemoveCapsule(sdbus::Result<>&& result, std::string capsule, Values options) {
    begin(std::move(result), [&](const Answer<>& answer) -> Result<void> {
        const auto interactive = interactiveOnly(std::move(options));
        if (!interactive) return tl::unexpected(interactive.error());
        if (auto checked = checkName(capsule); !checked) return checked;
        manage(answer, manageRight("capsules", "RemoveCapsule", capsule), *interactive, [this, answer, capsule] {
            const auto removed = context_.rooms.capsules.remove(capsule);
            context_.capsulesChanged();
            answer(removed);
        });
        return {};
    });
}

void Manager::ImportImage(sdbus::Result<std::string>&& result, sdbus::UnixFd archive, Values values) {
    begin(std::move(result), [&](const Answer<std::string>& answer) -> Result<void> {
        Options options(std::move(values));
        const std::string reference = options.text("reference");
        const bool interactive = options.flag("interactive");
        if (auto finished = options.finish(); !finished) return finished;
        // Before the launcher unpacks what would then have no name.
        if (auto checked = context_.rooms.images.checkReference(reference); !checked) return checked;
        manage(answer, manageRight("images", "ImportImage", reference), interactive, [this, answer, archive, reference]() mutable {
            if (auto there = launcherIsThere(); !there) return answer.refuse(there.error());
            context_.rooms.launcher.importImage(UniqueFd(archive.release()), record(answer, {reference, {}}));
        });
        return {};
    });
}

void Manager::ImportImageFrom(sdbus::Result<std::string>&& result, std::string from, Values values) {
    begin(std::move(result), [&](const Answer<std::string>& answer) -> Result<void> {
        Options options(std::move(values));
        const std::string reference = options.text("reference");
        const std::string backend = options.text("backend");
        const bool interactive = options.flag("interactive");
        if (auto finished = options.finish(); !finished) return finished;
        if (auto checked = checkName(from); !checked) return checked;
        if (auto checked = context_.rooms.images.checkReference(reference); !checked) return checked;
        auto image = engineImage(from, backend, context_.rooms.targets.backends());
        if (!image) return forward(std::move(image));
        const std::string asker = Asker::current(getObject(), interactive).busName;
        manage(answer, manageRight("images", "ImportImageFrom", from), interactive, [this, answer, asker, image = *image, reference] {
            if (auto there = launcherIsThere(); !there) return answer.refuse(there.error());
            transfers_.begin(asker, image, record(answer, {reference, image.names}));
        });
        return {};
    });
}

Result<void> Manager::launcherIsThere() const {
    if (context_.rooms.launcher.available()) return {};
    return fail(Errc::Unavailable, "recap-launcher is away, and it alone writes to the image store");
}

// What follows an import, however it came.
std::function<void(Result<ImportedImage>)> Manager::record(const Answer<std::string>& answer, const ImportName& name) {
    return answer.later([this, answer, name](Result<ImportedImage> imported) {
        if (!imported) return answer.refuse(imported.error());
        const std::string unpacked = imported->digest;
        const auto digest = context_.rooms.images.record(std::move(*imported), name);
        if (!digest)
            return answer.refuse(Error{digest.error().code, "image sha256:" + unpacked +
                                                                " is in the store, but recapd could not note it: " +
                                                                digest.error().message + "; RemoveImage takes this digest"});
        context_.rooms.refreshAdmissions(answer.later([this, answer, digest = *digest] {
            context_.capsulesChanged();
            answer.give(digest);
        }));
    });
}

void Manager::RemoveImage(sdbus::Result<>&& result, std::string image, Values options) {
    begin(std::move(result), [&](const Answer<>& answer) -> Result<void> {
        const auto interactive = interactiveOnly(std::move(options));
        if (!interactive) return tl::unexpected(interactive.error());
        if (auto checked = checkName(image); !checked) return checked;
        manage(answer, manageRight("images", "RemoveImage", image), *interactive, [this, answer, image] { removeNow(answer, image); });
        return {};
    });
}

void Manager::removeNow(const Answer<>& answer, const std::string& image) {
    const auto found = context_.rooms.images.find(image);
    // The launcher may have one that the index does not: an import that ended half way.
    const std::string digest = found ? (*found)->digest : wholeDigest(image);
    if (digest.empty()) return answer.refuse(found.error());
    context_.rooms.launcher.removeImage(digest,
                                        answer.later([this, answer, digest, known = found.has_value()](const Result<void>& removed) {
                                            // One that the launcher does not have (any more) may leave the index too.
                                            if (!removed && !(known && removed.error().code == Errc::NotFound))
                                                return answer.refuse(removed.error());
                                            const auto forgotten = known ? context_.rooms.images.forget(digest) : Result<void>();
                                            context_.capsulesChanged();
                                            answer(forgotten);
                                        }));
}

void Manager::ScanImage(sdbus::Result<>&& result, std::string, Values) {
    notSupported(std::move(result), "this version has no image scanner");
}

void Manager::Reload(sdbus::Result<>&& result, Values options) {
    begin(std::move(result), [&](const Answer<>& answer) -> Result<void> {
        const auto interactive = interactiveOnly(std::move(options));
        if (!interactive) return tl::unexpected(interactive.error());
        manage(answer, manageRight("capsules", "Reload", ""), *interactive, [this, answer] {
            const auto reloaded = context_.rooms.reload();
            context_.capsulesChanged();
            answer(reloaded);
        });
        return {};
    });
}

}  // namespace recap::bus
