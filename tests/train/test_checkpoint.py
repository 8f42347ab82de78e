from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hpcexp.train.checkpoint import DamagedCheckpointError, read_checkpoint, write_checkpoint


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    write_checkpoint(path, {"state": {"w": torch.arange(5.0)}, "step": 7})
    read = read_checkpoint(path)
    assert read["step"] == 7
    assert torch.equal(read["state"]["w"], torch.arange(5.0))
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_checkpoint_is_recognised(tmp_path: Path, share: float) -> None:
    path = tmp_path / "c.pt"
    write_checkpoint(path, {"w": torch.rand(1000)})
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DamagedCheckpointError, match="not a whole checkpoint"):
        read_checkpoint(path)


def test_a_flipped_bit_in_a_tensor_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    write_checkpoint(path, {"w": torch.zeros(4000)})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedCheckpointError):
        read_checkpoint(path)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    torch.save({"format": 1, "evil": Path("x")}, path)
    with pytest.raises(DamagedCheckpointError):
        read_checkpoint(path)


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    write_checkpoint(path, {"step": 1})
    with pytest.raises(AttributeError):
        write_checkpoint(path, {"step": lambda: 2})
    assert read_checkpoint(path)["step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]
