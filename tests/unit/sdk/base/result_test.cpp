// SPDX-License-Identifier: Apache-2.0
#include "sdk/base/result.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "sdk/base/unique_fd.hpp"

namespace recap {
namespace {

TEST(Result, AnErrorReadsAsAPathFromTheOutsideIn) {
    Error error{Errc::NotFound, "no key 'name'"};
    EXPECT_EQ(std::move(error).in("capsule.toml").message, "capsule.toml: no key 'name'");
}

TEST(Result, EveryCodeHasItsOwnName) {
    for (std::uint32_t code = 0; code < static_cast<std::uint32_t>(Errc::Internal); ++code)
        EXPECT_NE(name(static_cast<Errc>(code)), "Internal") << code;
    EXPECT_EQ(name(Errc::NotSupported), "NotSupported");
    EXPECT_EQ(name(static_cast<Errc>(4711)), "Internal");
}

TEST(Result, ForwardKeepsTheCodeAndSaysWhere) {
    Result<int> inner = failErrno("open /nowhere", ENOENT);
    Result<std::string> outer = forward(std::move(inner), "while reading");
    ASSERT_FALSE(outer);
    EXPECT_EQ(outer.error().code, Errc::NotFound);
    EXPECT_EQ(outer.error().message, "while reading: open /nowhere: No such file or directory");
}

TEST(UniqueFd, ClosesOnceAndMovesOwnership) {
    int raw = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ASSERT_GE(raw, 0);
    {
        UniqueFd first(raw);
        UniqueFd second(std::move(first));
        EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): the state after a move is what is tested
        EXPECT_EQ(second.get(), raw);
    }
    EXPECT_EQ(::fcntl(raw, F_GETFD), -1);
}

}  // namespace
}  // namespace recap
