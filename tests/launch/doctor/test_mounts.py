"""Which file system a path is on, and what its mount options say about locks."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcexp.launch.doctor.findings import Level
from hpcexp.launch.doctor.mounts import (
    Mount,
    find_mount,
    judge_file_system,
    judge_lock_options,
    parse_mounts,
    read_mount,
)

MOUNTINFO = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/sda1 rw,errors=remount-ro
40 27 0:40 / /home rw,relatime shared:20 - nfs4 server:/home rw,vers=4.2,local_lock=none
41 27 0:41 / /scratch rw shared:21 master:3 - lustre 10.0.0.1@o2ib:/scratch rw,localflock,lazystatfs
42 40 0:42 / /home/with\\040space rw - nfs server:/old rw,vers=3,nolock,local_lock=all
43 27 0:43 / /over rw - ext4 /dev/sdb1 rw
44 27 0:44 / /over rw - xfs /dev/sdc1 rw
damaged line
"""


@pytest.fixture
def mounts() -> list[Mount]:
    return parse_mounts(MOUNTINFO)


@pytest.mark.parametrize(
    ("path", "type_", "source"),
    [
        ("/home/a/experiments", "nfs4", "server:/home"),
        ("/homeless", "ext4", "/dev/sda1"),
        ("/scratch", "lustre", "10.0.0.1@o2ib:/scratch"),
        ("/home/with space/x", "nfs", "server:/old"),
        ("/over/x", "xfs", "/dev/sdc1"),
    ],
)
def test_a_path_is_on_the_mount_nearest_to_it_and_newest(
    mounts: list[Mount], path: str, type_: str, source: str
) -> None:
    mount = find_mount(Path(path), mounts)
    assert mount is not None
    assert (mount.type, mount.source) == (type_, source)


@pytest.mark.parametrize(
    ("path", "words"),
    [("/scratch/a", "localflock"), ("/home/with space/a", "local_lock=all, nolock")],
)
def test_options_that_keep_locks_on_one_host_are_named(
    mounts: list[Mount], path: str, words: str
) -> None:
    mount = find_mount(Path(path), mounts)
    assert mount is not None
    finding = judge_lock_options(mount)
    assert finding.level == Level.WARN
    assert words in finding.found
    assert "Lustre: flock" in finding.todo


def test_locks_of_nfs_4_that_go_to_the_server_pass(mounts: list[Mount]) -> None:
    mount = find_mount(Path("/home/a"), mounts)
    assert mount is not None
    assert judge_lock_options(mount).level == Level.PASSED


def test_a_file_system_whose_locks_never_leave_the_host_is_told() -> None:
    mount = Mount("/mnt", "fuse.sshfs", "host:/", frozenset({"rw"}))
    assert judge_lock_options(mount).level == Level.WARN


@pytest.mark.parametrize(
    ("path", "is_login_node", "level"),
    [
        ("/over", True, Level.WARN),
        ("/over", False, Level.PASSED),
        ("/home/a", True, Level.PASSED),
    ],
)
def test_a_local_disk_is_doubted_on_a_login_node_only(
    mounts: list[Mount], path: str, is_login_node: bool, level: Level
) -> None:
    mount = find_mount(Path(path), mounts)
    assert mount is not None
    assert judge_file_system(mount, is_login_node=is_login_node).level == level


def test_the_mount_of_a_real_path_is_found() -> None:
    mount = read_mount(Path("/proc/self"))
    assert mount is not None
    assert mount.type == "proc"
