"""Which file system a directory is on, and whether its locks reach other hosts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from hpcexp.launch.doctor.findings import Finding, passed, warn
from hpcexp.launch.doctor.place import Place
from hpcexp.launch.slurm.executor import has_slurm

LOCAL_DISKS = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "vfat"})
FORGETFUL = frozenset({"tmpfs", "ramfs", "overlay"})
# Mount options with which a lock is not seen by other hosts, or not granted at all.
LOCAL_LOCK_OPTIONS = {
    "lustre": frozenset({"localflock", "noflock"}),
    "nfs": frozenset({"nolock", "local_lock=all", "local_lock=flock"}),
    "nfs4": frozenset({"local_lock=all", "local_lock=flock"}),
    "cifs": frozenset({"nobrl"}),
    "ceph": frozenset({"noflock"}),
}
LOCAL_LOCK_TYPES = frozenset({"fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "9p"})
# A fact of a finding: nodes may not see that.
IN_DOUBT = "is_local"
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """A line of /proc/self/mountinfo: where a file system is mounted, from where, and how."""

    mount_point: str
    type: str
    source: str
    options: frozenset[str]

    @property
    def is_local(self) -> bool:
        """Whether other hosts see it only if this one serves it to them."""
        return self.type in LOCAL_DISKS | FORGETFUL

    @property
    def local_lock_options(self) -> tuple[str, ...]:
        """Options with which two hosts may hold the same lock."""
        return tuple(sorted(self.options & LOCAL_LOCK_OPTIONS.get(self.type, frozenset())))


def parse_mounts(text: str) -> list[Mount]:
    """The mounts of a mountinfo file, in its order: a later one hides an earlier one."""
    mounts = []
    for line in text.splitlines():
        before, separator, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if separator and len(fields) >= 6 and len(kind) >= 3:
            options = frozenset({*fields[5].split(","), *kind[2].split(",")})
            mounts.append(Mount(_unescape(fields[4]), kind[0], _unescape(kind[1]), options))
    return mounts


def find_mount(path: Path, mounts: list[Mount]) -> Mount | None:
    """The mount that a resolved path is below."""
    around = {str(path), *map(str, path.parents)}
    found = None
    for mount in mounts:
        if mount.mount_point in around and (
            found is None or len(mount.mount_point) >= len(found.mount_point)
        ):
            found = mount
    return found


def check_file_system(place: Place) -> list[Finding]:
    """What the directory's file system is, and whether its locks reach other hosts."""
    mount = read_mount(place.base_dir)
    if mount is None:
        return [passed("file_system", "not known: there is no /proc/self/mountinfo here")]
    return [judge_file_system(mount, is_login_node=has_slurm()), judge_lock_options(mount)]


def read_mount(path: Path) -> Mount | None:
    """The mount that a path is below, or None where the kernel does not tell."""
    try:
        # A mount point may hold bytes that are no UTF-8.
        text = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    except OSError:
        return None
    return find_mount(path.resolve(), parse_mounts(text))


def judge_file_system(mount: Mount, *, is_login_node: bool) -> Finding:
    """Whether results stay there, and whether compute nodes can be expected to see them."""
    where = f"{mount.type} on {mount.mount_point}"
    if mount.type in FORGETFUL:
        return warn(
            "file_system",
            f"{where}: gone when this machine or container ends",
            todo="keep experiments on a disk: --experiments-dir DIR, or HPCEXP_EXPERIMENTS_DIR=DIR",
        )
    if mount.is_local and is_login_node:
        return warn(
            "file_system",
            f"{where}: a disk of this machine, which compute nodes do not see unless it is "
            "served to them",
            todo="`hpcexp doctor --node` tells whether they do; else set HPCEXP_EXPERIMENTS_DIR to "
            "a directory on the shared file system",
            facts={IN_DOUBT: where},
        )
    source = "" if mount.is_local else f" from {mount.source}"
    return passed("file_system", where + source)


def judge_lock_options(mount: Mount) -> Finding:
    """Whether the mount's options say that a lock is not seen by other hosts."""
    options = mount.local_lock_options
    if options or mount.type in LOCAL_LOCK_TYPES:
        why = f"mounted with {', '.join(options)}" if options else f"is {mount.type}"
        return warn(
            "lock_options",
            f"{mount.mount_point} {why}: two hosts may hold one lock at the same time",
            todo="runs are safe, since taking one does not rely on locks; but type launch, resume "
            "and retry of one experiment on one host only, or ask for a mount with locks that "
            "reach all hosts (Lustre: flock; NFS: no nolock or local_lock)",
        )
    return passed("lock_options", "nothing in the mount's options keeps locks from other hosts")


def _unescape(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
