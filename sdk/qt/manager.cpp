// SPDX-License-Identifier: Apache-2.0
#include "sdk/qt/manager.hpp"

#include <QDBusConnectionInterface>
#include <QDBusServiceWatcher>

#include "manager_interface.h"
#include "sdk/qt/names.hpp"

namespace Recap {

class ManagerPrivate {
public:
    explicit ManagerPrivate(const QDBusConnection& connection)
        : bus(kService, kRoot, connection), watcher(kService, connection, QDBusServiceWatcher::WatchForOwnerChange) {}
    OrgRecap1Manager bus;
    QDBusServiceWatcher watcher;
};

Manager::Manager(QObject* parent) : Manager(QDBusConnection::systemBus(), parent) {}

Manager::Manager(const QDBusConnection& connection, QObject* parent) : QObject(parent) {
    registerTypes();
    d = std::make_unique<ManagerPrivate>(connection);
    connect(&d->bus, &OrgRecap1Manager::RunStarted, this, &Manager::runStarted);
    connect(&d->bus, &OrgRecap1Manager::RunFinished, this, &Manager::runFinished);
    connect(&d->bus, &OrgRecap1Manager::TargetAdded, this, &Manager::targetAdded);
    connect(&d->bus, &OrgRecap1Manager::TargetRemoved, this, &Manager::targetRemoved);
    connect(&d->watcher, &QDBusServiceWatcher::serviceOwnerChanged, this,
            [this](const QString&, const QString&, const QString& owner) { Q_EMIT availableChanged(!owner.isEmpty()); });
}

Manager::~Manager() = default;

bool Manager::isAvailable() const {
    auto* bus = d->bus.connection().interface();
    return bus && bus->isServiceRegistered(kService);
}

QDBusConnection Manager::connection() const { return d->bus.connection(); }

QDBusPendingReply<QDBusObjectPath> Manager::run(const QString& capsule, const QString& target, const QStringList& arguments,
                                                const QVariantMap& options) {
    return d->bus.Run(capsule, target, arguments, options);
}
QDBusPendingReply<QVariantMap> Manager::plan(const QString& capsule, const QString& target, const QStringList& arguments,
                                             const QVariantMap& options) {
    return d->bus.Plan(capsule, target, arguments, options);
}
QDBusPendingReply<Rows> Manager::targets(const QVariantMap& filter) { return d->bus.ListTargets(filter, {}); }
QDBusPendingReply<Rows> Manager::capsules() { return d->bus.ListCapsules({}); }
QDBusPendingReply<Rows> Manager::images() { return d->bus.ListImages({}); }
QDBusPendingReply<Rows> Manager::backends() { return d->bus.ListBackends({}); }
QDBusPendingReply<Rows> Manager::policies() { return d->bus.ListPolicies({}); }
QDBusPendingReply<Rows> Manager::doctor() { return d->bus.Doctor({}); }
QDBusPendingReply<Rows, QString> Manager::runs(const QVariantMap& filter, const QVariantMap& options) {
    return d->bus.ListRuns(filter, options);
}
QDBusPendingReply<QDBusObjectPath> Manager::installCapsule(const QString& toml, const QVariantMap& options) {
    return d->bus.InstallCapsule(toml, options);
}
QDBusPendingReply<> Manager::removeCapsule(const QString& name) { return d->bus.RemoveCapsule(name, {}); }
QDBusPendingReply<> Manager::removeImage(const QString& image) { return d->bus.RemoveImage(image, {}); }
QDBusPendingReply<> Manager::reload() { return d->bus.Reload({}); }

}  // namespace Recap
