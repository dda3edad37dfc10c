// SPDX-License-Identifier: Apache-2.0
#include "plugins/docker/readers.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

namespace recap::docker {
namespace {

constexpr std::size_t kMaxText = 1024;
constexpr std::size_t kMaxLabelText = 48 * 1024;  // of all of a container's labels: what of it recapd would take
constexpr std::size_t kMaxAction = 64;

using nlohmann::json;
using Parse = json::parse_event_t;
using Keys = std::set<std::string_view>;

// Of an object only the members with these names, whole; discarded where the text is no JSON.
json parseMembers(std::string_view text, const Keys& wanted) {
    return json::parse(
        text.begin(), text.end(),
        [&](int depth, Parse event, json& parsed) {
            if (depth == 0) return event != Parse::array_start;
            return depth != 1 || event != Parse::key || wanted.contains(parsed.get_ref<const std::string&>());
        },
        false);
}

const json* member(const json& object, const char* key) {
    if (!object.is_object()) return nullptr;
    const auto found = object.find(key);
    return found == object.end() ? nullptr : &*found;
}

const json& objectAt(const json& object, const char* key) {
    static const json empty = json::object();
    const json* found = member(object, key);
    return found != nullptr && found->is_object() ? *found : empty;
}

std::string textAt(const json& object, const char* key) {
    const json* found = member(object, key);
    return found != nullptr && found->is_string() ? found->get_ref<const std::string&>().substr(0, kMaxText) : std::string();
}

std::int64_t numberAt(const json& object, const char* key) {
    const json* found = member(object, key);
    if (found == nullptr || !found->is_number_integer()) return 0;
    if (found->is_number_unsigned() && found->get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX)) return 0;
    return found->get<std::int64_t>();
}

bool flagAt(const json& object, const char* key) {
    const json* found = member(object, key);
    return found != nullptr && found->is_boolean() && found->get<bool>();
}

std::map<std::string, std::string> labelsOf(const json& config) {
    std::map<std::string, std::string> labels;
    std::size_t size = 0;
    for (const auto& [key, value] : objectAt(config, "Labels").items()) {
        if (!value.is_string()) continue;
        const auto& text = value.get_ref<const std::string&>();
        size += key.size() + text.size();
        if (labels.size() >= kMaxLabels || size > kMaxLabelText) break;
        labels.emplace(key, text);
    }
    return labels;
}

void readState(const json& state, Container& container) {
    container.status = textAt(state, "Status");
    container.paused = flagAt(state, "Paused") || container.status == "paused";
    const std::int64_t pid = numberAt(state, "Pid");
    container.pid = pid > 0 && pid <= INT32_MAX ? static_cast<pid_t>(pid) : 0;
    const bool runs = flagAt(state, "Running") || container.paused;
    container.running = runs && !flagAt(state, "Restarting") && container.pid > 0;
    container.exitCode = numberAt(state, "ExitCode");
    container.health = textAt(objectAt(state, "Health"), "Status");
    if (container.health == "none") container.health.clear();
}

}  // namespace

bool isId(std::string_view text) { return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos; }

Result<std::vector<std::string>> readList(std::string_view body) {
    std::vector<std::string> ids;
    bool wrong = false;
    // Each container is let go once its id is known.
    const auto keep = [&](int depth, Parse event, json& parsed) {
        if (depth == 0) return event == Parse::array_start || event == Parse::array_end;
        if (event == Parse::key) return depth == 2 && parsed == "Id";
        if (event == Parse::object_end && depth == 1) {
            const std::string id = textAt(parsed, "Id");
            wrong = wrong || !isId(id) || ids.size() >= kMaxContainers;
            if (!wrong) ids.push_back(id);
        }
        return (event == Parse::object_start && depth == 1) || (event == Parse::value && depth == 2);
    };
    const json list = json::parse(body.begin(), body.end(), keep, false);
    if (!list.is_array()) return fail(Errc::Unavailable, "a list of containers that is no JSON array");
    if (wrong)
        return fail(Errc::Unavailable, "a list of containers with one that has no id, or with more than " + std::to_string(kMaxContainers));
    return ids;
}

Result<Container> readContainer(std::string_view body) {
    const json read = parseMembers(body, {"Id", "Name", "State", "HostConfig", "Config", "RestartCount"});
    Container container;
    container.id = textAt(read, "Id");
    if (!isId(container.id)) return fail(Errc::Unavailable, "a container without an id, or no JSON object");
    container.name = textAt(read, "Name");
    if (container.name.starts_with('/')) container.name.erase(0, 1);
    const json& config = objectAt(read, "Config");
    container.image = textAt(config, "Image");
    container.labels = labelsOf(config);
    const json& host = objectAt(read, "HostConfig");
    container.runtime = textAt(host, "Runtime");
    container.userNamespace = textAt(host, "UsernsMode");
    container.restarts = static_cast<std::uint64_t>(std::max<std::int64_t>(numberAt(read, "RestartCount"), 0));
    readState(objectAt(read, "State"), container);
    return container;
}

std::optional<Event> readEvent(std::string_view line) {
    const json read = parseMembers(line, {"Type", "Action", "status", "Actor", "id", "timeNano"});
    const std::string type = textAt(read, "Type");
    Event event{textAt(objectAt(read, "Actor"), "ID"), textAt(read, "Action"), 0};
    if (event.id.empty()) event.id = textAt(read, "id");  // as old engines say it
    if (event.action.empty()) event.action = textAt(read, "status");
    event.action.resize(std::min(event.action.size(), kMaxAction));
    event.time = static_cast<std::uint64_t>(std::max<std::int64_t>(numberAt(read, "timeNano"), 0));
    if ((!type.empty() && type != "container") || !isId(event.id) || event.action.empty()) return std::nullopt;
    return event;
}

std::string readOciRuntime(std::string_view body) { return textAt(parseMembers(body, {"OCIRuntime"}), "OCIRuntime"); }

bool readUserNamespaces(std::string_view body) {
    const json read = parseMembers(body, {"SecurityOptions"});
    const json* options = member(read, "SecurityOptions");
    return options != nullptr && options->is_array() &&
           std::any_of(options->begin(), options->end(), [](const json& option) { return option == "name=userns"; });
}

std::string readMessage(std::string_view body) {
    const json read = parseMembers(body, {"message"});
    return shortened(textAt(read, "message"));
}

std::string shortened(std::string_view text, std::size_t most) {
    std::string line(text.substr(0, std::min(text.find_first_of("\r\n"), most)));
    return line;
}

}  // namespace recap::docker
