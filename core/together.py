"""Trains several runs of one setting at once, by one learner whose arrays have a leading axis of seeds.

This changes how the runs are computed, but not their results: each has its own Loop, folder and outcome, and on
the CPU the same bits as if it were trained alone.
"""

import signal

import numpy as np
from tqdm import tqdm

from core.backend import array_module, on_device
from core.errors import UsageError, UserError
from core.files import FileError
from core.program import EXIT_FAILED, StoppedByError, say, shortage
from core.replay import Replay
from core.signals import StopRequest
from utils import stack

# The errors of a step whose equations have no solution.
UNSOLVABLE = (ArithmeticError, np.linalg.LinAlgError)


def run_to_outcomes(loops, folders, records, fail=None):
    """Trains loops from their folders' checkpoints, or from the beginning; returns the outcome of each loop.

    A loop that has nothing left to do is not run. Earlier runs that are to be replaced are deleted first.

    loops    list of core.training.Loop with the same settings and different seeds, which are trained together
    folders  their core.recording.RunFolder, opened
    records  one core.machine.provenance per loop
    fail     see run_together
    Raises   FileError or UsageError while no folder has changed, StoppedByError afterwards
    """
    try:
        ended = _begin(loops, folders, records)
    except UserError as error:
        if any(folder.changed for folder in folders):
            raise StoppedByError(f"{error}. Training did not begin; --load_or_start continues") from error
        raise
    outcomes = _train([loop for loop, outcome in zip(loops, ended, strict=True) if outcome is None], fail)
    return [outcome or next(outcomes) for outcome in ended]


def _begin(loops, folders, records):
    """Prepares the folders for training; returns the outcome of each run, None if it has more to do."""
    for folder in folders:
        folder.clear()
    ended = [_nothing_left(loop, folder) for loop, folder in zip(loops, folders, strict=True)]
    going = [index for index, outcome in enumerate(ended) if outcome is None]
    continued = [_continue(loops[index], folders[index]) for index in going]
    notes = [folders[index].note for index in going]
    for index, had_begun in zip(going, continued, strict=True):
        changed = folders[index].begin(records[index])
        if had_begun and changed:
            names = ", ".join(changed)
            notes.append(f"note: {names} differ from those that this run began with, so that its last digits may")
    for note in filter(None, dict.fromkeys(notes)):
        say(note)
    return ended


def _nothing_left(loop, folder):
    """Returns the outcome of a run that has nothing left to do; else None."""
    ended = folder.outcome
    if not ended or (ended["outcome"] == "finished" and ended["epochs"] < loop.schedule.epochs):
        return None
    if ended["outcome"] in ("finished", "stopped"):
        folder.check_weights(loop.learner.net.named_arrays)
    return ended


def _continue(loop, folder):
    """Restores the loop from the folder's checkpoint; returns whether there is one.

    Raises  UsageError if the checkpoint is beyond the epochs asked for: its network has learned more than they teach
    """
    checkpoint = folder.checkpoint()
    if checkpoint:
        loop.restore(checkpoint)
    folder.check_progress(loop.learner.net, loop.epoch, loop.series, folder.outcome, bool(checkpoint))
    plan, schedule = loop.plan, loop.schedule
    if loop.position > (plan.passes(schedule.epochs), 0):
        begun = loop.epoch + (loop.position > (plan.passes(loop.epoch), 0))
        raise UsageError(
            f"{schedule.option}={schedule.epochs}: {folder.path} holds a run that has begun epoch {begun} already; "
            f"continue it with {schedule.option}={begun} or more, or give --overwrite to start again"
        )
    return bool(checkpoint)


def _train(loops, fail):
    """Returns an iterator over the outcomes of loops that have something to do."""
    try:
        return iter(run_together(loops, fail) if loops else [])
    except (FileError, OSError) as error:
        # An OSError comes from pictures and logs, which other libraries write.
        problem, status, cause = error, EXIT_FAILED, error
    except (MemoryError, RuntimeError) as error:
        problem, status, cause = shortage(error), EXIT_FAILED, error
        if problem is None:
            raise
    except KeyboardInterrupt as error:
        # A host program handles signals in place of the loop.
        problem, status, cause = "interrupted", 128 + signal.SIGINT, error
    epoch = 1 + min(loop.epoch for loop in loops)
    raise StoppedByError(f"{problem}. Training stopped in epoch {epoch}; --load continues it", status) from cause


def run_together(loops, fail=None):
    """Trains several loops of one setting that differ in the seed until each has its outcome.

    loops    list of core.training.Loop
    fail     function (Loop, error) -> outcome of a loop whose step raises one of UNSOLVABLE; None: the error is raised
    Returns  list of the outcomes, as core.training.Loop.run returns them
    """
    done, total = map(sum, zip(*(loop.progress for loop in loops), strict=True))
    bar = tqdm(total=total, initial=done, unit="batch", smoothing=0.05, disable=loops[0].quiet or None)
    with StopRequest() as stop, np.errstate(over="ignore", invalid="ignore", divide="ignore"), bar:
        return Together(loops, stop, bar, fail).run()


