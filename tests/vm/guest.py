# SPDX-License-Identifier: Apache-2.0
"""Makes the guest: Debian 12 with its own kernel and systemd, as a disk image, a kernel and a small initial file system. It is kept
in a folder named after everything that it is made from, this file included, so that a changed recipe makes a new one."""
import hashlib
import os
import re
import shutil
import subprocess
import tempfile

RELEASE = "bookworm"
KERNEL = "linux-image-cloud-amd64"  # the release's own kernel without drivers for real hardware
PACKAGES = ["systemd", "systemd-sysv", "kmod", "runc", "crun", "busybox-static", "nginx-light", "iproute2", "procps", "libstdc++6",
            "python3-minimal"]
# What the initial file system loads to see its disks, in this order.
DISK_MODULES = ["virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_blk"]
DISK_SIZE = "1536M"

# Nothing of these is tested here, and each costs an emulated machine seconds.
MASKED = [f"systemd-{name}.service" for name in """networkd network-generator binfmt firstboot hwdb-update udev-trigger udev-settle udevd
    update-utmp update-utmp-runlevel pstore random-seed modules-load logind timesyncd""".split()] + """systemd-networkd.socket
    systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-ask-password-console.path systemd-ask-password-wall.path
    kmod-static-nodes.service modprobe@.service getty@.service serial-getty@.service console-getty.service e2scrub_reap.service nginx.service
    proc-sys-fs-binfmt_misc.automount dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount remote-fs.target
    remote-cryptsetup.target apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer dpkg-db-backup.timer fstrim.timer
    systemd-tmpfiles-clean.timer""".split()

INIT = f"""#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t devtmpfs dev /dev
for m in {" ".join(DISK_MODULES)}; do [ ! -e /modules/$m.ko ] || $B insmod /modules/$m.ko; done
i=0
while [ ! -b /dev/vda ] && [ $i -lt 200 ]; do $B sleep 0.05; i=$((i+1)); done
$B mount -t ext4 -o noatime /dev/vda /newroot
$B umount /proc
exec $B switch_root /newroot /lib/systemd/systemd
"""

# The disk with the programs brings what to run. Delegate= is as in recap-launcher.service: the controllers are this unit's to
# hand on.
UNIT = """[Unit]
Description=What this machine was started for
After=basic.target
[Service]
Type=oneshot
Delegate=cpu memory pids
TimeoutStartSec=infinity
StandardOutput=journal+console
StandardError=journal+console
ExecStart=/bin/sh -c 'mount -o ro /dev/vdb /recap && exec /recap/run'
ExecStopPost=/bin/systemctl --no-block --force poweroff
"""


def _run(*argv, **options):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


def debian_sources():
    """Where this machine has Debian from, and nothing else that it may have packages from."""
    wanted = "deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
    found = _run("apt-get", "indextargets", "--format", wanted, "Created-By: Packages", "Origin: Debian")
    lines = [line for line in found.splitlines() if RELEASE in line]
    if not lines:
        raise RuntimeError(f"apt knows no packages of Debian's {RELEASE}")
    return "\n".join(dict.fromkeys(lines)) + "\n"


def _apt_options():
    """How this machine reaches them, where that is set."""
    known = ("Acquire::Check-Valid-Until ", "Acquire::http::Proxy ", "Acquire::https::Proxy ")
    return [f"--aptopt={line}" for line in _run("apt-config", "dump").splitlines() if line.startswith(known)]


def _kernel_package():
    """The package that KERNEL stands for today, and its version: a security update makes a new guest."""
    depends = re.search(r"^Depends: (linux-image-\S+)", _run("apt-cache", "show", "--no-all-versions", KERNEL), re.MULTILINE).group(1)
    version = re.search(r"^Version: (\S+)", _run("apt-cache", "show", "--no-all-versions", depends), re.MULTILINE).group(1)
    return depends, version


