// SPDX-License-Identifier: Apache-2.0
// Images through plugin hosts, as recapd asks for them.
#include "tests/unit/daemon/host/hosts.hpp"

namespace recap::host {
namespace {

class ExportingHosts : public Hosts {
protected:
    void exportImage(const std::string& reference, const std::string& backend = "docker") {
        int ends[2];
        ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
        pipe_.reset(ends[0]);
        hosts_->exportImage(backend, reference, UniqueFd(ends[1]), [this](Result<void> result) { answer_ = std::move(result); });
    }
    std::string outcome() const { return !answer_ ? "" : *answer_ ? "done" : answer_->error().message; }

    UniqueFd pipe_;
    std::optional<Result<void>> answer_;
};

TEST_F(ExportingHosts, AnExportHandsOverTheEndOfThePipe) {
    connectWith({});
    exportImage("web:1");
    const auto asked = std::get<Export>(receive());
    EXPECT_EQ(asked.reference, "web:1");
    ASSERT_TRUE(descriptor_);
    EXPECT_EQ(::write(descriptor_.get(), "tar", 3), 3);
    descriptor_.reset();
    char bytes[8];
    EXPECT_EQ(::read(pipe_.get(), bytes, sizeof bytes), 3);
    EXPECT_EQ(::read(pipe_.get(), bytes, sizeof bytes), 0) << "recapd keeps no end of its own";
    send(Exported{asked.request + 1, Errc::NotFound, "somebody else's"});
    send(Exported{asked.request, Errc::None, ""});
    until([&] { return answer_.has_value(); });
    EXPECT_EQ(outcome(), "done");
}

TEST_F(ExportingHosts, OneAtATimeAndItsErrorIsThePluginsOwn) {
    connectWith({});
    exportImage("web:1");
    const auto first = std::get<Export>(receive());
    std::optional<Result<void>> second;
    hosts_->exportImage("docker", "web:2", UniqueFd(::dup(pipe_.get())), [&](Result<void> result) { second = std::move(result); });
    ASSERT_TRUE(second);
    EXPECT_EQ(second->error().code, Errc::Busy);
    send(Exported{first.request, Errc::NotFound, "no such image: web:1"});
    until([&] { return answer_.has_value(); });
    EXPECT_EQ(answer_->error().code, Errc::NotFound);
    EXPECT_EQ(outcome(), "no such image: web:1");
    exportImage("web:2");
    EXPECT_EQ(std::get<Export>(receive()).reference, "web:2");
}

TEST_F(ExportingHosts, AnExportEndsWithItsHost) {
    connectWith({});
    exportImage("web:1");
    receive();
    descriptor_.reset();
    host_.reset();
    until([&] { return answer_.has_value(); });
    EXPECT_EQ(answer_->error().code, Errc::Unavailable);
    EXPECT_EQ(outcome(), "plugin host has ended");
    exportImage("web:1");
    EXPECT_EQ(answer_->error().code, Errc::Unavailable);
    char byte = 0;
    EXPECT_EQ(::read(pipe_.get(), &byte, 1), 0);
}

TEST_F(ExportingHosts, AnExportEndsWithItsBackendsSettings) {
    connectWith({});
    exportImage("web:1");
    receive();
    hosts_->configure({});
    EXPECT_THAT(outcome(), HasSubstr("no longer in recapd.toml"));
}

TEST_F(ExportingHosts, WhatIsNoNameAndWhatIsNoBackendIsRefused) {
    connectWith({});
    for (const auto& reference : {std::string(), std::string("a\nb"), std::string(kMaxText + 1, 'x')}) {
        exportImage(reference);
        EXPECT_EQ(answer_->error().code, Errc::InvalidArgument);
    }
    exportImage("web:1", "dokcer");
    EXPECT_THAT(outcome(), HasSubstr("'dokcer'; there are: docker"));
    EXPECT_FALSE(readable(host_.get()));
}

}  // namespace
}  // namespace recap::host
