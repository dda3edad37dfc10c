// SPDX-License-Identifier: Apache-2.0
// For authors of plugins in C++20: a plain class becomes a plugin with one macro line. Needs nothing but this folder.
//
//   class Demo {
//   public:
//       explicit Demo(recap::plugin::Settings& settings);         // reads its settings; what is left over is refused by name
//       void run(recap::plugin::Sink& sink);                      // reports until sink.wait() or sink.stopping() says so
//       void find(recap::plugin::Sink& sink, std::string_view id);  // optional; may run while run() does, on another thread
//       void exportImage(std::string_view reference, int out, int stopFd);  // optional, likewise; see recap_image_source
//   };
//   RECAP_BACKEND_PLUGIN(Demo, "demo", "1.0.0");
//
// Exceptions may leave any of these: they are caught at the border and become the C ABI's code and sentence. Throw
// recap::plugin::Error to choose the code.
#pragma once

#include <poll.h>
#include <recap/plugin.h>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace recap::plugin {

enum class Code : std::int32_t {
    Invalid = RECAP_INVALID,
    NotFound = RECAP_NOT_FOUND,
    Unavailable = RECAP_UNAVAILABLE,
    NotSupported = RECAP_NOT_SUPPORTED,
    Denied = RECAP_DENIED,
    Internal = RECAP_INTERNAL,
};

class Error : public std::runtime_error {
public:
    Error(Code code, const std::string& message) : std::runtime_error(message), code_(code) {}
    Code code() const noexcept { return code_; }

private:
    Code code_;
};

enum class TargetState : std::uint32_t { Running = RECAP_TARGET_RUNNING, Paused = RECAP_TARGET_PAUSED, Stopped = RECAP_TARGET_STOPPED };

// See recap_target for what each field means.
struct Target {
    std::string id;
    std::string name;
    std::string image;
    std::string runtime;
    std::map<std::string, std::string> labels;
    TargetState state = TargetState::Running;
    std::int32_t pid = 0;
    std::uint64_t startTime = 0;
    std::string cgroup;
    std::vector<std::string> aliases;
    std::map<std::string, std::string> details;
    bool operator==(const Target&) const = default;
};

namespace detail {

inline recap_text text(std::string_view from) { return {from.data(), from.size()}; }
inline std::string_view view(recap_text from) { return from.size == 0 ? std::string_view() : std::string_view(from.data, from.size); }

// Runs `body` with a Target as the C ABI has it, borrowed for the call.
template <class Body>
void withTarget(const Target& target, Body&& body) {
    std::vector<recap_pair> labels;
    labels.reserve(target.labels.size());
    for (const auto& [key, value] : target.labels) labels.push_back({text(key), text(value)});
    std::vector<recap_pair> details;
    details.reserve(target.details.size());
    for (const auto& [key, value] : target.details) details.push_back({text(key), text(value)});
    std::vector<recap_text> aliases;
    aliases.reserve(target.aliases.size());
    for (const auto& alias : target.aliases) aliases.push_back(text(alias));
    recap_target flat{};
    flat.size = sizeof flat;
    flat.state = static_cast<std::uint32_t>(target.state);
    flat.pid = target.pid;
    flat.label_count = static_cast<std::uint32_t>(labels.size());
    flat.start_time = target.startTime;
    flat.id = text(target.id);
    flat.name = text(target.name);
    flat.image = text(target.image);
    flat.runtime = text(target.runtime);
    flat.cgroup = text(target.cgroup);
    flat.labels = labels.data();
    flat.aliases = aliases.data();
    flat.details = details.data();
    flat.alias_count = static_cast<std::uint32_t>(aliases.size());
    flat.detail_count = static_cast<std::uint32_t>(details.size());
    body(&flat);
}

}  // namespace detail

// The settings of one instance. Each is taken once; what nobody took is refused by name after the constructor.
class Settings {
public:
    Settings(std::string_view instance, std::span<const recap_pair> pairs) : instance_(instance) {
        for (const auto& pair : pairs) values_[std::string(detail::view(pair.key))].emplace_back(detail::view(pair.value));
    }

    const std::string& instance() const { return instance_; }

    std::optional<std::string> text(const std::string& key) {
        auto all = list(key);
        if (!all) return std::nullopt;
        if (all->size() != 1) throw Error(Code::Invalid, "'" + key + "' is a list; one value is wanted");
        return std::move(all->front());
    }

    std::optional<std::vector<std::string>> list(const std::string& key) {
        known_.push_back(key);
        auto found = values_.extract(key);
        if (found.empty()) return std::nullopt;
        return std::move(found.mapped());
    }

