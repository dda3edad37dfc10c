// SPDX-License-Identifier: Apache-2.0
#include "daemon/images/image_index.hpp"

#include <gmock/gmock.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/images/answer.hpp"
#include "tests/support/files.hpp"

namespace recap::images {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string digest(char fill, char last) { return std::string(63, fill) + last; }

std::string answerFor(const std::string& hex, const std::string& reference = {}) {
    return R"({"digest":")" + hex + R"(","reference":")" + reference + R"(","architecture":"amd64","layers":[")" + digest('1', '1') +
           R"("],"size":42,"config":{"Entrypoint":[],"Cmd":["tool"],"Env":["A=1"],"WorkingDir":"/","Labels":{"k":"v"}},)" +
           R"("files":[["/bin","l",511,"usr/bin"],["/usr","d",493,""],["/usr/bin","d",493,""],["/usr/bin/tool","f",493,""]]})";
}

ImportedImage imported(const std::string& hex, const std::string& text) {
    UniqueFd fd(::memfd_create("answer", MFD_CLOEXEC));
    EXPECT_EQ(::write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    return {hex, std::move(fd)};
}

class IndexTest : public testing::Test {
protected:
    IndexTest() { reopen(); }
    void reopen() { index_ = std::move(Index::open(folder_.path() / "images").value()); }
    Result<const Image*> record(const std::string& hex, const ImportName& name, const std::string& annotation = {}) {
        return index_->record(imported(hex, answerFor(hex, annotation)), name, "2026-01-02T03:04:05Z");
    }

    test::TempDir folder_;
    std::unique_ptr<Index> index_;
    const std::string one_ = digest('a', '1');
    const std::string two_ = digest('a', '2');
};

TEST_F(IndexTest, FindsByNameTagAndDigest) {
    ASSERT_TRUE(record(one_, {"recap/tool:1", {}}));
    for (const auto& text :
         {std::string("recap/tool:1"), "recap/tool:1@sha256:" + one_, "other@sha256:" + one_, "sha256:" + one_, one_, one_.substr(0, 12)}) {
        const auto found = index_->find(text);
        ASSERT_TRUE(found) << text << ": " << found.error().message;
        EXPECT_EQ((*found)->digest, one_);
    }
    for (const auto* text : {"recap/tool", "recap/tool:2", "sha256:bbbbbbbbbbbb", "bbbbbbbbbbbbbbb"}) {
        const auto found = index_->find(text);
        ASSERT_FALSE(found) << text;
        EXPECT_EQ(found.error().code, Errc::NotFound) << text;
    }
    EXPECT_EQ(index_->find("sha256:aaaa").error().code, Errc::InvalidArgument);
}

// Whoever may give images names in an engine would else choose whose name its archive takes.
TEST_F(IndexTest, AnEnginesArchiveIsCalledAsTheEngineWasAskedOrNotAtAll) {
    ASSERT_TRUE(record(one_, {"recap/toolbox:1", {}}));
    const auto refused = record(two_, {{}, {"shop/web:1", "localhost/shop/web:1"}}, "recap/toolbox:1");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::Denied);
    EXPECT_THAT(refused.error().message, HasSubstr("it calls itself 'recap/toolbox:1', and 'shop/web:1' was asked for"));
    EXPECT_EQ((*index_->find("recap/toolbox:1"))->digest, one_);
    EXPECT_FALSE(index_->find(two_));
    const std::pair<std::vector<std::string>, const char*> alike[] = {
        {{"shop/web:1"}, "shop/web:1"},
        {{"shop/web"}, "shop/web:latest"},
        {{"docker.io/library/web:2"}, "web:2"},
        {{"moby/docker.io/library/web:3", "docker.io/library/web:3"}, "web:3"}};
    for (const auto& [asked, own] : alike) {
        const auto taken = record(two_, {{}, asked}, own);
        EXPECT_TRUE(taken) << own << ": " << taken.error().message;
        EXPECT_TRUE(index_->find(own)) << own;
    }
    for (const auto* asked : {"web:1", "x/shop/web:1", "shop/web", "sha256:abc", "/"})
        EXPECT_FALSE(record(two_, {{}, {asked}}, "shop/web:1")) << asked;
    EXPECT_TRUE(record(two_, {"mine:1", {"other:1"}}, "shop/web:1")) << "what is given is what counts";
    EXPECT_TRUE(record(two_, {{}, {"other:1"}}, "")) << "and an archive may have no name";
}

TEST_F(IndexTest, ADigestThatTwoBeginWithIsAmbiguous) {
    ASSERT_TRUE(record(one_, {}) && record(two_, {}));
    EXPECT_EQ(index_->find(std::string(20, 'a')).error().code, Errc::Ambiguous);
    EXPECT_EQ((*index_->find(two_))->digest, two_);
}

TEST_F(IndexTest, KeepsWhatItKnowsThroughARestart) {
    ASSERT_TRUE(record(one_, {"recap/tool:1", {}}) && record(one_, {"recap/tool", {}}));
    reopen();
    EXPECT_THAT(index_->problems(), IsEmpty());
    const auto found = index_->find("recap/tool:1");
    ASSERT_TRUE(found);
    EXPECT_THAT((*found)->references, ElementsAre("recap/tool:1", "recap/tool:latest"));
    EXPECT_EQ((*found)->imported, "2026-01-02T03:04:05Z");
    EXPECT_EQ((*found)->files.at("/bin").link, "usr/bin");
    EXPECT_EQ((*found)->size, 42u);
    EXPECT_FALSE((*found)->admitted);
}

