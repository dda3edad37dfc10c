// SPDX-License-Identifier: Apache-2.0
// RECap from Qt: what recapd knows and does. Every call is asynchronous; what it fails with is in the reply, as recapd's
// own sentence, and errorCode() says which kind it is. Works on one thread's event loop, as all of QtDBus.
#pragma once

#include <QDBusConnection>
#include <QDBusObjectPath>
#include <QDBusPendingReply>
#include <QObject>
#include <QStringList>
#include <memory>

#include "sdk/qt/export.hpp"
#include "sdk/qt/types.hpp"

namespace Recap {

class ManagerPrivate;

class RECAP_QT_EXPORT Manager : public QObject {
    Q_OBJECT

public:
    explicit Manager(QObject* parent = nullptr);  // on the system bus
    explicit Manager(const QDBusConnection& connection, QObject* parent = nullptr);
    ~Manager() override;

    // Whether somebody owns org.recap1 now; asks the bus.
    bool isAvailable() const;
    QDBusConnection connection() const;

    QDBusPendingReply<QDBusObjectPath> run(const QString& capsule, const QString& target, const QStringList& arguments = {},
                                           const QVariantMap& options = {});
    QDBusPendingReply<QVariantMap> plan(const QString& capsule, const QString& target, const QStringList& arguments = {},
                                        const QVariantMap& options = {});
    QDBusPendingReply<Rows> targets(const QVariantMap& filter = {});
    QDBusPendingReply<Rows> capsules();
    QDBusPendingReply<Rows> images();
    QDBusPendingReply<Rows> backends();
    QDBusPendingReply<Rows> policies();
    QDBusPendingReply<Rows> doctor();
    QDBusPendingReply<Rows, QString> runs(const QVariantMap& filter = {}, const QVariantMap& options = {});

    QDBusPendingReply<QDBusObjectPath> installCapsule(const QString& toml, const QVariantMap& options = {});
    QDBusPendingReply<> removeCapsule(const QString& name);
    QDBusPendingReply<> removeImage(const QString& image);
    QDBusPendingReply<> reload();

Q_SIGNALS:
    void runStarted(const QDBusObjectPath& run, const QVariantMap& details);
    void runFinished(const QDBusObjectPath& run, const QString& outcome, int exitCode, const QVariantMap& details);
    void targetAdded(const QString& target, const QVariantMap& details);
    void targetRemoved(const QString& target, const QVariantMap& details);
    void availableChanged(bool available);  // recapd came or went

private:
    std::unique_ptr<ManagerPrivate> d;
};

}  // namespace Recap
