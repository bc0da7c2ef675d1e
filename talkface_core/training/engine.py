"""The training loop of every recipe, on Accelerate: a CPU, one GPU, or many processes by `accelerate launch`.

A run lives in one folder: `run.json` (settings), `state.safetensors` (to resume from), `log.csv`, `samples/`, and at
the end `<recipe>.safetensors`, the checkpoint of the averaged networks.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from ..atomic import whole_file
from ..device import pick_dtype
from ..errors import InputError
from .batches import batches, send, step_seed, workers_for
from .config import TrainConfig
from .export import checkpoint_path, versions, write_checkpoint
from .log import CsvLog, Meter
from .optimiser import EMA, clip_gradients, make_optimiser
from .recipe import Batch, Recipe
from .setup import former_progress, load_init, make_accelerator
from .signals import StopSignals
from .state import STATE, load_state, save_state, trained

# Several processes stop together; asking each other costs a message, so they ask now and then.
_AGREE_EVERY = 10
_GO_ON, _TIME, _ASKED, _SIGNAL = range(4)

Watch = Callable[[int, Mapping[str, float] | None, NDArray[np.uint8] | None], bool]
"""Told of each step: how many are done, the mean losses where they were logged, the sample where one was drawn. Its
answer: whether to stop now."""


class DivergedError(InputError):
    """The loss or the gradient became NaN or infinite: names the step; the run's folder keeps the last good state."""


@dataclass(frozen=True)
class TrainResult:
    """How a run ended: steps done, seconds of training over all sittings, "steps", "time" or "asked", and the files.

    Of a run that was "asked" to stop there is a state, and no checkpoint of it.
    """

    step: int
    seconds: float
    reason: str
    checkpoint: Path
    state: Path


def train(
    recipe: Recipe,
    run_dir: str | Path,
    steps: int,
    config: TrainConfig | None = None,
    *,
    init: str | Path | None = None,
    save_every: int = 1000,
    sample_every: int = 1000,
    log_every: int = 50,
    max_seconds: float | None = None,
    resume: bool = False,
    allow_changes: bool = False,
    device: str = "auto",
    prefetch: bool = False,
    quiet: bool = False,
    watch: Watch | None = None,
) -> TrainResult:
    """Train until `steps` steps are done in all, or `max_seconds` of this call are over, and write the checkpoint.

    `save_every`, `sample_every` and `log_every` count steps; 0: no pictures, no log, a state at the ends only.
    `init` is a checkpoint, by name or path, to begin with: the components that it holds and the recipe trains.
    `resume` goes on from the run's state: on the CPU the weights come out bit for bit as if it had never stopped.
    Settings other than the run's are an error unless `allow_changes`; `steps` may grow (the cosine then stretches).
    `device` is "auto", "cpu" or "cuda". `prefetch` makes batches in background threads. The first Ctrl-C or SIGTERM
    saves the state after the step at hand and ends the process; a second one ends it at once. `watch` sees every step
    and may end the run: see `Watch`.

    Raises InputError for a folder that holds a run already, one without a run to resume, other settings, an `init` that
    does not fit; and DivergedError when the loss or the gradient is not finite: the state saved last stays.
    """
    run = _Run(recipe, Path(run_dir), steps, config or TrainConfig(), init, device, resume, allow_changes)
    devices = [run.device] if run.device.type == "cuda" else []
    with torch.random.fork_rng(devices), StopSignals() as signals:
        why = run.go(signals, save_every, sample_every, log_every, max_seconds, prefetch, quiet, watch)
        if why not in (_ASKED, _SIGNAL):
            run.export()
    signals.leave(always=why == _SIGNAL)
    reason = {_TIME: "time", _ASKED: "asked"}.get(why, "steps")
    return TrainResult(run.step, run.seconds, reason, checkpoint_path(recipe, run.dir), run.dir / STATE)


