"""Repeats the steps of a learner on a GPU as a CUDA graph: one call starts all launches of a step.

A step is recorded once per pass. What differs from step to step is read from the device: the samples of the batch, the
numbers that an optimiser computes from its count of steps, and the place of the batch, which the noise depends on.
"""

import contextlib
import functools

import numpy as np

from core.backend import array_module
from core.streams import place_number

# CUDA holds about a thousand launches that are not yet made.
AHEAD = 1024


class Replay:
    """Makes the steps of a learner in one pass: the first as it is written, the others from a recorded graph.

    Steps of another number of samples, and all steps of a learner that cannot be recorded, are made as they are
    written. The bits are the same.

    learner  core.roles.BaseLearner
    batch    function (list of one array of sample numbers per seed) -> [inputs, targets], on the device
    """

    def __init__(self, learner, batch):
        self._learner, self._batch = learner, batch
        self._xp = array_module(*learner.net.arrays)
        # What a graph reads and writes between its launches stays where it was when it was recorded.
        self._pool = self._xp.cuda.MemoryPool(functools.partial(_memory, self._xp))
        self._size = self._rows = self._varying = self._graph = None
        self._more, self._recordable = [], learner.recordable

    def step(self, rows, place):
        """Makes one step.

        rows   per seed a slice with start and stop, or an array of sample numbers (m,) on the device
        place  of the batch: (passes before, batches before in this pass)
        """
        size = _length(rows[0])
        if self._size is None:
            self._size = size
            # This step compiles kernels, and makes arrays that later steps use again.
            with self._xp.cuda.using_allocator(self._pool.malloc):
                self._learner.step(*self._batch(rows), place)
        elif size == self._size and self._recordable and (self._graph or self._record(rows)):
            self._launch(rows, place)
        else:
            self._learner.step(*self._batch(rows), place)

    def _launch(self, rows, place):
        learner = self._learner
        for fixed, chosen in zip(self._rows, rows, strict=True):
            fixed[...] = self._numbered(chosen)
        self._count([count + more for count, more in zip(self._counts, self._more, strict=True)])
        self._varying.send(place)
        self._graph.launch(self._xp.cuda.get_current_stream())
        learner.net.weights_changed()

    def _record(self, rows):
        """Records a step with as many samples as `rows`, which is not made.  Returns whether it worked."""
        learner, before = self._learner, self._counts
        self._rows = [self._numbered(chosen).copy() for chosen in rows]
        self._varying = Varying(self._xp, learner)
        try:
            self._graph = self._captured(lambda: learner.step(*self._batch(self._rows), self._varying.place))
        except (NotImplementedError, RuntimeError, MemoryError):
            # A library refuses to be recorded, or memory is short.
            self._recordable = False
        finally:
            self._more = [now - then for now, then in zip(self._counts, before, strict=True)]
            self._count(before)
            learner.net.weights_changed()
        return self._recordable

    @property
    def _counts(self):
        return [getattr(owner, name) for owner, name in self._learner.counters]

    def _count(self, counts):
        for (owner, name), count in zip(self._learner.counters, counts, strict=True):
            setattr(owner, name, count)

    def _numbered(self, chosen):
        return self._xp.arange(chosen.start, chosen.stop) if isinstance(chosen, slice) else chosen

    def _captured(self, act):
        """Returns the graph of everything that act() starts."""
        stream = self._xp.cuda.get_current_stream()
        with self._xp.cuda.using_allocator(self._pool.malloc), self._varying.read():
            # In this mode the pool may ask the device for more memory meanwhile.
            stream.begin_capture(self._xp.cuda.runtime.streamCaptureModeRelaxed)
            try:
                act()
            except BaseException:
                # What was recorded so far is dropped; it may be too little to end the recording without an error.
                with contextlib.suppress(RuntimeError):
                    stream.end_capture()
                raise
            return stream.end_capture()


def _memory(xp, size):
    """Returns `size` bytes of new memory for a pool of cupy.

    Raises  MemoryError if there is no more while a graph is recorded. After any other error the pool would give back
            what is free in it, although the graph uses that, and try again
    """
    try:
        return xp.cuda.MemoryPointer(xp.cuda.Memory(size), 0)
    except RuntimeError as error:
        if xp.cuda.get_current_stream().is_capturing():
            raise MemoryError(str(error)) from error
        raise


def _length(chosen):
    return chosen.stop - chosen.start if isinstance(chosen, slice) else len(chosen)


class Varying:
    """Holds on the device what differs between the steps of a learner, and is a number on the host otherwise.

    place  of the batch, see `place_number`: uint64 (1,)
    """

    def __init__(self, xp, learner):
        self._optimisers, dtype = learner.optimisers, learner.net.arrays[0].dtype
        count, self._sent = len(self._numbers()), 0
        # One row per step. CUDA may read a row after `set` has returned, and the host is less than AHEAD steps ahead.
        self._host = np.empty((AHEAD, 1 + -(-count * dtype.itemsize // 8)), dtype=np.uint64)
        self._floats = self._host[:, 1:].view(dtype)[:, :count]
        self._device = xp.empty(self._host.shape[1:], dtype=np.uint64)
        self.place, floats = self._device[:1], self._device[1:].view(dtype)
        self._held = iter([floats[i : i + 1] for i in range(count)])

    def _numbers(self):
        return [number for optimiser in self._optimisers for numbers in optimiser.numbers for number in numbers]

    @contextlib.contextmanager
    def read(self):
        """Lets the optimisers read their numbers from the device, until the block ends."""
        for optimiser in self._optimisers:
            optimiser.held = [[next(self._held) for _ in numbers] for numbers in optimiser.numbers]
        try:
            yield
        finally:
            for optimiser in self._optimisers:
                optimiser.held = None

    def send(self, place):
        """Copies the numbers of the next step to the device, whose place is (passes before, batches before)."""
        row = self._sent % AHEAD
        self._sent += 1
        self._host[row, 0] = place_number(place)
        self._floats[row] = self._numbers()
        # So few bytes are copied without waiting.
        self._device.set(self._host[row])
