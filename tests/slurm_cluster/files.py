"""The files that a cluster finds when it starts."""

import secrets
from pathlib import Path

from tests.slurm_cluster.configuration import (
    NUM_GPUS_PER_NODE,
    ClusterPaths,
    ClusterSettings,
    gres_conf,
    slurm_conf,
    slurmdbd_conf,
)


def write_cluster_files(paths: ClusterPaths, settings: ClusterSettings) -> None:
    """Write the configuration, munge's key, and what stands in for GPUs."""
    for new_dir in (paths.log_dir, paths.state_dir, paths.spool_dir):
        new_dir.mkdir()
    paths.slurm_conf_path.write_text(slurm_conf(paths, settings))
    paths.gres_conf_path.write_text(gres_conf(paths, settings))
    _write_private_file(paths.slurmdbd_conf_path, slurmdbd_conf(paths, settings).encode())
    _write_private_file(paths.munge_key_path, secrets.token_bytes(1024))
    for node in settings.nodes:
        for gpu_index in range(NUM_GPUS_PER_NODE):
            gpu_path = paths.gpu_path(node, gpu_index)
            gpu_path.parent.mkdir(parents=True, exist_ok=True)
            # A device that every container has.
            gpu_path.symlink_to("/dev/null")


def _write_private_file(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
