"""The text of the configuration files of a test cluster: no effects here."""

from dataclasses import dataclass
from pathlib import Path

CLUSTER_NAME = "hpcexp"
NUM_CPUS_PER_NODE = 2
NUM_GPUS_PER_NODE = 2
# Room for two jobs that import torch.
MEM_MB_PER_NODE = 8000


@dataclass(frozen=True)
class ClusterPaths:
    """Every path of a cluster below its one directory."""

    root_dir: Path

    @property
    def slurm_conf_path(self) -> Path:
        return self.root_dir / "slurm.conf"

    @property
    def slurmdbd_conf_path(self) -> Path:
        # slurmdbd looks beside the file that SLURM_CONF names.
        return self.root_dir / "slurmdbd.conf"

    @property
    def gres_conf_path(self) -> Path:
        return self.root_dir / "gres.conf"

    @property
    def munge_key_path(self) -> Path:
        return self.root_dir / "munge.key"

    @property
    def munge_socket_path(self) -> Path:
        return self.root_dir / "munge.sock"

    @property
    def database_dir(self) -> Path:
        return self.root_dir / "db"

    @property
    def database_socket_path(self) -> Path:
        return self.root_dir / "db.sock"

    @property
    def state_dir(self) -> Path:
        return self.root_dir / "state"

    @property
    def spool_dir(self) -> Path:
        return self.root_dir / "spool"

    @property
    def log_dir(self) -> Path:
        return self.root_dir / "log"

    def log_path(self, daemon: str) -> Path:
        return self.log_dir / f"{daemon}.log"

    def gpu_path(self, node: str, gpu_index: int) -> Path:
        return self.root_dir / "gpu" / node / f"gpu{gpu_index}"


@dataclass(frozen=True)
class ClusterSettings:
    """What differs from cluster to cluster. All ports are TCP ports on 127.0.0.1."""

    slurmctld_port: int
    slurmdbd_port: int
    slurmd_ports: tuple[int, ...]
    max_array_size: int
    enforce_limits: bool
    # Whether this machine's own name stands for 127.0.0.1.
    loopback_only: bool

    @property
    def nodes(self) -> list[str]:
        """n1, n2, ..."""
        return [f"n{number}" for number in range(1, len(self.slurmd_ports) + 1)]


def slurm_conf(paths: ClusterPaths, settings: ClusterSettings) -> str:
    """The text of slurm.conf."""
    node_lines = "\n".join(
        f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port}"
        f" CPUs={NUM_CPUS_PER_NODE} RealMemory={MEM_MB_PER_NODE} Gres=gpu:{NUM_GPUS_PER_NODE}"
        for node, port in zip(settings.nodes, settings.slurmd_ports, strict=True)
    )
    return f"""\
ClusterName={CLUSTER_NAME}
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={settings.slurmctld_port}
SlurmUser=root
SlurmdUser=root
{_listen_line(settings, "NoCtldInAddrAny,NoInAddrAny")}
AuthType=auth/munge
# A requeued job may start again only once its old credential has expired: 2 minutes by default.
AuthInfo=socket={paths.munge_socket_path},cred_expire=5
CredType=cred/munge

StateSaveLocation={paths.state_dir}
SlurmdSpoolDir={paths.spool_dir}/%n
SlurmctldPidFile={paths.root_dir}/slurmctld.pid
SlurmdPidFile={paths.root_dir}/%n.pid
# The daemons' messages come from their standard error; this file adds those of the job steps.
SlurmctldLogFile=/dev/null
SlurmdLogFile={paths.log_dir}/%n-steps.log

ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
MpiDefault=none

AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={settings.slurmdbd_port}
# Without this line the clients ask the machine's own munge, not this cluster's.
AccountingStoragePass={paths.munge_socket_path}
{"AccountingStorageEnforce=limits" if settings.enforce_limits else ""}
AccountingStorageTRES=gres/gpu

SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
# Otherwise a job that asks for no memory gets all of its node's.
DefMemPerCPU=1000
GresTypes=gpu
MaxArraySize={settings.max_array_size}
MaxJobCount=10000
JobRequeue=1
KillWait=5
# How long a command waits for a controller that a test has stopped.
MessageTimeout=10
SlurmdTimeout=30
# A node that a test has marked as down stays down; one that was only silent comes back.
ReturnToService=1
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE

# The nodes are what the tests need, not what this machine has.
SlurmdParameters=config_overrides
{node_lines}
PartitionName=normal Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
# Its jobs requeue those of the partition above.
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


def gres_conf(paths: ClusterPaths, settings: ClusterSettings) -> str:
    """The text of gres.conf: its files stand in for the GPUs' device files.

    They must be devices, or links to one: Slurm sets CUDA_VISIBLE_DEVICES for no other file, and
    takes the number in it from the end of the file's name.
    """
    return "".join(
        f"NodeName={node} Name=gpu File={paths.gpu_path(node, gpu_index)}\n"
        for node in settings.nodes
        for gpu_index in range(NUM_GPUS_PER_NODE)
    )


def slurmdbd_conf(paths: ClusterPaths, settings: ClusterSettings) -> str:
    """The text of slurmdbd.conf, which slurmdbd wants readable by its user only."""
    return f"""\
AuthType=auth/munge
AuthInfo=socket={paths.munge_socket_path}
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={settings.slurmdbd_port}
{_listen_line(settings, "NoInAddrAny")}
SlurmUser=root
PidFile={paths.root_dir}/slurmdbd.pid
LogFile=/dev/null
StorageType=accounting_storage/mysql
StorageUser=root
"""


def _listen_line(settings: ClusterSettings, parameters: str) -> str:
    # With these parameters a daemon listens on the address of this machine's own name only.
    # Where that is not 127.0.0.1 (often in Docker) it must listen on all of them,
    # and munge's key, which nobody else can read, is what protects it.
    return f"CommunicationParameters={parameters}" if settings.loopback_only else ""