class _Objective(nn.Module):
    """The recipe's loss as a module's forward, so that Accelerate can wrap all its networks as one."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(recipe.modules)
        self._loss = recipe.loss

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        return self._loss(batch, step)


class _Run:
    """One run in memory."""

    def __init__(
        self,
        recipe: Recipe,
        run_dir: Path,
        steps: int,
        config: TrainConfig,
        init: str | Path | None,
        device: str,
        resume: bool,
        allow_changes: bool,
    ) -> None:
        self.recipe, self.dir, self.steps, self.config = recipe, run_dir, steps, config
        self.accelerator = make_accelerator(device)
        self.device, self.main = self.accelerator.device, self.accelerator.is_main_process
        fast = config.precision == "auto" and pick_dtype(self.device) is torch.bfloat16
        self.half = fast or config.precision == "bf16"
        settings = {
            "recipe": recipe.name,
            "data": recipe.data,
            "config": {**recipe.config, **({"init": Path(init).stem} if init else {})},
            "train": asdict(config),
            "processes": self.accelerator.num_processes,
        }
        # As a state returns it, so that a tuple that comes back as a list is no change.
        self.settings = json.loads(json.dumps(settings, allow_nan=False))
        former = former_progress(run_dir, type(recipe), self.settings, resume, allow_changes)

        objective = _Objective(recipe).to(self.device).train()
        if init and not former:
            load_init(recipe, init)
        recipe.prepare(self.device)
        self.weights = list(trained(recipe.modules).values())
        self.optimiser = make_optimiser(self.weights, config, self.device)
        self.ema = EMA(recipe.modules, config.ema_decay)
        if former:
            load_state(run_dir, recipe.modules, self.ema, self.optimiser)
        self.step, self.seconds = (former["step"], former["seconds"]) if former else (0, 0.0)
        self.meter = Meter(self.accelerator, former["sums"] if former else None)
        self.saved_at = self.step if former else None
        self.objective = self.accelerator.prepare(objective)
        self.log = CsvLog(run_dir / "log.csv", keep_until=self.step) if self.main else None
        if self.main:
            with whole_file(run_dir / "run.json") as part:
                part.write_text(json.dumps({**self.settings, "steps": steps, "versions": versions()}, indent=2) + "\n")

    def go(
        self,
        signals: StopSignals,
        save_every: int,
        sample_every: int,
        log_every: int,
        max_seconds: float | None,
        prefetch: bool,
        quiet: bool,
        watch: Watch | None,
    ) -> int:
        """The loop; returns why it ended."""
        self.save()
        start, before, why = time.monotonic(), self.seconds, _GO_ON
        process, accumulation = self.accelerator.process_index, self.config.accumulation
        workers, pinned = workers_for(self.device) if prefetch else 0, self.device.type == "cuda"
        span = (self.step, self.steps)
        source = batches(self.recipe, self.config.seed, process, *span, accumulation, workers, pinned)
        bar = tqdm(total=self.steps, initial=self.step, desc=self.recipe.name, disable=quiet or not self.main)
        try:
            while self.step < self.steps and not why:
                self.train_step(source)
                self.step += 1
                self.seconds = before + time.monotonic() - start
                bar.update()
                log, save, draw = (every and self.step % every == 0 for every in (log_every, save_every, sample_every))
                if log or save or draw:
                    self.check()
                means = self.write_log(bar) if log else None
                if save:
                    self.save()
                picture = self.draw() if draw else None
                asked = watch is not None and watch(self.step, means, picture)
                late = max_seconds is not None and self.seconds - before >= max_seconds
                why = self.agreed(_SIGNAL if signals.caught else _ASKED if asked else _TIME if late else _GO_ON)
            self.check()
            self.save()
        finally:
            source.close()
            bar.close()
        return why

    def train_step(self, source: Iterator[Batch]) -> None:
        config, device = self.config, self.device
        for group in self.optimiser.param_groups:
            group["lr"] = config.lr_at(self.step, self.steps)
        sums: dict[str, Tensor] = {}
        for micro in range(config.accumulation):
            batch = send(next(source), device)
            seed = step_seed(config.seed, self.step, self.accelerator.process_index, micro)
            self.seed(int(seed.generate_state(1)[0]))
            last = micro == config.accumulation - 1
            with nullcontext() if last else self.accelerator.no_sync(self.objective):
                with self.autocast():
                    losses = self.objective(batch, self.step)
                self.accelerator.backward(losses["loss"] / config.accumulation)
            for name, loss in losses.items():
                share = loss.detach().float() / config.accumulation
                sums[name] = sums[name] + share if name in sums else share
        norm = clip_gradients(self.weights, config.grad_clip)
        self.meter.add(self.step, {**sums, "grad_norm": norm})
        if device.type == "cpu":
            # On a CPU this costs nothing and comes before the weights change; a GPU would have to be waited for.
            self.check()
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.ema.update(self.step)

    def seed(self, seed: int) -> None:
        # As torch.manual_seed, but without its tour of all backends, which takes longer than a small network's step.
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        elif self.device.type != "cpu":
            torch.manual_seed(seed)

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)

    def check(self) -> None:
        """Raise DivergedError when a loss or gradient since the last look is not finite."""
        bad = self.meter.settle()
        if bad:
            step, values = bad
            summary = ", ".join(f"{name} {value:g}" for name, value in values.items())
            raise DivergedError(
                f"{self.recipe.name}: the training diverged at step {step} ({summary}); {self.dir} keeps the state of "
                f"step {self.saved_at}; lower the lr (now {self.config.lr_at(step, self.steps):g}) or grad_clip."
            )

    def write_log(self, bar: tqdm) -> Mapping[str, float]:
        means = self.meter.means()
        if self.log:
            lr = self.config.lr_at(self.step - 1, self.steps)
            self.log.write({"step": self.step, "seconds": self.seconds, "lr": lr, **means})
            bar.set_postfix(loss=f"{means['loss']:.4g}", refresh=False)
        return means

    def save(self) -> None:
        if self.saved_at == self.step:
            return
        if self.main:
            save_state(self.dir, self.recipe.modules, self.ema, self.optimiser, self.progress())
        self.accelerator.wait_for_everyone()
        self.saved_at = self.step

    def progress(self) -> dict[str, object]:
        return {"step": self.step, "seconds": self.seconds, "sums": self.meter.sums, "settings": self.settings}

    def draw(self) -> NDArray[np.uint8] | None:
        if not self.main:
            return None
        self.seed(self.config.seed)
        with torch.no_grad(), self.autocast():
            picture = self.recipe.sample(self.ema.modules)
        if picture is not None:
            coded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
            with whole_file(self.dir / "samples" / f"{self.step:08d}.png") as part:
                part.write_bytes(coded.tobytes())
        return picture

    def agreed(self, why: int) -> int:
        """Why to stop, the same on every process: the weightiest reason that any has."""
        if self.accelerator.num_processes == 1:
            return why
        if self.step % _AGREE_EVERY:
            return _GO_ON
        wishes = self.accelerator.gather(torch.tensor([why], device=self.device))
        return int(wishes.max())

    def export(self) -> None:
        if self.main:
            write_checkpoint(self.recipe, self.dir, self.ema, self.progress())
        self.accelerator.wait_for_everyone()
