# SPDX-License-Identifier: Apache-2.0
"""A unit's seccomp settings, compiled and loaded into the calling process as systemd would: one filter that takes away
single uses of calls, then the allow list of SystemCallFilter=."""
import errno
import os

import seccomp

from . import unitfile

NAMESPACE_FLAGS = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
PROT_WRITE, PROT_EXEC, SHM_EXEC = 2, 4, 0o100000
SETID_BITS = (0o4000, 0o2000)


def _existing(calls):
    """Those that this architecture has; a group names calls of all of them."""
    return [c for c in sorted(calls) if seccomp.resolve_syscall(seccomp.Arch(), c) >= 0]


def _namespaces(deny):
    for flag in NAMESPACE_FLAGS:
        for call in ("clone", "unshare"):
            deny.add_rule(seccomp.ERRNO(errno.EPERM), call, seccomp.Arg(0, seccomp.MASKED_EQ, flag, flag))
    deny.add_rule(seccomp.ERRNO(errno.EPERM), "setns")
    deny.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")  # its flags are behind a pointer


def _write_or_execute(deny):
    both = PROT_WRITE | PROT_EXEC
    deny.add_rule(seccomp.ERRNO(errno.EPERM), "mmap", seccomp.Arg(2, seccomp.MASKED_EQ, both, both))
    for call in ("mprotect", "pkey_mprotect"):
        deny.add_rule(seccomp.ERRNO(errno.EPERM), call, seccomp.Arg(2, seccomp.MASKED_EQ, PROT_EXEC, PROT_EXEC))
    deny.add_rule(seccomp.ERRNO(errno.EPERM), "shmat", seccomp.Arg(2, seccomp.MASKED_EQ, SHM_EXEC, SHM_EXEC))


def _setid_files(deny):
    calls = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "mkdir": 1, "mkdirat": 2, "mknod": 1, "mknodat": 2, "creat": 1}
    for bit in SETID_BITS:
        for call, argument in calls.items():
            deny.add_rule(seccomp.ERRNO(errno.EPERM), call, seccomp.Arg(argument, seccomp.MASKED_EQ, bit, bit))
        for call, flags in (("open", 1), ("openat", 2)):
            deny.add_rule(seccomp.ERRNO(errno.EPERM), call, seccomp.Arg(flags, seccomp.MASKED_EQ, os.O_CREAT, os.O_CREAT),
                          seccomp.Arg(flags + 1, seccomp.MASKED_EQ, bit, bit))
    deny.add_rule(seccomp.ERRNO(errno.ENOSYS), "openat2")  # its mode is behind a pointer


def _families(deny, names):
    import socket
    allowed = sorted(getattr(socket, name) for name in names)
    refused = seccomp.ERRNO(errno.EAFNOSUPPORT)
    for number in range(allowed[-1]):
        if number not in allowed:
            deny.add_rule(refused, "socket", seccomp.Arg(0, seccomp.EQ, number))
    deny.add_rule(refused, "socket", seccomp.Arg(0, seccomp.GT, allowed[-1]))


def compile_filters(unit):
    """The unit's filters, in the order of loading; made before the process gives up anything."""
    filters = []
    deny = seccomp.SyscallFilter(defaction=seccomp.ALLOW)
    deny.set_attr(seccomp.Attr.CTL_NNP, 0)
    rules = (("RestrictNamespaces", _namespaces), ("MemoryDenyWriteExecute", _write_or_execute), ("RestrictSUIDSGID", _setid_files))
    some = False
    for key, rule in rules:
        if unit.flag(key):
            rule(deny)
            some = True
    if unit.list("RestrictAddressFamilies"):
        _families(deny, unit.list("RestrictAddressFamilies"))
        some = True
    if some:
        filters.append(deny)
    allowed = unitfile.syscall_filter(unit)
    if allowed is not None:
        error = getattr(errno, unit.text("SystemCallErrorNumber", "EPERM"))
        allow = seccomp.SyscallFilter(defaction=seccomp.ERRNO(error))
        allow.set_attr(seccomp.Attr.CTL_NNP, 0)
        for call in _existing(allowed):
            allow.add_rule(seccomp.ALLOW, call)
        filters.append(allow)
    return filters