TEST_F(IndexTest, AReferenceMovesToTheImageImportedLast) {
    ASSERT_TRUE(record(one_, {"recap/tool:1", {}}));
    ASSERT_TRUE(record(two_, {"recap/tool:1", {}}));
    EXPECT_EQ((*index_->find("recap/tool:1"))->digest, two_);
    reopen();
    EXPECT_EQ((*index_->find("recap/tool:1"))->digest, two_);
    EXPECT_THAT((*index_->find(one_))->references, IsEmpty());
}

TEST_F(IndexTest, TakesTheArchivesOwnNameOnlyWhereItHasOne) {
    ASSERT_TRUE(record(one_, {}, "recap/own:3"));
    EXPECT_EQ((*index_->find("recap/own:3"))->digest, one_);
    ASSERT_TRUE(record(two_, {}, "1.2"));
    EXPECT_THAT((*index_->find(two_))->references, IsEmpty());
    ASSERT_TRUE(record(two_, {"recap/given:1", {}}, "recap/own:3"));
    EXPECT_EQ((*index_->find("recap/own:3"))->digest, one_) << "an archive cannot take a name that was not given to it";
}

TEST_F(IndexTest, RefusesReferencesThatAreNoNames) {
    EXPECT_EQ(record(one_, {"Not A Name", {}}).error().code, Errc::InvalidArgument);
    EXPECT_EQ(record(one_, {"a:1@sha256:" + one_, {}}).error().code, Errc::InvalidArgument);
    EXPECT_THAT(index_->list(), IsEmpty());
}

TEST_F(IndexTest, RefusesAnAnswerAboutAnotherImage) {
    const auto recorded = index_->record(imported(one_, answerFor(two_)), {}, "");
    ASSERT_FALSE(recorded);
    EXPECT_THAT(recorded.error().message, HasSubstr(two_));
}

TEST_F(IndexTest, ForgetsWhatIsRemoved) {
    ASSERT_TRUE(record(one_, {"recap/tool:1", {}}));
    ASSERT_TRUE(index_->remove(one_));
    EXPECT_FALSE(index_->find("recap/tool:1"));
    EXPECT_EQ(index_->remove(one_).error().code, Errc::NotFound);
    reopen();
    EXPECT_THAT(index_->list(), IsEmpty());
}

TEST_F(IndexTest, AdmissionIsTheLaunchersWord) {
    ASSERT_TRUE(record(one_, {}) && record(two_, {}));
    EXPECT_THAT(index_->setAdmission({{one_, true}, {two_, false}, {digest('c', 'c'), true}}), ElementsAre(digest('c', 'c')));
    EXPECT_TRUE((*index_->find(one_))->admitted);
    EXPECT_FALSE((*index_->find(two_))->admitted);
    index_->setAdmission({});
    EXPECT_FALSE((*index_->find(one_))->admitted) << "the launcher does not have it";
}

TEST_F(IndexTest, ABadFileIsNamedAndTheOthersAreKept) {
    ASSERT_TRUE(record(one_, {"recap/tool:1", {}}));
    test::writeFile(folder_.path() / "images" / (two_ + ".json"), "{");
    test::writeFile(folder_.path() / "images" / (digest('d', 'd') + ".json"), test::readFile(folder_.path() / "images" / (one_ + ".json")));
    test::writeFile(folder_.path() / "images" / (one_ + ".json.new"), "half");
    reopen();
    EXPECT_EQ(index_->list().size(), 1u);
    EXPECT_EQ(index_->problems().size(), 2u);
}

TEST(ParseAnswer, RefusesWhatAStrangerMightHaveMadeOfIt) {
    const auto good = answerFor(digest('a', '1'));
    ASSERT_TRUE(parseAnswer(good)) << parseAnswer(good).error().message;
    const auto with = [&](const std::string& from, const std::string& to) {
        auto text = good;
        const auto at = text.find(from);
        EXPECT_NE(at, text.npos) << from;
        return text.replace(at, from.size(), to);
    };
    const std::string deep(100'000, '[');
    for (const auto& text :
         {std::string(), std::string("[]"), deep, with("\"digest\":\"a", "\"digest\":\"../"), with("\"amd64\"", "7"),
          with("\"layers\":[\"1", "\"layers\":[\"x"), with("\"size\":42", "\"size\":-1"), with("[\"tool\"]", "\"tool\""),
          with("[\"tool\"]", "[1]"), with("\"WorkingDir\":\"/\"", "\"WorkingDir\":\"here\""), with("{\"k\":\"v\"}", "[]"),
          with("\"/usr/bin/tool\"", "\"usr/bin/tool\""), with("\"/usr/bin/tool\"", "\"/usr/../tool\""),
          with("\"/usr/bin/tool\"", "\"/a\\u0000b\""), with("\"f\",493", "\"x\",493"), with("\"f\",493", "\"f\",-1"),
          with("\"f\",493", "\"f\",999999"), with(",\"\"]]", "]]"), std::string(17u << 20, ' ')}) {
        EXPECT_FALSE(parseAnswer(text)) << text.substr(0, 200);
    }
}

}  // namespace
}  // namespace recap::images
