"""`python -m hpcexp.launch.doctor.lock_holder PATH`: hold a lock, say so, wait to be ended."""

from __future__ import annotations

import sys

from hpcexp.launch.doctor.locking import take_lock


def main() -> None:
    """Print what taking the lock gave, and keep it until standard input ends."""
    with take_lock(sys.argv[1]) as outcome:
        sys.stdout.write(f"{outcome}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