    // "250ms", "2s", "5min", "1h"
    std::optional<std::chrono::milliseconds> duration(const std::string& key) {
        const auto value = text(key);
        if (!value) return std::nullopt;
        const std::size_t digits = std::min(value->find_first_not_of("0123456789"), value->size());
        const std::string_view unit = std::string_view(*value).substr(digits);
        const std::int64_t factor = unit == "ms" ? 1 : unit == "s" ? 1000 : unit == "min" ? 60'000 : unit == "h" ? 3'600'000 : 0;
        if (digits == 0 || digits > 9 || factor == 0)
            throw Error(Code::Invalid, "'" + key + "' is '" + *value + "'; a number and ms, s, min or h is wanted");
        return std::chrono::milliseconds(std::stoll(value->substr(0, digits)) * factor);
    }

    void refuseUnknown() const {
        if (values_.empty()) return;
        std::string known;
        for (const auto& key : known_) known += (known.empty() ? "" : ", ") + key;
        throw Error(Code::Invalid, "unknown setting '" + values_.begin()->first + "'" +
                                       (known.empty() ? "; this plugin has none" : "; known are: " + known));
    }

private:
    std::string instance_;
    std::map<std::string, std::vector<std::string>> values_;
    std::vector<std::string> known_;
};

// Where a backend reports. Usable from any thread while the backend lives; copies refer to the same host.
class Sink {
public:
    explicit Sink(const recap_backend_sink* table) : table_(table) {}

    // All that exists now. Makes the backend ready.
    void snapshot(std::span<const Target> targets) {
        table_->snapshot_begin(table_->host);
        for (const auto& target : targets) detail::withTarget(target, [&](auto* flat) { table_->snapshot_target(table_->host, flat); });
        table_->snapshot_end(table_->host);
    }
    void added(const Target& target) {
        detail::withTarget(target, [&](auto* flat) { table_->added(table_->host, flat); });
    }
    void changed(const Target& target) {
        detail::withTarget(target, [&](auto* flat) { table_->changed(table_->host, flat); });
    }
    void removed(std::string_view id) { table_->removed(table_->host, detail::text(id)); }
    void waiting(std::string_view why) { table_->state(table_->host, RECAP_BACKEND_WAITING, detail::text(why)); }
    void unavailable(std::string_view why) { table_->state(table_->host, RECAP_BACKEND_UNAVAILABLE, detail::text(why)); }

    // From run() only. Waits until one of `fds` has something (see poll(2)), the time is over, or run() has to return: false
    // then. Tells the host that the plugin is alive, however long it waits.
    bool wait(std::span<pollfd> fds, std::chrono::milliseconds timeout) {
        constexpr std::chrono::milliseconds slice = std::chrono::seconds(RECAP_ALIVE_SECONDS) / 3;
        std::vector<pollfd> all(fds.begin(), fds.end());
        all.push_back({table_->stop_fd, POLLIN, 0});
        const auto end = std::chrono::steady_clock::now() + timeout;
        for (;;) {
            table_->alive(table_->host);
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
            const auto next = std::clamp(left, std::chrono::milliseconds(0), slice);
            const int ready = ::poll(all.data(), all.size(), static_cast<int>(next.count()));
            if (ready > 0 || left <= slice) break;
        }
        for (std::size_t i = 0; i < fds.size(); ++i) fds[i].revents = all[i].revents;
        return all.back().revents == 0;
    }
    bool wait(std::chrono::milliseconds timeout) { return wait({}, timeout); }
    bool stopping() const {
        pollfd stop{table_->stop_fd, POLLIN, 0};
        return ::poll(&stop, 1, 0) > 0;
    }
    int stopFd() const { return table_->stop_fd; }

private:
    const recap_backend_sink* table_;
};

// What a class needs, one concept each, so that the compiler names the one that is missing.
template <class T>
concept ConstructibleFromSettings = std::constructible_from<T, Settings&>;
template <class T>
concept HasRun = requires(T backend, Sink& sink) {
    { backend.run(sink) } -> std::same_as<void>;
};
template <class T>
concept HasFind = requires(T backend, Sink& sink, std::string_view id) {
    { backend.find(sink, id) } -> std::same_as<void>;
};
template <class T>
concept NamesFind = requires {
    &T::find;
};
template <class T>
concept FindAsWantedOrAbsent = HasFind<T> || !NamesFind<T>;
template <class T>
concept HasExportImage = requires(T backend, std::string_view reference, int fd) {
    { backend.exportImage(reference, fd, fd) } -> std::same_as<void>;
};
template <class T>
concept NamesExportImage = requires {
    &T::exportImage;
};
template <class T>
concept ExportImageAsWantedOrAbsent = HasExportImage<T> || !NamesExportImage<T>;
template <class T>
concept BackendImpl = ConstructibleFromSettings<T> && HasRun<T> && FindAsWantedOrAbsent<T> && ExportImageAsWantedOrAbsent<T>;

