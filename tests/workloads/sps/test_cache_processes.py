from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from pathlib import Path

import filelock
import pytest

from hpcexp.workloads.sps.dataset import draw_sequences
from tests.workloads.sps.sequences import SMALL, assert_same, load

LOAD_IN_PROCESS = """
import hashlib, logging, sys
from pathlib import Path
from hpcexp.workloads.sps.config.datasets import BounceDataset
from hpcexp.workloads.sps.cache import load_sequences
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(message)s")
sys.stdin.readline()
settings = BounceDataset(resolution=16, num_frames=4)
sequences = load_sequences(
    settings, split="train", num_sequences=int(sys.argv[2]), cache_dir=Path(sys.argv[1])
)
print("DIGEST", hashlib.sha256(sequences.images[:50].tobytes()).hexdigest())
"""


def test_what_another_process_drew_meanwhile_is_not_drawn_again(
    tmp_path: Path, draws: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire = filelock.FileLock.acquire

    def let_another_go_first(lock: filelock.FileLock) -> object:
        monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
        load(tmp_path)
        return lock.acquire()

    monkeypatch.setattr(filelock.FileLock, "acquire", let_another_go_first)
    load(tmp_path)
    assert draws == [6]


def start_process(cache_dir: Path, num_sequences: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", LOAD_IN_PROCESS, str(cache_dir), str(num_sequences)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish_together(processes: list[subprocess.Popen[str]]) -> list[str]:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), outputs
    return outputs


def test_of_processes_that_want_the_same_one_draws_and_all_get_it(tmp_path: Path) -> None:
    outputs = finish_together([start_process(tmp_path, 200) for _ in range(4)])
    assert "".join(outputs).count("INFO drew 200 ") == 1
    digests = {output.split("DIGEST ")[1] for output in outputs}
    expected = draw_sequences(SMALL, split="train", num_sequences=50).images
    assert digests == {hashlib.sha256(expected.tobytes()).hexdigest() + "\n"}


def test_processes_that_want_different_numbers_agree_on_the_beginning(tmp_path: Path) -> None:
    outputs = finish_together([start_process(tmp_path, 50 * n) for n in (1, 2, 3, 4)])
    assert "WARNING" not in "".join(outputs)
    assert len({output.split("DIGEST ")[1] for output in outputs}) == 1


def test_what_a_killed_process_left_is_cleared_and_never_read(tmp_path: Path) -> None:
    dying = LOAD_IN_PROCESS.replace(
        "sys.stdin.readline()",
        "import json, os, signal\njson.dumps = lambda *a, indent=None, dumps=json.dumps, **k: "
        "os.kill(os.getpid(), signal.SIGKILL) if indent else dumps(*a, **k)",
    )
    command = [sys.executable, "-c", dying, str(tmp_path), "6"]
    killed = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL, killed
    (key_dir,) = (tmp_path / "sps").iterdir()
    assert [path.name[:7] for path in key_dir.iterdir() if path.name != "lock"] == [".aside-"]
    assert_same(load(tmp_path), draw_sequences(SMALL, split="train", num_sequences=6))
    assert {path.name for path in key_dir.iterdir()} <= {"6", "lock"}
