// SPDX-License-Identifier: Apache-2.0
// What an engine answers: lists, containers, events cut anywhere, errors. A byte that says which, and its bytes.
#include <algorithm>

#include "plugins/docker/engine.hpp"
#include "plugins/docker/events.hpp"
#include "plugins/docker/target.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace recap::fuzz {
namespace {

const std::string kId(64, 'a');

void list(std::string_view text) {
    const auto ids = docker::readList(text);
    promise(!ids || ids->size() <= docker::kMaxContainers, "a list is bounded");
    promise(!ids || std::all_of(ids->begin(), ids->end(), [](const auto& id) { return docker::isId(id); }), "a list is of ids");
}

void container(std::string_view text) {
    const auto read = docker::readContainer(text);
    if (!read) return;
    promise(docker::isId(read->id) && read->labels.size() <= docker::kMaxLabels, "a container has an id and bounded labels");
    promise(!read->running || read->pid > 0, "what runs has a pid");
    const auto target = docker::describe(*read, true);
    promise(target.details.size() <= 16 && target.aliases.size() <= 8, "a target is within what the host passes on");
    promise(docker::whyNotRunning(*read).size() < 2048, "a sentence is bounded");
}

// The first byte says how long the pieces are.
void events(std::string_view text) {
    docker::EventReader reader;
    const std::size_t piece = text.empty() ? 1 : 1 + static_cast<unsigned char>(text.front());
    for (; !text.empty(); text.remove_prefix(std::min(piece, text.size())))
        reader.feed(text.substr(0, piece), [](const docker::Event& event) {
            promise(docker::isId(event.id) && !event.action.empty() && event.action.size() <= 64, "an event is of a container");
        });
    static_cast<void>(docker::eventsQuery(reader.lastTime()));
}

void words(std::string_view text) {
    static_cast<void>(docker::readOciRuntime(text));
    static_cast<void>(docker::readUserNamespaces(text));
    promise(docker::readMessage(text).size() <= 200, "a message is one line");
    docker::Answer ping;
    ping.headers["api-version"] = text;
    const auto dialect = docker::negotiate(ping);
    promise(!dialect || dialect->version.find_first_not_of("0123456789.") == std::string::npos, "a version may be put into a path");
    if (docker::isReference(text)) promise(docker::escaped(text).size() <= 3 * 255, "a reference is bounded");
}

}  // namespace

std::vector<std::string> seeds() {
    const std::string id = "\"Id\":\"" + kId + "\"";
    const std::string event = R"({"Type":"container","Action":"start","Actor":{"ID":")" + kId + R"("},"timeNano":17})";
    return {
        std::string("\0", 1) + "[{" + id + R"(,"Names":["/web"],"Ports":[{"PrivatePort":80}],"Labels":{"a":"b"}}])",
        "\1{" + id +
            R"(,"Name":"/web","State":{"Status":"running","Running":true,"Paused":false,"Pid":42,"ExitCode":0,"Health":{"Status":"healthy"}},)"
            R"("HostConfig":{"Runtime":"runc","UsernsMode":""},"Config":{"Image":"nginx","Labels":{"com.docker.compose.project":"shop",)"
            R"("com.docker.compose.service":"web"}},"RestartCount":1})",
        "\2\20" + event + "\n" + event + "\n{\"Type\":\"network\"}\n",
        "\3{\"message\":\"no such container\",\"OCIRuntime\":\"crun\",\"SecurityOptions\":[\"name=userns\"]}", "\0031.41"};
}

void input(std::string_view bytes) {
    if (bytes.empty()) return;
    const std::string_view text = bytes.substr(1);
    switch (static_cast<unsigned char>(bytes[0]) % 4) {
        case 0: list(text); break;
        case 1: container(text); break;
        case 2: events(text); break;
        default: words(text);
    }
}

}  // namespace recap::fuzz