class Together:
    """Trains several loops until each has its outcome.

    The loops that are furthest behind train the next pass, and those at the same position share one learner. So a
    run that continues from an earlier epoch catches up first, and a run that ends leaves the others as they are.

    loops  list of core.training.Loop of one setting that differ in the seed
    stop   core.signals.StopRequest
    bar    tqdm that counts the batches of all loops
    fail   function (Loop, error) -> outcome of a loop whose step raises one of UNSOLVABLE; None: the error is raised
    """

    def __init__(self, loops, stop, bar, fail=None):
        self.loops, self.stop, self.bar, self.fail = loops, stop, bar, fail
        self.outcomes = {}

    def run(self):
        """Trains until every loop has its outcome; returns the outcomes in the order of the loops."""
        for loop in self.loops:
            loop.begin()
        moved = self.loops
        while going := self._without_the_ended(moved):
            if self.stop.signal:
                self._each(going, self._interrupt)
                break
            behind = min(loop.position for loop in going)
            moved = [loop for loop in going if loop.position == behind]
            self._train_pass(moved)
        return [self.outcomes[loop] for loop in self.loops]

    def _interrupt(self, loop):
        self.outcomes[loop] = loop.interrupt(self.stop)

    def _without_the_ended(self, moved):
        """Returns the loops that have not ended; only those that have just `moved` are asked."""
        for loop in self._alive(moved):
            ended = loop.end()
            if ended:
                self.outcomes[loop] = ended
        return self._alive(self.loops)

    def _alive(self, loops):
        return [loop for loop in loops if loop not in self.outcomes]

    def _train_pass(self, loops):
        """Trains the rest of the current pass of these loops.

        It ends early at a stop request, or when a loop fails.
        """
        learners = [loop.begin_pass() for loop in loops]
        whole = joined(learners)
        on_gpu = on_device(whole.net.arrays[0])
        replay = Replay(whole, lambda rows: _batch(loops, rows)) if on_gpu else None
        while True:
            united = self._step(loops, whole, learners, replay)
            alive = self._alive(loops)
            for loop in alive:
                loop.batch += 1
            self.bar.update(len(alive))
            ended, due = (bool(alive) and getattr(alive[0], name) for name in ("pass_ended", "due"))
            if united and (ended or due or self.stop.signal or alive != loops):
                _hand_back(whole, learners)
            if due:
                self._each(alive, lambda loop: loop.measure(self.bar, loop.epoch, loop.batch))
            if ended:
                self._each(alive, lambda loop: loop.end_pass(self.bar))
            if ended or self.stop.signal or not united or self._alive(loops) != loops:
                return

    def _step(self, loops, whole, learners, replay):
        """Trains one batch; returns False if the joint step failed.

        In that case each loop has trained the batch, or failed, alone.
        """
        rows, place, show = _rows(loops), loops[0].position, self._show_to(loops, whole, learners)
        try:
            if replay and not show:
                replay.step(rows, place)
            else:
                whole.step(*_batch(loops, rows), place, show)
        except UNSOLVABLE:
            _hand_back(whole, learners)
            own = dict(zip(loops, learners, strict=True))
            show = {loop: self._show_to([loop], learner, [learner]) for loop, learner in own.items()}
            self._each(loops, lambda loop: own[loop].step(*_batch([loop], _rows([loop])), loop.position, show[loop]))
            return False
        return True

    def _show_to(self, loops, whole, learners):
        """Returns a function (report, moved) that reports a batch to the watchers that want it, or None.

        Each loop's watchers get its own part of the report, and its own network as it is at that moment.
        """
        seeds = {loop: (seed,) if len(loops) > 1 else () for seed, loop in enumerate(loops) if loop.watched}

        def show(report, moved=False):
            _hand_back(whole, learners)

            def show_own(loop):
                loop.show_batch(report.of(seeds[loop]) if seeds[loop] else report, moved)

            self._each(self._alive(seeds), show_own)

        return show if seeds else None

    def _each(self, loops, act):
        """Calls act(loop) for every loop and records the outcome of those that fail.

        act  function of a loop; it returns False if the numbers have blown up
        """
        for loop in loops:
            try:
                if act(loop) is False:
                    self.outcomes[loop] = loop.give_up("diverged")
            except UNSOLVABLE as error:
                if self.fail is None:
                    raise
                self.outcomes[loop] = self.fail(loop, error)


def joined(learners):
    """Returns one learner for all `learners`, which continues from their states.

    If a step of the joint learner raises an error, its state is unchanged. A single learner is returned itself.
    """
    if len(learners) == 1:
        return learners[0]
    whole = learners[0].together(learners)
    whole.take(learners)
    return whole


def _hand_back(whole, learners):
    if len(learners) > 1:
        whole.give(learners)


def _rows(loops):
    """Returns the samples of every loop's next batch; of the first alone if all read the same."""
    first = loops[0]
    alike = first.plan.order is None and all(loop.samples is first.samples for loop in loops)
    return [loop.rows for loop in (loops[:1] if alike else loops)]


def _batch(loops, rows):
    """Returns a batch [inputs, targets], for several loops with a leading axis of seeds.

    The batch is not copied if all loops read the same one.

    rows  see `_rows`
    """
    batches = [loop.samples.batch(chosen) for loop, chosen in zip(loops, rows, strict=False)]
    if len(batches) < len(loops):
        return [array_module(array).broadcast_to(array, (len(loops), *array.shape)) for array in batches[0]]
    return united(batches)


def united(batches):
    """Returns the batches of several seeds as one with a leading axis of seeds; a single one as it is."""
    return batches[0] if len(batches) == 1 else [stack(arrays) for arrays in zip(*batches, strict=True)]