def _unpack_kernel(package, root, work):
    _run("apt-get", "download", "-qq", package, cwd=work)
    archive = next(name for name in os.listdir(work) if name.endswith(".deb"))
    _run("dpkg-deb", "-x", os.path.join(work, archive), os.path.join(work, "kernel"))
    shutil.copytree(os.path.join(work, "kernel/lib/modules"), os.path.join(root, "usr/lib/modules"), symlinks=True, dirs_exist_ok=True)
    release = os.listdir(os.path.join(work, "kernel/lib/modules"))[0]
    _run("chroot", root, "depmod", release)
    return os.path.join(work, "kernel/boot", f"vmlinuz-{release}"), os.path.join(work, "kernel/lib/modules", release)


def _make_initrd(root, modules, work, initrd):
    top = os.path.join(work, "initrd")
    for folder in ("bin", "proc", "dev", "newroot", "modules"):
        os.makedirs(os.path.join(top, folder))
    shutil.copy(os.path.join(root, "usr/bin/busybox"), os.path.join(top, "bin/busybox"))
    for folder, _, names in os.walk(modules):
        for name in names:
            if name.removesuffix(".ko") in DISK_MODULES:
                shutil.copy(os.path.join(folder, name), os.path.join(top, "modules", name))
    _write(os.path.join(top, "init"), INIT, 0o755)
    _run("sh", "-c", f"find . | cpio --quiet -o -H newc >'{initrd}'", cwd=top)


def _write(path, text, mode=0o644):
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.chmod(path, mode)


def bootstrap(packages, root, sources, work):
    """A file system of these packages and what they need. What is mounted in it meanwhile is for nobody else to see."""
    _write(os.path.join(work, "sources.list"), sources)
    _run("unshare", "--mount", "--propagation", "private", "mmdebstrap", "--quiet", "--variant=minbase", "--format=directory", f"--include={','.join(packages)}",
         "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
         *_apt_options(), RELEASE, root, os.path.join(work, "sources.list"), env={**os.environ, "TMPDIR": work})


def _configure(root):
    units = os.path.join(root, "etc/systemd/system")
    for name in MASKED:
        path = os.path.join(units, name)
        if os.path.lexists(path):
            os.unlink(path)
        os.symlink("/dev/null", path)
    _write(os.path.join(units, "recap-vm.service"), UNIT)
    _write(os.path.join(units, "recap-vm.target"), "[Unit]\nRequires=basic.target\nWants=recap-vm.service\nAfter=basic.target\nAllowIsolate=yes\n")
    _write(os.path.join(root, "etc/machine-id"), "0123456789abcdef0123456789abcdef\n")
    _write(os.path.join(root, "etc/hostname"), "recap-vm\n")
    _write(os.path.join(root, "etc/fstab"), "")
    os.mkdir(os.path.join(root, "recap"))


def _make(folder, package, sources):
    work = tempfile.mkdtemp(prefix="recap-vm-")
    try:
        root = os.path.join(work, "root")
        bootstrap(PACKAGES, root, sources, work)
        vmlinuz, modules = _unpack_kernel(package, root, work)
        _configure(root)
        shutil.copy(vmlinuz, os.path.join(folder, "vmlinuz"))
        _make_initrd(root, modules, work, os.path.join(folder, "initrd"))
        _run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", root, os.path.join(folder, "root.ext4"), DISK_SIZE)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def make(cache, say):
    """The folder with vmlinuz, initrd and root.ext4, made now if it is not there; older guests go."""
    package, version = _kernel_package()
    sources = debian_sources()
    with open(__file__, "rb") as recipe:
        made_from = recipe.read() + "\n".join([package, version]).encode()
    name = "guest-" + hashlib.sha256(made_from).hexdigest()[:16]
    folder = os.path.join(cache, name)
    if not os.path.isdir(folder):
        say(f"making a guest of Debian {RELEASE} with {package} {version}")
        os.makedirs(cache, exist_ok=True)
        for other in os.listdir(cache):
            shutil.rmtree(os.path.join(cache, other))
        half = folder + ".new"
        os.makedirs(half)
        _make(half, package, sources)
        os.rename(half, folder)
    return folder
