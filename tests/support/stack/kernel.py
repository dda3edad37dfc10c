# SPDX-License-Identifier: Apache-2.0
"""The system calls that Python 3.11 has no name for. Each raises OSError on failure."""
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWNET = 0x00020000, 0x04000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE, MS_SLAVE = 1, 2, 4, 8, 4096, 16384, 1 << 18, 1 << 19
MOUNT_ATTR_RDONLY = 1
AT_FDCWD, AT_RECURSIVE, AT_EMPTY_PATH = -100, 0x8000, 0x1000
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC, MOVE_MOUNT_F_EMPTY_PATH = 1, os.O_CLOEXEC, 4
PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_CHILD_SUBREAPER, PR_CAP_AMBIENT = 8, 24, 38, 36, 47
PR_CAP_AMBIENT_RAISE, PR_CAP_AMBIENT_CLEAR_ALL, PR_SET_PDEATHSIG = 2, 4, 1
SYS_CAPSET, SYS_OPEN_TREE, SYS_MOVE_MOUNT, SYS_MOUNT_SETATTR = 126, 428, 429, 442  # x86-64 for the first

CAPABILITIES = """CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE
SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM
BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE""".split()


def _check(result, what):
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result


def prctl(option, a=0, b=0, c=0, d=0):
    longs = [ctypes.c_ulong(x) for x in (a, b, c, d)]
    return _check(libc.prctl(option, *longs), f"prctl({option})")


def unshare(flags):
    _check(libc.unshare(flags), "unshare")


def mount(source, target, kind=None, flags=0, data=None):
    args = [None if x is None else os.fsencode(x) for x in (source, target, kind)]
    _check(libc.mount(*args, ctypes.c_ulong(flags), None if data is None else data.encode()), f"mount on {target}")


def umount(target):
    _check(libc.umount2(os.fsencode(target), 2), f"unmount {target}")


def open_tree(path):
    """A detached copy of the mounts at `path`, to be attached by move_mount()."""
    return _check(libc.syscall(SYS_OPEN_TREE, AT_FDCWD, os.fsencode(path), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE), f"open_tree {path}")


def move_mount(fd, path):
    _check(libc.syscall(SYS_MOVE_MOUNT, fd, b"", AT_FDCWD, os.fsencode(path), MOVE_MOUNT_F_EMPTY_PATH), f"move_mount to {path}")


class MountAttr(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


def mount_setattr(path, attr_set=0, attr_clr=0, recursive=True):
    attr = MountAttr(attr_set, attr_clr, 0, 0)
    flags = AT_RECURSIVE if recursive else 0
    _check(libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, os.fsencode(path), flags, ctypes.byref(attr), ctypes.sizeof(attr)), f"mount_setattr {path}")


def capability_number(name):
    return CAPABILITIES.index(name.removeprefix("CAP_"))


def last_capability():
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as stream:
        return int(stream.read())


def capset(numbers):
    """Makes effective, permitted and inheritable exactly these."""
    mask = sum(1 << n for n in numbers)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    data = (ctypes.c_uint32 * 6)(low, low, low, high, high, high)
    _check(libc.syscall(SYS_CAPSET, ctypes.byref(header), ctypes.byref(data)), "capset")
