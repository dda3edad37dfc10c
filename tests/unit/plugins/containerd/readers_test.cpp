// SPDX-License-Identifier: Apache-2.0
#include "plugins/containerd/readers.hpp"

#include <gtest/gtest.h>

#include <containerd_api/event.pb.h>
#include <containerd_api/runc_options.pb.h>

namespace recap::containerd {
namespace {

namespace events = ::containerd::events;

template <class Message>
std::string taskOf(const std::string& container) {
    Message message;
    message.set_container_id(container);
    return message.SerializeAsString();
}

std::string exitOf(const std::string& container, const std::string& id, std::uint32_t pid) {
    events::TaskExit exit;
    exit.set_container_id(container);
    exit.set_id(id);
    exit.set_pid(pid);
    return exit.SerializeAsString();
}

std::string optionsWith(const std::string& binary) {
    ::containerd::runc::v1::Options options;
    options.set_binary_name(binary);
    return options.SerializeAsString();
}

TEST(ContainerdReaders, AnEventIsAboutOneContainer) {
    EXPECT_EQ(eventOf("recap", "containerd.events.TaskStart", taskOf<events::TaskStart>("app1")),
              (Event{Event::Kind::Started, "recap", "app1", 0}));
    EXPECT_EQ(eventOf("recap", "types.containerd.io/containerd.events.TaskPaused", taskOf<events::TaskPaused>("app1")),
              (Event{Event::Kind::Changed, "recap", "app1", 0}));
    EXPECT_EQ(eventOf("recap", "containerd.events.TaskDelete", taskOf<events::TaskDelete>("app1")),
              (Event{Event::Kind::Ended, "recap", "app1", 0}));
    EXPECT_EQ(eventOf("recap", "containerd.events.TaskExit", exitOf("app1", "app1", 42)), (Event{Event::Kind::Ended, "recap", "app1", 42}));
}

TEST(ContainerdReaders, TheEndOfAnExecIsNotTheContainers) {
    EXPECT_EQ(eventOf("recap", "containerd.events.TaskExit", exitOf("app1", "exec1", 42)), std::nullopt);
}

TEST(ContainerdReaders, WhatMakesNoSenseIsNoEvent) {
    const std::string start = taskOf<events::TaskStart>("app1");
    EXPECT_EQ(eventOf("recap", "containerd.events.TaskOOM", start), std::nullopt);
    EXPECT_EQ(eventOf("recap", "", start), std::nullopt);
    EXPECT_EQ(eventOf("recap", "containerd.events.TaskStart", "\xff\xff\xff\xff garbage"), std::nullopt);
    EXPECT_EQ(eventOf("recap", "containerd.events.TaskStart", ""), std::nullopt) << "no container";
    EXPECT_EQ(eventOf("../recap", "containerd.events.TaskStart", start), std::nullopt);
    EXPECT_EQ(eventOf("recap", "containerd.events.TaskStart", taskOf<events::TaskStart>("a/b")), std::nullopt);
    EXPECT_EQ(eventOf("recap", "containerd.events.TaskStart", taskOf<events::TaskStart>(std::string(300, 'a'))), std::nullopt);
}

TEST(ContainerdReaders, ASpecTellsOfCgroupAndUserNamespace) {
    EXPECT_EQ(specOf(R"({"linux":{"cgroupsPath":"/recap/app1","namespaces":[{"type":"pid"},{"type":"user"}]}})"),
              (SpecFacts{"/recap/app1", true}));
    EXPECT_EQ(specOf(R"({"linux":{"namespaces":[{"type":"pid"}]}})"), SpecFacts());
}

TEST(ContainerdReaders, ABrokenSpecTellsNothing) {
    for (const auto& text : {std::string(), std::string("{"), std::string("[1]"), std::string(R"({"linux":7})"),
                             std::string(R"({"linux":{"cgroupsPath":7,"namespaces":{"type":"user"}}})"), std::string(500'000, '['),
                             std::string(2'000'000, ' ')})
        EXPECT_EQ(specOf(text), SpecFacts());
}

TEST(ContainerdReaders, ARuntimeIsCalledWhatItIs) {
    const std::string type = "containerd.runc.v1.Options";
    EXPECT_EQ(runtimeOf("io.containerd.runc.v2", "", ""), "runc");
    EXPECT_EQ(runtimeOf("io.containerd.runc.v2", type, optionsWith("")), "runc");
    EXPECT_EQ(runtimeOf("io.containerd.runc.v2", type, optionsWith("/usr/local/bin/crun")), "crun");
    EXPECT_EQ(runtimeOf("io.containerd.runc.v2", type, "\xff garbage"), "runc");
    EXPECT_EQ(runtimeOf("io.containerd.kata.v2", type, optionsWith("runc")), "io.containerd.kata.v2");
    EXPECT_EQ(runtimeOf("io.containerd.runsc.v1", "", ""), "io.containerd.runsc.v1");
}

TEST(ContainerdReaders, ACgroupIsAContainersByItsId) {
    EXPECT_TRUE(isCgroupOf("/recap/app1", "app1", ""));
    EXPECT_TRUE(isCgroupOf("/recap/app1/init.scope", "app1", ""));
    EXPECT_TRUE(isCgroupOf("/kubepods.slice/cri-containerd-3f2.scope", "3f2", ""));
    EXPECT_TRUE(isCgroupOf("/system.slice/x.service/kubepods-pod1.slice:cri-containerd:3f2", "3f2", ""));
    EXPECT_FALSE(isCgroupOf("/recap/app10", "app1", ""));
    EXPECT_FALSE(isCgroupOf("/recap/my-app1", "app1", ""));
    EXPECT_FALSE(isCgroupOf("/", "app1", ""));
    EXPECT_FALSE(isCgroupOf("", "", ""));
}

TEST(ContainerdReaders, ACgroupIsAContainersByItsSpec) {
    EXPECT_TRUE(isCgroupOf("/shop/front", "app1", "/shop/front"));
    EXPECT_TRUE(isCgroupOf("/outer/shop/front/below", "app1", "/shop/front"));
    EXPECT_TRUE(isCgroupOf("/system.slice/shop-front.scope", "app1", "system.slice:shop:front"));
    EXPECT_TRUE(isCgroupOf("/", "app1", "/"));
    EXPECT_FALSE(isCgroupOf("/user.slice", "app1", "/"));
    EXPECT_FALSE(isCgroupOf("/shop/frontier", "app1", "/shop/front"));
    EXPECT_FALSE(isCgroupOf("/shop", "app1", "/shop/front"));
}

}  // namespace
}  // namespace recap::containerd
