"""Sending experiments to another machine, and back to where a copy comes from."""

from __future__ import annotations

import json
import shlex
import socket
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hpcexp.errors import UsageError
from hpcexp.launch.transfer.remote import Remote, find_remote, quote_path, split_place
from hpcexp.launch.transfer.rsync import copy_tree, list_additions
from hpcexp.site import Site
from hpcexp.store.copies import CopyRecord, read_copy_record, write_copy_record
from hpcexp.store.layout import PUSHING_NAME, ExperimentDir

# Prints the directory's whole path, then the record of a copy, or `own` for another experiment.
PREPARE_SCRIPT = """
mkdir -p -- {directory} && cd -- {directory} || exit 2
mkdir -p {pushing}/{name} || exit 2
pwd -P
if [ -f {name}/copied_from.json ]; then cat {name}/copied_from.json
elif [ -e {name} ]; then echo own
fi
"""
FINISH_SCRIPT = """
cd -- {directory} || exit 2
[ -f {pushing}/{name}/experiment.json ] || exit 2
rm -rf {pushing}/{name}.old
if [ -e {name} ]; then mv {name} {pushing}/{name}.old || exit 2; fi
mv {pushing}/{name} {name} || exit 2
rm -rf {pushing}/{name}.old
rmdir {pushing} 2>/dev/null || true
"""


@dataclass(frozen=True)
class Pushed:
    """Where it lies now; `additions` are the directories that went back to a copy's origin."""

    place: str
    additions: tuple[str, ...] = ()


def push(
    experiment: ExperimentDir, target: str, site: Site, *, with_checkpoints: bool = False
) -> Pushed:
    """Copy an experiment to `HOST` or `HOST:DIRECTORY`, or bring its copy there up to date.

    Raises UsageError where something else has its name there, HpcexpError where copying fails: then
    nothing is changed there, and the next call goes on.
    """
    host, directory = split_place(target)
    remote = find_remote(host or target, site, directory=directory if host else None)
    name = shlex.quote(experiment.name)
    spelled = {"directory": quote_path(remote.directory), "name": name, "pushing": PUSHING_NAME}
    top, *there = remote.run(PREPARE_SCRIPT.format(**spelled)).splitlines()
    record = CopyRecord(
        host=socket.gethostname(),
        path=str(experiment.path.resolve()),
        copied=datetime.now().astimezone().isoformat(timespec="seconds"),
        site=site.name,
        has_checkpoints=with_checkpoints,
    )
    _check_there("\n".join(there), record, remote, f"{top}/{experiment.name}")
    aside = f"{top}/{PUSHING_NAME}/{experiment.name}"
    copy_tree(
        f"{experiment.path}/",
        f"{remote.spell(aside)}/",
        ssh=remote.ssh,
        with_checkpoints=with_checkpoints,
        link_to=f"{top}/{experiment.name}" if there else "",
    )
    with tempfile.TemporaryDirectory() as temporary:
        note = ExperimentDir(Path(temporary) / experiment.name)
        note.path.mkdir()
        write_copy_record(note, record)
        _send_record(note, remote, aside)
    remote.run(FINISH_SCRIPT.format(**{**spelled, "directory": shlex.quote(top)}))
    return Pushed(remote.spell(f"{top}/{experiment.name}"))


def _send_record(note: ExperimentDir, remote: Remote, aside: str) -> None:
    text = note.copy_record_path.read_text()
    path = shlex.quote(f"{aside}/{note.copy_record_path.name}")
    remote.run(f"printf %s {shlex.quote(text)} > {path}")


def push_back(experiment: ExperimentDir, site: Site) -> Pushed:
    """Send what was added to a copy (notes, figures, what eval found) to where it comes from.

    Nothing is deleted or replaced by something older there, and runs are left alone.
    Raises UsageError for what is no copy.
    """
    record = read_copy_record(experiment)
    if record is None:
        raise UsageError(
            f"{experiment.name}: is no copy that could go back; say where to: hpcexp push "
            f"{experiment.name} HOST"
        )
    remote = find_remote(record.site or record.host, site)
    remote.run(f"[ -f {shlex.quote(record.path)}/experiment.json ]")
    additions = list_additions(experiment)
    for folder in additions:
        copy_tree(
            f"{experiment.path / folder}/",
            f"{remote.spell(record.path)}/{folder}/",
            ssh=remote.ssh,
            adds=True,
        )
    return Pushed(record.place, tuple(additions))


def _check_there(found: str, record: CopyRecord, remote: Remote, path: str) -> None:
    if not found:
        return
    try:
        values = json.loads(found)
        origin = (str(values["host"]), str(values["path"]))
    except (ValueError, KeyError, TypeError):
        raise UsageError(
            f"{remote.spell(path)}: is an experiment of its own, not a copy of this one; choose "
            f"another directory: {remote.host}:/path/to/copies"
        ) from None
    if origin != (record.host, record.path):
        raise UsageError(
            f"{remote.spell(path)}: is a copy of {':'.join(origin)}, not of this one; choose "
            f"another directory: {remote.host}:/path/to/copies"
        )
