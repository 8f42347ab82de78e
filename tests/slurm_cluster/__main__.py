"""Start a cluster by hand: python -m tests.slurm_cluster"""

import argparse
import signal

from tests.slurm_cluster.cluster import SlurmCluster


def main() -> None:
    """Start a cluster, say how to talk to it, and keep it until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m tests.slurm_cluster", description=__doc__)
    parser.add_argument("--num-nodes", type=int, default=2)
    parser.add_argument("--max-array-size", type=int, default=1001)
    parser.add_argument("--enforce-limits", action="store_true")
    arguments = parser.parse_args()
    # A SIGTERM then leaves the `with` block as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with SlurmCluster(
            num_nodes=arguments.num_nodes,
            max_array_size=arguments.max_array_size,
            enforce_limits=arguments.enforce_limits,
        ) as cluster:
            print(f"export SLURM_CONF={cluster.slurm_conf_path}")
            print("# type that line in another terminal, then: sinfo", flush=True)
            print("# Ctrl-C stops the cluster and everything that runs on it", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print("# stopped")


if __name__ == "__main__":
    main()
