"""A laboratory's own code: what its directory holds besides what `hpcexp new` writes there.

Each training takes the better part of ten seconds, so that there is time to kill it.
"""

from __future__ import annotations

FUNCTION = """\
import random, time


def train(run, *, lr: float = 0.1, momentum: float = 0.0, max_epoch: int = 24):
    draw = random.Random(run.seed)
    points = [(x, 3 * x + draw.gauss(0, 0.1)) for x in (i / 10 for i in range(1, 11))]
    saved = run.checkpoint_dir / "state.txt"
    state = saved.read_text().split() if saved.exists() else ["0", "0", "0"]
    epoch, slope, speed = int(state[0]), float(state[1]), float(state[2])
    while epoch < max_epoch and not run.should_stop():
        epoch += 1
        for x, y in points:
            speed = momentum * speed - lr * 2 * (slope * x - y) * x
            slope += speed
        run.report(epoch=epoch, loss=sum((slope * x - y) ** 2 for x, y in points) / len(points))
        run.checkpoint_dir.mkdir(exist_ok=True)
        aside = saved.with_suffix(".aside")
        aside.write_text(f"{epoch} {slope!r} {speed!r}")
        aside.replace(saved)
        time.sleep(0.3)
"""

FUNCTION_TEMPLATE = """\
name: function
question: does momentum help a function?
workload: function
params:
  function: fit:train
  max_epoch: 24
grid: {lr: [0.01, 0.1], momentum: [0.0, 0.5]}
rand_inits: 2
resources: {cpus: 1, mem_gb: 1, timeout: 10m, max_restarts: 0}
"""

SHELL = """\
#!/bin/sh
# Fits a line: train.sh LR MOMENTUM
lr=$1 momentum=$2
saved=$HPCEXP_CHECKPOINT_DIR/state epoch=0 slope=0 speed=0
[ -f "$saved" ] && read -r epoch slope speed < "$saved"
mkdir -p "$HPCEXP_CHECKPOINT_DIR"
while [ "$epoch" -lt "$HPCEXP_PARAM_MAX_EPOCH" ] && [ ! -e "$HPCEXP_STOP_FILE" ]; do
  epoch=$((epoch + 1))
  set -- $(awk -v lr="$lr" -v m="$momentum" -v s="$slope" -v v="$speed" -v seed="$HPCEXP_SEED" '
    BEGIN { srand(seed % 1000)
      for (i = 1; i <= 10; i++) { x = i / 10; y = 3 * x + (rand() - 0.5) / 5
        v = m * v - lr * 2 * (s * x - y) * x; s += v; error += (s * x - y) ^ 2 }
      printf "%.17g %.17g %.17g", s, v, error / 10 }')
  slope=$1 speed=$2
  echo "{\\"epoch\\": $epoch, \\"loss\\": $3}" >> "$HPCEXP_METRICS_FILE"
  echo "$epoch $slope $speed" > "$saved.new" && mv "$saved.new" "$saved"
  sleep 0.3
done
"""

SHELL_TEMPLATE = """\
name: shell
question: does momentum help a shell script?
workload: command
params:
  command: sh train.sh {lr} {momentum}
  max_epoch: 24
  metric: {name: loss, title: squared error, success_below: 0.02}
grid: {lr: [0.01, 0.1], momentum: [0.0, 0.5]}
rand_inits: 2
resources: {cpus: 1, mem_gb: 1, timeout: 10m, max_restarts: 0}
"""

LIGHTNING = """\
import time

import lightning
import torch


class Curve(lightning.LightningModule):
    def __init__(self, lr: float = 0.01, width: int = 16):
        super().__init__()
        self.lr = lr
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(1, width), torch.nn.Tanh(), torch.nn.Linear(width, 1)
        )

    def training_step(self, batch, _):
        x, y = batch
        loss = (self.layers(x) - y).square().mean()
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, _):
        x, y = batch
        self.log("val_loss", (self.layers(x) - y).square().mean())

    def on_train_epoch_end(self):
        time.sleep(0.3)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class Points(lightning.LightningDataModule):
    def __init__(self, batch_size: int = 16):
        super().__init__()
        self.batch_size = batch_size
        x = torch.linspace(-1, 1, 128)[:, None]
        self.points = torch.utils.data.TensorDataset(x, torch.sin(3 * x))

    def train_dataloader(self):
        # In the order of the set: a shuffle after a restart would be another one.
        return torch.utils.data.DataLoader(self.points, batch_size=self.batch_size)

    def val_dataloader(self):
        return torch.utils.data.DataLoader(self.points, batch_size=128)
"""

LIGHTNING_TEMPLATE = """\
name: lit
question: how wide must it be, and how fast may it learn?
workload: lightning
params:
  module: lit:Curve
  data: lit:Points
  max_epoch: 24
grid: {lr: [0.003, 0.03], width: [4, 16]}
rand_inits: 2
resources: {cpus: 1, mem_gb: 1, timeout: 10m}
"""

FILES = {
    ".gitignore": "experiments/\n__pycache__/\n",
    "fit.py": FUNCTION,
    "function.yaml": FUNCTION_TEMPLATE,
    "train.sh": SHELL,
    "shell.yaml": SHELL_TEMPLATE,
    "lit.py": LIGHTNING,
    "lit.yaml": LIGHTNING_TEMPLATE,
}
