"""Defines what the loop calls: a learner trains, watchers measure, draw, log, or ask for the end of a run."""

import numpy as np

from core.backend import array_module


class BaseLearner:
    """Holds a network and its optimiser, and saves both: the base class of all learners.

    net        anything with a list `arrays` of everything that is trained, and `weights_changed()`
    optimiser  core.optimisers.Optimiser
    name       distinguishes the learners of one network in a checkpoint

    recordable  whether a GPU may record a step once and repeat it (core/replay.py)
    frozen      whether a step leaves everything that the optimiser trains as it is
    """

    recordable, frozen = True, False

    def __init__(self, net, optimiser, name=""):
        self.net, self.optimiser = net, optimiser
        self._prefix = f"{name}_optimiser_" if name else "optimiser_"

    @property
    def optimisers(self):
        """Returns the optimisers that a step calls."""
        return [] if self.frozen else [self.optimiser]

    @property
    def counters(self):
        """Returns [(object, name of its attribute)] of all that a step counts on the host."""
        return [(optimiser, "steps") for optimiser in self.optimisers]

    def state(self):
        """Returns {name: array} of everything that the next step depends on."""
        named = {f"p{index}": p for index, p in enumerate(self.net.arrays)}
        return named | {self._prefix + name: array for name, array in self.optimiser.state().items()}

    def restore(self, named):
        """Continues from a `state` of host arrays.  Raises ValueError if it belongs to another network."""
        for name, array in BaseLearner.state(self).items():
            found = named[name]
            if found.shape != getattr(array, "shape", ()) or found.dtype != getattr(array, "dtype", found.dtype):
                raise ValueError(f"{name} has shape {found.shape} and type {found.dtype}")
        xp, prefix = array_module(*self.net.arrays), self._prefix
        for index, p in enumerate(self.net.arrays):
            p[...] = xp.asarray(named[f"p{index}"])
        self.optimiser.restore(
            {name[len(prefix) :]: xp.asarray(a) for name, a in named.items() if name.startswith(prefix)}
        )
        self.net.weights_changed()

    def take(self, learners):
        """Continues from the states of `learners`, one per seed; `together` made this learner of them."""
        states = [learner.state() for learner in learners]
        self.restore({name: _stacked([state[name] for state in states]) for name in states[0]})

    def give(self, learners):
        """Returns the state of each seed to the learner that it came from."""
        state = self.state()
        for seed, learner in enumerate(learners):
            learner.restore({name: a[seed] if hasattr(a, "shape") else np.asarray(a) for name, a in state.items()})
        self.net.hand_marks_to([learner.net for learner in learners])

    def finite(self):
        """Returns whether everything trained is a finite number; waits for the device."""
        xp = array_module(*self.net.arrays)
        return bool(xp.stack([xp.isfinite(p).all() for p in self.net.arrays]).all())

    def end_epoch(self):
        """Returns {column: number} of what was counted during the epoch, and starts counting again."""
        return {}


class Watcher:
    """Accompanies a run without changing it: the base of all that measures, draws, logs or asks for an end.

    The loop calls every method of every watcher, in the order of its list; a watcher overrides the methods that
    it needs.
    """

    def wants(self, place):
        """Returns whether `batch` and `moved` are to be called for a batch; asked before each step.

        place  of the batch: (passes before, batches before in this pass)
        """
        own = type(self)
        return own.batch is not Watcher.batch or own.moved is not Watcher.moved

    def batch(self, report):
        """Receives the report of one batch before its update (dfc.gradients.BatchReport)."""

    def moved(self, report):
        """Receives the report of the same batch once more, after its update of the weights."""

    def row(self, net, epoch):
        """Returns {column: number} for the row of the series that is being made.

        A column whose name ends in _loss must stay below LARGEST_LOSS, or else the run has diverged.

        net    the network to measure
        epoch  number of epochs that the row counts
        """
        return {}

    def written(self, series):
        """Receives the series, {column: list of numbers}, whenever it has been written."""

    def stop(self, series):
        """Returns None, or why to stop as part of a sentence; asked after every whole epoch."""

    def flush(self):
        """Writes everything to the disk; called before every checkpoint."""

    def close(self):
        """Closes open files; called when the folder of the run is closed."""

    def summary(self):
        """Returns {entry: value} for the summary of the run (dfc.measures.summary)."""
        return {}

    def state(self):
        """Returns {name: array} for the checkpoint; names of mere measurements begin with "seen_"."""
        return {}

    def restore(self, named):
        """Continues from a checkpoint, {name: host array}; a measurement that it lacks starts anew."""


def _stacked(values):
    """Stacks one array of several seeds' learners; counters are equal for all seeds and stay single numbers."""
    first = values[0]
    return array_module(first).stack(values) if hasattr(first, "shape") else np.asarray(first)
