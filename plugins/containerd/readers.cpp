// SPDX-License-Identifier: Apache-2.0
#include "plugins/containerd/readers.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include <containerd_api/event.pb.h>
#include <containerd_api/runc_options.pb.h>

namespace recap::containerd {
namespace {

namespace events = ::containerd::events;
using nlohmann::json;

constexpr std::size_t kMaxName = 127;  // containerd itself allows 76
constexpr std::size_t kMaxSpec = 1024 * 1024;
constexpr std::size_t kMaxEvent = 1024 * 1024;
constexpr std::size_t kMaxPath = 4096;

// "types.containerd.io/opencontainers/…" -> what is behind the last '/'.
std::string_view lastPart(std::string_view path) { return path.substr(path.rfind('/') + 1); }

template <class Message>
bool parse(Message& message, std::string_view bytes) {
    return bytes.size() <= kMaxEvent && message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

template <class Message>
std::optional<Event> taskEvent(Event::Kind kind, std::string_view bytes) {
    Message message;
    if (!parse(message, bytes)) return std::nullopt;
    return Event{kind, "", message.container_id(), 0};
}

// The ends of a container's other processes (exec) come with an id of their own.
template <class Message>
std::optional<Event> endEvent(std::string_view bytes) {
    Message message;
    if (!parse(message, bytes) || (!message.id().empty() && message.id() != message.container_id())) return std::nullopt;
    const bool isPid = message.pid() <= 0x7fffffff;
    return Event{Event::Kind::Ended, "", message.container_id(), isPid ? static_cast<pid_t>(message.pid()) : 0};
}

template <class Message>
std::optional<Event> containerEvent(Event::Kind kind, std::string_view bytes) {
    Message message;
    if (!parse(message, bytes)) return std::nullopt;
    return Event{kind, "", message.id(), 0};
}

std::optional<Event> payloadOf(std::string_view type, std::string_view bytes) {
    using Kind = Event::Kind;
    if (type == "containerd.events.TaskStart") return taskEvent<events::TaskStart>(Kind::Started, bytes);
    if (type == "containerd.events.TaskExit") return endEvent<events::TaskExit>(bytes);
    if (type == "containerd.events.TaskDelete") return endEvent<events::TaskDelete>(bytes);
    if (type == "containerd.events.TaskPaused") return taskEvent<events::TaskPaused>(Kind::Changed, bytes);
    if (type == "containerd.events.TaskResumed") return taskEvent<events::TaskResumed>(Kind::Changed, bytes);
    if (type == "containerd.events.ContainerUpdate") return containerEvent<events::ContainerUpdate>(Kind::Changed, bytes);
    if (type == "containerd.events.ContainerDelete") return containerEvent<events::ContainerDelete>(Kind::Forgotten, bytes);
    return std::nullopt;
}

const json* member(const json& object, const char* key) {
    if (!object.is_object()) return nullptr;
    const auto found = object.find(key);
    return found == object.end() ? nullptr : &*found;
}

bool asksForUserNamespace(const json& namespaces) {
    if (!namespaces.is_array()) return false;
    return std::any_of(namespaces.begin(), namespaces.end(), [](const json& one) {
        const json* type = member(one, "type");
        return type != nullptr && type->is_string() && type->get_ref<const std::string&>() == "user";
    });
}

// A component that is the id, or "prefix-ID.scope" as systemd has it, or "slice:prefix:ID" where nobody translated that.
bool namesId(std::string_view cgroup, std::string_view id) {
    for (auto at = id.empty() ? id.npos : cgroup.find(id); at != cgroup.npos; at = cgroup.find(id, at + 1)) {
        const char before = at == 0 ? '\0' : cgroup[at - 1];
        const auto after = cgroup.substr(at + id.size());
        const bool ends = after.empty() || after.front() == '/';
        const bool endsScope = after == ".scope" || after.starts_with(".scope/");
        if (((before == '/' || before == ':') && ends) || ((before == '/' || before == '-') && endsScope)) return true;
    }
    return false;
}

// `path` as a row of whole components somewhere in `cgroup`: an engine in a container says only what is below its own.
bool hasComponents(std::string_view cgroup, std::string_view path) {
    while (path.starts_with('/')) path.remove_prefix(1);
    while (path.ends_with('/')) path.remove_suffix(1);
    if (path.empty()) return false;
    return (std::string(cgroup) + "/").find("/" + std::string(path) + "/") != std::string::npos;
}

}  // namespace

bool isName(std::string_view text) {
    return !text.empty() && text.size() <= kMaxName && text != "." && text != ".." && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '_' || c == '-';
    });
}

std::optional<Event> eventOf(std::string_view nameSpace, std::string_view type, std::string_view bytes) {
    auto event = payloadOf(lastPart(type), bytes);
    if (!event || !isName(nameSpace) || !isName(event->container)) return std::nullopt;
    event->nameSpace = nameSpace;
    return event;
}

SpecFacts specOf(std::string_view text) {
    SpecFacts facts;
    if (text.size() > kMaxSpec) return facts;
    const json spec = json::parse(text.begin(), text.end(), nullptr, false);
    const json* platform = member(spec, "linux");
    if (platform == nullptr) return facts;
    const json* path = member(*platform, "cgroupsPath");
    if (path != nullptr && path->is_string() && path->get_ref<const std::string&>().size() <= kMaxPath)
        facts.cgroupsPath = path->get<std::string>();
    const json* namespaces = member(*platform, "namespaces");
    facts.ownUserNamespace = namespaces != nullptr && asksForUserNamespace(*namespaces);
    return facts;
}

std::string runtimeOf(std::string_view name, std::string_view optionsType, std::string_view options) {
    if (name != "io.containerd.runc.v1" && name != "io.containerd.runc.v2") return std::string(name);
    ::containerd::runc::v1::Options parsed;
    if (lastPart(optionsType) != "containerd.runc.v1.Options" || !parse(parsed, options)) return "runc";
    const auto binary = lastPart(parsed.binary_name());
    return binary.empty() ? "runc" : std::string(binary.substr(0, kMaxName));
}

bool isCgroupOf(std::string_view cgroup, std::string_view id, std::string_view cgroupsPath) {
    if (namesId(cgroup, id)) return true;
    const auto first = cgroupsPath.find(':');
    const auto second = first == std::string_view::npos ? first : cgroupsPath.find(':', first + 1);
    if (second == std::string_view::npos) return (!cgroup.empty() && cgroup == cgroupsPath) || hasComponents(cgroup, cgroupsPath);
    const auto prefix = cgroupsPath.substr(first + 1, second - first - 1);
    return hasComponents(cgroup,
                         std::string(prefix) + (prefix.empty() ? "" : "-") + std::string(cgroupsPath.substr(second + 1)) + ".scope");
}

}  // namespace recap::containerd
