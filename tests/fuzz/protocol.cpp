// SPDX-License-Identifier: Apache-2.0
// Every other record of the launcher's protocol, either way: a byte that says which, and the body.
#include "daemon/launcher/codec.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace recap::fuzz {

namespace {

using namespace launcher;

template <class T>
void readBody(const std::string& message) {
    if (const auto body = decode<T>(message)) promise(encode(Verb::Event, 1, *body) == message, "one record has one form");
    if (const auto body = decodeReply<T>(message))
        promise(encodeReply(Verb::Event, 1, *body).size() <= message.size(), "a reply is no longer than it came");
}

constexpr void (*kReaders[])(const std::string&) = {
    readBody<Hello>,       readBody<TargetFacts>,   readBody<Started>,       readBody<Report>,  readBody<RunEvent>, readBody<SignalRequest>,
    readBody<StopRequest>, readBody<ResizeRequest>, readBody<AttachRequest>, readBody<RunRef>,  readBody<ImageRef>, readBody<RunState>,
    readBody<RunList>,     readBody<ImageList>,     readBody<WatchRequest>,  readBody<Watched>, readBody<WatchRef>,
};
constexpr std::size_t kCount = std::size(kReaders);

template <class T>
std::string seed(std::size_t which, const T& body) {
    return static_cast<char>(which) + encode(Verb::Event, 1, body).substr(kHeaderSize);
}

}  // namespace

std::vector<std::string> seeds() {
    TargetFacts facts;
    facts.cgroup = "/docker/1";
    facts.foreignMounts = {"fuse.sshfs /mnt"};
    facts.uidMap = {{0, 100000, 65536}};
    Report report;
    report.runId = "01HZX0000000000000000000AB";
    report.step = "root";
    report.left = {"process 12"};
    report.written = {"C /etc/x"};
    RunList runs;
    runs.runs.push_back({RunPhase::Executing, report, "ps", "docker:web", 1000, ":1.7", true});
    ImageList images;
    images.images.push_back({std::string(64, 'a'), true});
    const WatchRequest watch{"docker:web", 7,       "/docker/1", 4026531841,     WatchKind::Pressure,
                             Resource::Io, 100'000, 1'000'000,   "/etc/app.conf"};
    return {seed(0, Hello{}),
            seed(1, facts),
            seed(3, report),
            seed(4, RunEvent{RunPhase::Finished, report}),
            seed(6, StopRequest{report.runId, 5}),
            seed(12, runs),
            seed(13, images),
            seed(14, watch),
            seed(15, Watched{3, WatchForm::Trigger, 200'000, 2'000'000}),
            seed(16, WatchRef{3}),
            encodeReply(Verb::Hello, 1, Hello{}),
            encodeFailure(Verb::Start, 1, {Errc::Denied, "no"})};
}

void input(std::string_view bytes) {
    if (bytes.empty()) return;
    const auto header = decodeHeader(bytes);
    if (header) promise(header->length == bytes.size(), "a header knows its message's length");
    Writer head;
    putHeader(head, Verb::Event, 1);
    head.bytes() += bytes.substr(1);
    kReaders[static_cast<unsigned char>(bytes[0]) % kCount](sealed(head));
}

}  // namespace recap::fuzz
