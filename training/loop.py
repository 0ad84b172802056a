"""The one training loop."""

from __future__ import annotations

import math
import shlex
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from tracker_core import weights
from training import checkpoint, records
from training.device_augmentation import augment, without_appearance
from training.device_crops import place_all
from training.distributed import choose_device, find_world, joined
from training.examples import VALIDATION_EPOCH, make_loader
from training.modules import MODULES, Batch, RecipeModule
from training.profiling import steps_profiled
from training.recipe import Recipe, RecipeError, Schedule, as_plain, parse_recipe
from training.sampling import EpochSampler, SharedSampler
from training.start import nothing, start_from
from training.stopping import StoppedError, signals_held, signals_noted
from training.tracking import find_clips, mean_overlaps
from training.validation import load_both


class DivergedError(RuntimeError):
    """The loss or its gradient is not finite."""


class _Objective(nn.Module):
    """The loss as the output of a module, which is what DistributedDataParallel wraps."""

    def __init__(self, network: nn.Module, module: RecipeModule, recipe: Recipe) -> None:
        super().__init__()
        self.network, self.module, self.recipe = network, module, recipe

    def forward(self, batch: Batch) -> tuple[Tensor, Batch]:
        return self.module.loss(self.network, batch, self.recipe)


class Run:
    """A training run in a folder: state, data and the loop over it.

    In a process started by `torchrun` it is this process's part of one run: batches are shared
    out, gradients averaged, and only the first process writes.
    """

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self.recipe, self.schedule, self.folder = recipe, recipe.schedule, folder
        self.world = find_world()
        if self.schedule.batch_size % self.world.size:
            raise RecipeError(
                f'schedule.batch_size {self.schedule.batch_size} cannot be shared equally by '
                f'{self.world.size} processes'
            )
        self.device = choose_device(self.schedule.device, self.world)
        checkpoint.seed_random(self.schedule.seed)
        self.module, load = MODULES[recipe.recipe]
        crops = self.schedule.crop_on_device
        self._changes_light = crops or self.schedule.augment_on_device
        drawn = without_appearance(recipe) if self._changes_light else recipe
        examples = load_both(load, drawn, self.world.size)
        self.training, self.validation = examples
        self._frames = place_all(examples, self.device) if crops else None
        self.log = records.RunLog(folder, silent=not self.world.is_first)
        self.clips = find_clips(recipe.tracking, Path(recipe.data))
        network = self.module.build_network(recipe).to(self.device)
        if self.world.size > 1 and self.device.type == 'cuda':
            # Batch norms see the whole batch, as in one process; there is no such thing on a CPU.
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        # Typed too narrowly by torch: convolutions are faster with the channels last in memory.
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = _averaged(self.network, self.schedule)
        self.optimizer = self.module.build_optimizer(self.network, recipe)
        self._rates = [group['lr'] for group in self.optimizer.param_groups]
        self._objective: nn.Module = _Objective(self.network, self.module, recipe)
        self.epoch = self.position = self.step = 0
        # What is known of the weights that this run started from.
        self.before = getattr(self.module, 'before', nothing)(recipe)
        self.examples = 0  # altogether, also in a run whose weights this one started from
        self.best_loss, self.best_overlap = math.inf, 0.0
        self._told: list[int] = []  # signals that ask for the end
        self._after_step: Callable[[], None] = lambda: None

    def train(self, *, profile: bool = False) -> float:
        """Train to the end of the schedule; returns the last validation loss, or nan.

        profile: whether to write down where the time of some steps goes. Raises StoppedError after
        SIGINT or SIGTERM, having saved the state, and DivergedError.
        """
        value = math.nan
        with (
            signals_noted() as self._told,
            joined(self.world, self.device),
            self._board() as board,
            self._profiler(profile) as self._after_step,
        ):
            self._describe()
            self._objective = self._shared_objective()
            while self.epoch < self.schedule.epochs:
                self._train_epoch(board)
                self.save('last.pt')  # a run that is stopped while it validates does that anew
                value = self._validate(board)
                is_best = self._compare(value, self._track(board))
                self.epoch, self.position = self.epoch + 1, 0
                self.save('last.pt')
                if is_best:
                    self.save('best.pt')
        return value

    def _compare(self, loss: float, overlap: float) -> bool:
        """Note the best validation so far; returns whether this one is to be `best.pt`."""
        lower, higher = loss < self.best_loss, overlap > self.best_overlap
        self.best_loss = loss if lower else self.best_loss
        self.best_overlap = overlap if higher else self.best_overlap
        if self.recipe.tracking.best:
            return higher
        return lower or self.validation is None  # the last is the best that is known

    def _train_epoch(self, board: SummaryWriter | None) -> None:
        """Train on what is left of the current epoch."""
        schedule = self.schedule
        factor = schedule.rate_factor(self.epoch)
        share = self.world.rank, self.world.size
        sampler = SharedSampler(
            self.epoch, len(self.training), schedule.batch_size, self.position, share
        )
        loader = make_loader(self.training, sampler, schedule, self.world.size)
        started = saved = time.monotonic()
        losses: list[float] = []
        title = f'epoch {self.epoch + 1}/{schedule.epochs}'
        self.module.start_training(self.network, self.recipe)
        silent, steps = not self.world.is_first, len(loader)
        with signals_held():
            batches = iter(loader)
        with tqdm(
            batches, title, steps, unit='batch', dynamic_ncols=True, disable=silent
        ) as progress:
            for batch in progress:
                loss, watched = self.train_on(batch)
                losses.append(loss)
                self._after_step()
                if board is not None and self.step % 20 == 0:
                    progress.set_postfix(loss=f'{loss:.3f}', rate=f'{factor:.1e}')
                    scalars = {'loss': loss, 'rate': factor, **watched}
                    for name, value in scalars.items():
                        board.add_scalar(f'training/{name}', value, self.step)
                self._stop_if_told(save=True)
                if time.monotonic() - saved > 60 * schedule.checkpoint_minutes:
                    self.save('last.pt')
                    saved = time.monotonic()
        if losses:
            self.log.say(
                f'{title}: training loss {sum(losses) / len(losses):.4f} in {len(losses)} steps, '
                f'{time.monotonic() - started:.0f} s, rates x {factor:.3g}'
            )

    def _stop_if_told(self, *, save: bool = False) -> None:
        """Raise StoppedError where a signal came to any process; all must ask."""
        if self.world.any(bool(self._told), self.device):
            if save:
                self.save('last.pt')
            raise StoppedError(self._told[0] if self._told else signal.SIGTERM)

    def train_on(self, batch: Batch) -> tuple[float, dict[str, float]]:
        """One step of the optimiser."""
        factor = self.schedule.rate_factor(self.epoch)
        if self.step < self.schedule.warmup_steps:
            factor *= (self.step + 1) / self.schedule.warmup_steps
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group['lr'] = rate * factor
        batch = self._to_device(batch)
        if self._changes_light:
            seed = self.schedule.seed, self.step, self.world.rank
            batch = augment(batch, self.recipe.augmentation, seed)  # type: ignore[attr-defined]
        with self._autocast():
            loss, watched = self._objective(batch)
        share = 1 / self.world.size
        means = self.world.sum(
            {name: share * value.detach() for name, value in {'': loss, **watched}.items()},
            self.device,
        )
        value = means.pop('')
        if not math.isfinite(value):
            self._stop_diverged(f'the loss is {value}', float(loss.detach()), batch)
        self.optimizer.zero_grad()
        loss.backward()
        limit = self.schedule.clip_gradient or math.inf
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), limit))
        if not math.isfinite(norm):
            self._stop_diverged(f'the norm of the gradient is {norm}', norm, batch)
        self.optimizer.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.network)
        self.step += 1
        self.position += self.schedule.batch_size
        self.examples += self.schedule.batch_size
        return value, {**means, 'gradient': norm}

    def _to_device(self, batch: Batch) -> Batch:
        """Batch on the device that trains, with the crops that are made there."""
        if self._frames is not None:
            return self._frames.cut(batch, self.recipe.areas.size)  # type: ignore[attr-defined]
        return {key: value.to(self.device, non_blocking=True) for key, value in batch.items()}

    def _stop_diverged(self, what: str, own: float, batch: Batch) -> NoReturn:
        """Keep the batch whose loss or gradient is not finite, and raise DivergedError."""
        name = f'diverged-{self.world.rank}.pt'
        if not math.isfinite(own):
            checkpoint.write(self.folder / name, batch)
        raise DivergedError(
            f'{what} in step {self.step + 1} (epoch {self.epoch + 1}): lower the '
            f'rates in `schedule` or set schedule.clip_gradient; the batch is kept in '
            f'{self.folder / name}, the last checkpoint is unharmed'
        )

    @torch.inference_mode()
    def _validate(self, board: SummaryWriter | None) -> float:
        """Mean loss on the validation examples, which are the same every time."""
        if self.validation is None or not self.schedule.validates(self.epoch):
            return math.nan
        network = self.exported_network().eval()
        step = self.world.size
        sampler = EpochSampler(VALIDATION_EPOCH, len(self.validation), self.world.rank, step)
        loader = make_loader(self.validation, sampler, self.schedule, step)
        totals: dict[str, float] = {}
        # As often in every process: another one may have an example, and so a batch, more.
        largest_share = math.ceil(len(self.validation) / step)
        rounds = math.ceil(largest_share / (self.schedule.batch_size // step))
        with signals_held():
            batches = iter(loader)
        for number, batch in zip_longest(range(rounds), batches):
            self._stop_if_told()
            if batch is None:
                continue
            batch = self._to_device(batch)
            with self._autocast():
                loss, watched = self.module.loss(network, batch, self.recipe)
                if board is not None and number == 0:
                    self._draw(board, network, batch)
            for name, measured in {'loss': loss, **watched}.items():
                totals[name] = totals.get(name, 0.0) + float(measured) * len(batch['scene'])
        sums = self.world.sum(totals, self.device)
        means = {name: total / len(self.validation) for name, total in sums.items()}
        if board is not None:
            for name, value in means.items():
                board.add_scalar(f'validation/{name}', value, self.step)
            board.flush()
        text = ', '.join(f'{name} {value:.4f}' for name, value in means.items())
        self.log.say(f'epoch {self.epoch + 1}: validation {text}')
        return means['loss']

    def _track(self, board: SummaryWriter | None) -> float:
        """Mean overlap on the clips of the recipe, each counting alike; nan where not tracked."""
        if not self.clips or not self.recipe.tracking.is_due(self.epoch):
            return math.nan
        own = self.clips[self.world.rank :: self.world.size]
        tensors = self.exported_network().state_dict()
        found = mean_overlaps(self.before, tensors, own, self.device, self._stop_if_told)
        for _ in range(math.ceil(len(self.clips) / self.world.size) - len(own)):
            self._stop_if_told()  # as often in every process
        overlaps = self.world.sum({clip.name: 0.0 for clip in self.clips} | found, self.device)
        value = sum(overlaps.values()) / len(overlaps)
        if board is not None:
            for name, overlap in {'mean': value, **overlaps}.items():
                board.add_scalar(f'tracking/{name}', overlap, self.step)
            board.flush()
        count = len(overlaps)
        self.log.say(f'epoch {self.epoch + 1}: mean overlap {value:.4f} in {count} clips')
        return value

    def _draw(self, board: SummaryWriter, network: nn.Module, batch: Batch) -> None:
        """Pictures for TensorBoard, where the module draws any."""
        draw = getattr(self.module, 'draw', None)
        pictures = draw(network, batch, self.recipe) if draw else {}
        for name, picture in pictures.items():
            board.add_image(f'validation/{name}', picture, self.step, dataformats='HWC')

    def exported_network(self) -> nn.Module:
        """The averaged network where there is one, else the trained one."""
        return self.network if self.averaged is None else self.averaged.module

    def save(self, name: str) -> None:
        """Write a checkpoint into the run folder."""
        if not self.world.is_first:
            return
        state = {
            'recipe': as_plain(self.recipe),
            'network': self.network.state_dict(),
            'exported': self.exported_network().state_dict(),
            'averaged': None if self.averaged is None else self.averaged.state_dict(),
            'optimizer': self.optimizer.state_dict(),
            'epoch': self.epoch,
            'position': self.position,
            'step': self.step,
            'examples': self.examples,
            'best_loss': self.best_loss,
            'best_overlap': self.best_overlap,
            'before': asdict(self.before),
        }
        checkpoint.save(self.folder / name, state)

    def resume(self, path: Path) -> None:
        """Go on where the checkpoint was written; the recipe must be that of the checkpoint."""
        state = checkpoint.load(path)
        # Parsed, so that a setting that is newer than the checkpoint counts as its default.
        changed = checkpoint.differences(
            as_plain(parse_recipe(state['recipe'])), as_plain(self.recipe)
        )
        if changed:
            raise RecipeError(
                f'{path} belongs to another recipe, different in {", ".join(changed)}: restore '
                'the values, or start anew from its weights with --start-from'
            )
        self.network.load_state_dict(state['network'])
        if self.averaged is not None:
            self.averaged.load_state_dict(state['averaged'])
        self.optimizer.load_state_dict(state['optimizer'])
        self.epoch, self.position = state['epoch'], state['position']
        self.step, self.examples = state['step'], state['examples']
        if 'before' in state:
            self.before = weights.WeightsInfo(**state['before'])
        self.best_loss = state['best_loss']
        self.best_overlap = state.get('best_overlap', 0.0)
        checkpoint.restore_random(state['random'])

    def start_from(self, path: Path, fresh: tuple[str, ...] = ()) -> None:
        """Take only the weights, and what is known of them, for a new schedule or other data.

        path: checkpoint of a run, or a weights file (.safetensors) such as a shipped one. fresh:
        parts of the network, by the beginnings of their names, that stay as they were drawn.
        Raises RecipeError for one that does not exist, WeightsError for another network's file.
        """
        start = start_from(self.network, path, self.recipe.tracker, fresh)
        self.before, self.examples = start.before, start.examples
        self.averaged = _averaged(self.network, self.schedule)

    def _board(self) -> AbstractContextManager[SummaryWriter | None]:
        return SummaryWriter(str(self.folder)) if self.world.is_first else nullcontext()

    def _shared_objective(self) -> nn.Module:
        """The loss; its gradients are averaged over the processes where there are several."""
        objective = _Objective(self.network, self.module, self.recipe)
        if self.world.size == 1:
            return objective
        return DistributedDataParallel(objective)

    def _profiler(self, wanted: bool) -> AbstractContextManager[Callable[[], None]]:
        if wanted and self.world.is_first:
            return steps_profiled(self.folder, self.device, self.log.say)
        return nullcontext(lambda: None)

    def _describe(self) -> None:
        """Write down what is run, and say what decides which checkpoint is the best."""
        if not self.world.is_first:
            return
        records.describe(self.folder, self.recipe, self.world.size)
        self.log.note(f'step {self.step} on: {shlex.join(sys.argv)}')
        if self.validation is None and not self.recipe.tracking.best:
            self.log.say('no validation (`validation` or `held_out`): best.pt is as last.pt')

    def _autocast(self) -> torch.autocast:
        enabled = self.schedule.precision == 'bfloat16'
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)


def _averaged(network: nn.Module, schedule: Schedule) -> AveragedModel | None:
    if not schedule.average:
        return None
    decay = get_ema_multi_avg_fn(schedule.average)
    return AveragedModel(network, multi_avg_fn=decay, use_buffers=True)
