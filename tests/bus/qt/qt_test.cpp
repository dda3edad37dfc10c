// SPDX-License-Identifier: Apache-2.0
// librecap-qt against the contract: glue from the same XML on both ends of a private bus.
#include <gtest/gtest.h>

#include <QCoreApplication>
#include <QDBusConnection>
#include <QEventLoop>
#include <QTimer>
#include <csignal>

#include "sdk/qt/error.hpp"
#include "sdk/qt/manager.hpp"
#include "sdk/qt/run.hpp"
#include "tests/bus/client/recapd.hpp"
#include "tests/support/environment.hpp"
#include "tests/support/private_bus.hpp"

namespace recap::test {
namespace {

struct Qt : testing::Test {
    int argc = 1;
    char name[5] = "test";
    char* argv[2] = {name, nullptr};
    QCoreApplication application{argc, argv};
    PrivateBus bus;
    Child peer{Command{.argv = {(binDir().parent_path() / "tests" / "bus_peer").string()}, .env = bus.environment()}};
    QString connectionName = QStringLiteral("recap-test");

    void SetUp() override { ASSERT_TRUE(peer.waitForOutput("ready\n", Deadline(kPatience))); }
    void TearDown() override { QDBusConnection::disconnectFromBus(connectionName); }

    QDBusConnection connection() { return QDBusConnection::connectToBus(QString::fromStdString(bus.address()), connectionName); }

    // Runs the loop until `done` is true, or for as long as patience lasts.
    static bool until(const std::function<bool()>& done) {
        QEventLoop loop;
        QTimer late;
        late.setSingleShot(true);
        late.start(std::chrono::milliseconds(kPatience));
        while (!done() && late.isActive()) loop.processEvents(QEventLoop::WaitForMoreEvents);
        return done();
    }
};

TEST_F(Qt, EveryListIsRowsWithTheirKeys) {
    Recap::Manager manager(connection());
    EXPECT_TRUE(manager.isAvailable());
    auto targets = manager.targets();
    targets.waitForFinished();
    ASSERT_TRUE(targets.isValid()) << targets.error().message().toStdString();
    ASSERT_EQ(targets.value().size(), 1);
    EXPECT_EQ(targets.value().first().value(QStringLiteral("target")).toString(), QStringLiteral("process:42"));
    auto filtered = manager.targets({{QStringLiteral("backend"), QStringLiteral("docker")}});
    filtered.waitForFinished();
    EXPECT_TRUE(filtered.isValid() && filtered.value().isEmpty());
    for (auto reply : {manager.capsules(), manager.images(), manager.backends(), manager.policies(), manager.doctor()}) {
        reply.waitForFinished();
        ASSERT_TRUE(reply.isValid()) << reply.error().message().toStdString();
        EXPECT_FALSE(reply.value().isEmpty());
    }
    auto runs = manager.runs();
    runs.waitForFinished();
    EXPECT_TRUE(runs.isValid()) << runs.error().message().toStdString();
}

TEST_F(Qt, ErrorsHaveAKindAndASentence) {
    Recap::Manager manager(connection());
    auto removed = manager.removeCapsule(QStringLiteral("nothing"));
    removed.waitForFinished();
    ASSERT_TRUE(removed.isError());
    EXPECT_EQ(Recap::errorCode(removed.error()), QStringLiteral("NotFound"));
    EXPECT_EQ(removed.error().message(), QStringLiteral("no capsule 'nothing'"));
    EXPECT_EQ(Recap::errorCode(QDBusError(QDBusError::NoReply, QStringLiteral("late"))), QString());
}

TEST_F(Qt, FollowsARunToItsEnd) {
    Recap::Manager manager(connection());
    auto started = manager.run(QStringLiteral("sh"), QStringLiteral("web"), {QStringLiteral("echo from Qt; exec sleep 60")});
    started.waitForFinished();
    ASSERT_TRUE(started.isValid()) << started.error().message().toStdString();
    Recap::Run run(manager.connection(), started.value());
    EXPECT_EQ(run.id().size(), 26);
    QString outcome;
    QObject::connect(&run, &Recap::Run::finished, [&](const QString& how, int, const QVariantMap&) { outcome = how; });
    QByteArray written;
    ASSERT_TRUE(until([&] {
        auto output = run.output(QStringLiteral("stdout"), 0, 4096);
        output.waitForFinished();
        written = output.argumentAt<0>();
        return !written.isEmpty();
    }));
    EXPECT_EQ(written, QByteArray("from Qt\n"));
    run.kill().waitForFinished();
    ASSERT_TRUE(until([&] { return !outcome.isEmpty(); }));
    EXPECT_EQ(outcome, QStringLiteral("killed"));
    auto details = run.details();
    details.waitForFinished();
    ASSERT_TRUE(details.isValid());
    EXPECT_EQ(details.value().value(QStringLiteral("exit-code")).toInt(), 137);
}

TEST_F(Qt, NoticesThatRecapdGoes) {
    Recap::Manager manager(connection());
    bool gone = false;
    QObject::connect(&manager, &Recap::Manager::availableChanged, [&](bool available) { gone = !available; });
    auto backends = manager.backends();
    backends.waitForFinished();
    peer.signal(SIGKILL);
    ASSERT_TRUE(until([&] { return gone; }));
    EXPECT_FALSE(manager.isAvailable());
}

TEST(QtWithRecapd, ListsAndErrors) {
    int argc = 1;
    char name[] = "test";
    char* argv[] = {name, nullptr};
    const QCoreApplication application(argc, argv);
    const Recapd recapd;
    ASSERT_TRUE(recapd.ready());
    {
        Recap::Manager manager(
            QDBusConnection::connectToBus(QString::fromStdString(recapd.bus().address()), QStringLiteral("recap-test-recapd")));
        for (auto reply :
             {manager.targets(), manager.capsules(), manager.images(), manager.backends(), manager.policies(), manager.doctor()}) {
            reply.waitForFinished();
            EXPECT_TRUE(reply.isValid()) << reply.error().message().toStdString();
        }
        auto removed = manager.removeCapsule(QStringLiteral("nope"));
        removed.waitForFinished();
        EXPECT_EQ(Recap::errorCode(removed.error()), QStringLiteral("NotFound"));
    }
    QDBusConnection::disconnectFromBus(QStringLiteral("recap-test-recapd"));
}

}  // namespace
}  // namespace recap::test
