"""Defines the base class of all learners."""

import numpy as np

from core.backend import array_module


class BaseLearner:
    """Holds a network and its optimiser, and saves both: the base class of all learners.

    net        anything with a list `arrays` of everything that is trained, and `weights_changed()`
    optimiser  core.optimisers.Optimiser
    name       distinguishes the learners of one network in a checkpoint
    """

    def __init__(self, net, optimiser, name=""):
        self.net, self.optimiser = net, optimiser
        self._prefix = f"{name}_optimiser_" if name else "optimiser_"

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
        self.optimiser.restore({name[len(prefix) :]: xp.asarray(a) for name, a in named.items() if name.startswith(prefix)})
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


def _stacked(values):
    """Stacks one array of several seeds' learners; counters are equal for all seeds and stay single numbers."""
    first = values[0]
    return array_module(first).stack(values) if hasattr(first, "shape") else np.asarray(first)