namespace detail {

inline void fill(recap_error* error, std::int32_t code, std::string_view message) noexcept {
    if (error == nullptr || error->size < sizeof(recap_error)) return;
    error->code = code;
    const std::size_t length = std::min(message.size(), sizeof error->message - 1);
    if (length > 0) std::memcpy(error->message, message.data(), length);
    error->message[length] = '\0';
}

// The border: nothing thrown passes.
template <class Body>
std::int32_t guarded(recap_error* error, Body&& body) noexcept {
    try {
        body();
        return RECAP_OK;
    } catch (const Error& failed) {
        fill(error, static_cast<std::int32_t>(failed.code()), failed.what());
        return static_cast<std::int32_t>(failed.code());
    } catch (const std::exception& failed) {
        fill(error, RECAP_INTERNAL, failed.what());
    } catch (...) {
        fill(error, RECAP_INTERNAL, "an exception that is no std::exception");
    }
    return RECAP_INTERNAL;
}

template <class Impl>
struct BackendTable {
    recap_backend table{};
    recap_image_source images{};
    Impl impl;

    explicit BackendTable(Settings& settings) : impl(settings) {
        table.size = sizeof table;
        table.self = this;
        table.run = [](void* self, const recap_backend_sink* sink, recap_error* error) noexcept {
            return guarded(error, [&] {
                Sink to(sink);
                static_cast<BackendTable*>(self)->impl.run(to);
            });
        };
        if constexpr (HasFind<Impl>) {
            table.find = [](void* self, recap_text id, const recap_backend_sink* sink, recap_error* error) noexcept {
                return guarded(error, [&] {
                    Sink to(sink);
                    static_cast<BackendTable*>(self)->impl.find(to, view(id));
                });
            };
        }
        if constexpr (HasExportImage<Impl>) {
            images.size = sizeof images;
            images.self = this;
            images.export_image = [](void* self, recap_text reference, std::int32_t out, std::int32_t stopFd, recap_error* error) noexcept {
                return guarded(error, [&] { static_cast<BackendTable*>(self)->impl.exportImage(view(reference), out, stopFd); });
            };
            table.get_extension = [](void* self, const char* id) noexcept -> const void* {
                return std::strcmp(id, RECAP_IMAGES_EXTENSION) == 0 ? &static_cast<BackendTable*>(self)->images : nullptr;
            };
        }
        table.destroy = [](void* self) noexcept { delete static_cast<BackendTable*>(self); };
    }
};

template <class Impl>
const recap_backend* createBackend(const recap_backend_factory*, const recap_host* host, const recap_pair* settings, size_t count,
                                   recap_error* error) noexcept {
    const recap_backend* made = nullptr;
    guarded(error, [&] {
        Settings given(host->instance, {settings, count});
        auto table = std::make_unique<BackendTable<Impl>>(given);
        given.refuseUnknown();
        made = &table.release()->table;
    });
    return made;
}

template <class Impl>
const void* backendFactory(const recap_plugin_entry*, const char* id) noexcept {
    static constexpr recap_backend_factory factory{sizeof(recap_backend_factory), 0, &createBackend<Impl>};
    return std::strcmp(id, RECAP_BACKEND_FACTORY) == 0 ? &factory : nullptr;
}

template <class Impl>
constexpr recap_plugin_entry backendEntry(const char* name, const char* version) {
    static_assert(ConstructibleFromSettings<Impl>, "a backend needs a constructor: explicit Impl(recap::plugin::Settings&)");
    static_assert(HasRun<Impl>, "a backend needs: void run(recap::plugin::Sink&)");
    static_assert(FindAsWantedOrAbsent<Impl>, "find is: void find(recap::plugin::Sink&, std::string_view id), or absent");
    static_assert(ExportImageAsWantedOrAbsent<Impl>,
                  "exportImage is: void exportImage(std::string_view reference, int out, int stopFd), or absent");
    static_assert(BackendImpl<Impl>);
    return {sizeof(recap_plugin_entry), RECAP_PLUGIN_ABI_MAJOR, RECAP_PLUGIN_ABI_MINOR, 0, name, version, &backendFactory<Impl>};
}

}  // namespace detail
}  // namespace recap::plugin

// One line, at namespace scope, in one source file of the plugin.
#define RECAP_BACKEND_PLUGIN(Impl, name, version) \
    extern "C" RECAP_PLUGIN_EXPORT const recap_plugin_entry recap_plugin = ::recap::plugin::detail::backendEntry<Impl>(name, version)
