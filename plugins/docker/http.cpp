// SPDX-License-Identifier: Apache-2.0
#include "plugins/docker/http.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <stdexcept>
#include <vector>

namespace recap::docker {
namespace {

constexpr std::size_t kMaxHead = 64 * 1024;
constexpr std::size_t kMaxErrorBody = 16 * 1024;
constexpr std::array<std::string_view, 2> kHeaders{"api-version", "libpod-api-version"};

// Once a process, before any other thread of it may use curl.
void useCurl() {
    static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (code != CURLE_OK) throw std::runtime_error(std::string("libcurl: ") + curl_easy_strerror(code));
}

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0) text.remove_prefix(1);
    while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) text.remove_suffix(1);
    return text;
}

std::string lower(std::string_view text) {
    std::string result(text);
    std::transform(result.begin(), result.end(), result.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return result;
}

std::string duration(std::chrono::milliseconds time) {
    return time.count() % 1000 == 0 ? std::to_string(time.count() / 1000) + "s" : std::to_string(time.count()) + "ms";
}

}  // namespace

struct Http::Transfer {
    Id id = 0;
    Request request;
    Done done;
    std::unique_ptr<CURL, void (*)(CURL*)> easy{nullptr, curl_easy_cleanup};
    Answer answer;
    bool* moved = nullptr;
    std::size_t head = 0;
    bool headEnded = false;
    Result<void> refused;  // why this side ended it

    // Both answer how much they took; less ends the transfer.
    static std::size_t onHeader(char* data, std::size_t, std::size_t size, void* self) noexcept {
        return static_cast<Transfer*>(self)->takeHeader({data, size}) ? size : 0;
    }
    static std::size_t onData(char* data, std::size_t, std::size_t size, void* self) noexcept {
        return static_cast<Transfer*>(self)->takeBody({data, size}) ? size : 0;
    }

    bool takeHeader(std::string_view line) {
        *moved = true;
        head += line.size();
        if (head > kMaxHead)
            return refuse("the head of the answer to " + request.what + " is longer than " + std::to_string(kMaxHead) + " bytes");
        if (trimmed(line).empty()) {
            curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &answer.status);
            headEnded = headEnded || answer.status >= 200;
        }
        const auto colon = line.find(':');
        if (colon == std::string_view::npos) return true;
        const std::string name = lower(line.substr(0, colon));
        if (std::find(kHeaders.begin(), kHeaders.end(), name) != kHeaders.end()) answer.headers[name] = trimmed(line.substr(colon + 1));
        return true;
    }

    bool takeBody(std::string_view bytes) {
        *moved = true;
        if (answer.status == 200 && request.onBody) {
            refused = request.onBody(bytes);
            return refused.has_value();
        }
        // Of what says why not, the beginning is enough.
        if (answer.status != 200) {
            answer.body.append(bytes.substr(0, kMaxErrorBody - std::min(kMaxErrorBody, answer.body.size())));
            return answer.body.size() < kMaxErrorBody;
        }
        if (answer.body.size() + bytes.size() > request.maxBody)
            return refuse("the answer to " + request.what + " is longer than " + std::to_string(request.maxBody) + " bytes");
        answer.body.append(bytes);
        return true;
    }

    bool refuse(std::string why) {
        refused = fail(Errc::LimitExceeded, std::move(why));
        return false;
    }

    Result<Answer> result(CURLcode code) {
        if (!refused) return forward(std::move(refused));
        const bool cutError = answer.status != 0 && answer.status != 200 && code == CURLE_WRITE_ERROR;
        if (code == CURLE_OK || cutError) return std::move(answer);
        if (code == CURLE_OPERATION_TIMEDOUT)
            return fail(Errc::Timeout, "no whole answer to " + request.what + " within " + duration(request.deadline));
        if (code == CURLE_COULDNT_CONNECT) return fail(Errc::Unavailable, "no connection for " + request.what);
        return fail(Errc::Unavailable, request.what + ": " + lower(curl_easy_strerror(code)));
    }
};

Http::Http(std::string socket) : socket_(std::move(socket)), multi_(nullptr, curl_multi_cleanup) {
    useCurl();
    multi_.reset(curl_multi_init());
    if (!multi_) throw std::runtime_error("libcurl: no multi handle");
}

Http::~Http() {
    for (const auto& [id, transfer] : transfers_) curl_multi_remove_handle(multi_.get(), transfer->easy.get());
}

Http::Id Http::get(Request request, Done done) {
    auto made = std::make_unique<Transfer>();
    Transfer& transfer = *made;
    transfer.id = ++last_;
    transfer.request = std::move(request);
    transfer.done = std::move(done);
    transfer.moved = &moved_;
    transfer.easy.reset(curl_easy_init());
    CURL* easy = transfer.easy.get();
    if (easy == nullptr) throw std::runtime_error("libcurl: no handle");
    const std::string url = "http://engine" + transfer.request.path;
    curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
    curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, socket_.c_str());
    curl_easy_setopt(easy, CURLOPT_PROXY, "");  // whatever the environment says
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(transfer.request.deadline.count()));
    curl_easy_setopt(easy, CURLOPT_MAX_RECV_SPEED_LARGE, static_cast<curl_off_t>(transfer.request.maxSpeed));
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Transfer::onHeader);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Transfer::onData);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, &transfer);
    if (curl_multi_add_handle(multi_.get(), easy) != CURLM_OK) throw std::runtime_error("libcurl: " + transfer.request.what);
    transfers_.emplace(transfer.id, std::move(made));
    return last_;
}

void Http::cancel(Id id) {
    const auto found = transfers_.find(id);
    if (found == transfers_.end()) return;
    curl_multi_remove_handle(multi_.get(), found->second->easy.get());
    transfers_.erase(found);
}

bool Http::isAnswered(Id id) const {
    const auto found = transfers_.find(id);
    return found != transfers_.end() && found->second->headEnded;
}

void Http::step(std::span<const int> wake, std::chrono::milliseconds timeout) {
    std::vector<curl_waitfd> extra;
    for (const int fd : wake) extra.push_back({fd, CURL_WAIT_POLLIN, 0});
    int running = 0;
    moved_ = false;
    curl_multi_perform(multi_.get(), &running);
    int left = 0;
    const CURLMsg* message = curl_multi_info_read(multi_.get(), &left);
    if (message == nullptr && !moved_) {
        curl_multi_poll(multi_.get(), extra.data(), static_cast<unsigned>(extra.size()), static_cast<int>(timeout.count()), nullptr);
        curl_multi_perform(multi_.get(), &running);
        message = curl_multi_info_read(multi_.get(), &left);
    }
    for (; message != nullptr; message = curl_multi_info_read(multi_.get(), &left)) {
        if (message->msg == CURLMSG_DONE) finish(message->easy_handle, message->data.result);
    }
}

void Http::finish(CURL* easy, CURLcode code) {
    Transfer* ended = nullptr;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &ended);
    auto node = transfers_.extract(ended->id);
    curl_multi_remove_handle(multi_.get(), easy);
    node.mapped()->done(node.mapped()->result(code));
}

std::string escaped(std::string_view text) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string result;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (std::isalnum(byte) != 0 || std::string_view("-._~").find(c) != std::string_view::npos) {
            result += c;
        } else {
            result += {'%', digits[byte >> 4], digits[byte & 15]};
        }
    }
    return result;
}

}  // namespace recap::docker
