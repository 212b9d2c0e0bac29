"""Streams and CUDA graphs of the stand-in for cupy (strict_cupy.py): what is recorded is made only by a launch.

While a stream records, an operation is not carried out: its result is room of the right shape, full of NaN or of large
numbers, and the operation waits in a list. A launch carries out the list. So a number that was read from the host while
recording stays what it was then, as in a graph of CUDA. A launch refuses to use memory that has been given back since,
and which cupy would have handed to others.
"""

import contextlib
import weakref

import numpy as np

from core import together
from tests.faults.tiny_main import RULES, VARIANTS, checkpoint, results

# What a step may depend on besides its rule: the place of the batch (noise), counts (Adam), what is measured, what
# stands still, and clipping.
MORE = {
    "plain": (),
    "Adam": ("--optimizer=Adam", "--lr=1e-5"),
    "Adam of Q": ("--optimizer_fb=Adam", "--lr_fb=1e-5"),
    "RMSprop": ("--optimizer=RMSprop", "--momentum=0.5", "--lr=1e-6"),
    "noisy": ("--noisy_dynamics", "--sigma=1e-4"),
    "clipped": ("--clip_grad_norm=0.01",),
    "frozen": ("--freeze_forward_weights",),
    "measured": ("--save_BP_angle",),
    "special": ("--fb_learning_rule=special_controller",),
    "memory-saving": ("--efficient_controller",),
}
SEEDS = ("--seeds=3,5,4",)
# (rule, name in MORE, flags of the seeds)
RUNS = [
    *((rule, "plain", ()) for rule in VARIANTS),
    *((rule, more, ()) for rule in RULES for more in MORE if more != "plain"),
    *((rule, more, SEEDS) for rule in RULES for more in ("plain", "Adam", "noisy")),
]


class Unrecordable(AssertionError):
    """What CUDA would do without an error, and what would be wrong: to copy from a host array that is gone, or to use
    memory that is."""


class Recorder:
    """What one stand-in records.

    recording  the operations recorded so far; None while nothing is recorded
    pool       the MemoryPool that new arrays are taken from; None: the one that everybody uses
    """

    def __init__(self):
        self.recording = self.pool = None
        # For the address of every memory: [number of device arrays in it, its pool].
        self._uses, self._used = {}, {}

    def begin(self):
        self.recording, self._used = [], {}

    def end(self):
        """(operations, memory that they use) of what was recorded."""
        recorded, self.recording = self.recording, None
        return recorded, self._used

    def born(self, array):
        """Notes a new device array, whose numbers are in a host array."""
        uses = self._uses.setdefault(id(_memory(array)), [0, self.pool and weakref.ref(self.pool)])
        uses[0] += 1

    def gone(self, array):
        """Notes the end of a device array."""
        place = id(_memory(array))
        self._uses[place][0] -= 1
        if not self._uses[place][0]:
            del self._uses[place]

    def perform(self, compute, writes, arrays):
        """The result of compute(), or while recording: the room for it.

        writes  whether it writes to arrays that it was given, and returns nothing of interest
        arrays  the host arrays that it reads and writes
        """
        if self.recording is None:
            return compute()
        for memory in map(_memory, arrays):
            self._used[id(memory)] = memory, self._uses[id(memory)]
        if writes:
            self.recording.append(compute)
            return None
        result = np.array(compute())
        if result.dtype != bool:
            result.fill(np.nan if result.dtype.kind == "f" else 101)
        self.recording.append(lambda: result.__setitem__(..., compute()))
        return result


def arrays_in(arguments):
    """The host arrays among arguments, which may be lists of lists."""
    if not isinstance(arguments, tuple | list):
        return [arguments] if isinstance(arguments, np.ndarray) else []
    return [array for each in arguments for array in arrays_in(each)]


def _memory(array):
    """The array that owns the memory of a host array."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def cuda_parts(gpu):
    """{name: part of cupy.cuda} of a stand-in."""

    def memory(size):
        if gpu.shortages:
            gpu.shortages -= 1
            raise RuntimeError("cudaErrorMemoryAllocation: out of memory")

    class MemoryPool:
        def __init__(self, allocator=memory):
            self._allocator = allocator

        def malloc(self, size):
            try:
                return self._allocator(size)
            except RuntimeError:
                # Here cupy gives back what is free in the pool.
                return self._allocator(size)

    class Graph:
        def __init__(self, operations, used):
            self._operations, self._used = operations, used

        def launch(self, stream=None):
            gpu.count("graph")
            for memory, (arrays, pool) in self._used.values():
                if not arrays and (pool is None or pool() is None):
                    raise Unrecordable(f"a graph uses memory {memory.shape} {memory.dtype} that was given back")
            for operation in self._operations:
                operation()

    class Stream:
        ptr = 1

        def use(self):
            pass

        def begin_capture(self, mode=None):
            gpu.recorder.begin()

        def is_capturing(self):
            return gpu.recorder.recording is not None

        def end_capture(self):
            return Graph(*gpu.recorder.end())

    @contextlib.contextmanager
    def using_allocator(malloc):
        before, gpu.recorder.pool = gpu.recorder.pool, malloc.__self__
        try:
            yield
        finally:
            gpu.recorder.pool = before

    current = Stream()
    return {
        "Stream": lambda: current,
        "get_current_stream": lambda: current,
        "Memory": memory,
        "MemoryPointer": lambda memory, offset: memory,
        "MemoryPool": MemoryPool,
        "using_allocator": using_allocator,
    }


class RecordableBlas:
    """Takes the place of core.cublas.CupyBlas where a stand-in plays a GPU whose cuBLAS can be called."""

    def __init__(self, gpu):
        self._gpu = gpu

    def product(self, a, b, out=None, add=False):
        with self._gpu.recordable():
            if not add:
                return self._gpu.cupy.matmul(a, b, out=out)
            out += self._gpu.cupy.matmul(a, b)
            return out

    def solve(self, matrices, right):
        with self._gpu.recordable():
            return self._gpu.cupy.linalg.solve(matrices, right[..., None])[..., 0]


class AsWritten:
    """Takes the place of core.replay.Replay: every step is made as it is written."""

    def __init__(self, learner, batch):
        self._learner, self._batch = learner, batch

    def step(self, rows, place):
        self._learner.step(*self._batch(rows), place)


def both(monkeypatch, folder, train, seeds):
    """(exit status, files of the runs) of train(folder of the runs), with recorded steps and with steps as written."""

    def trained(place):
        status = train(place)
        runs = sorted(place.glob("seed_*")) if seeds else [place]
        return status, [(results(run), checkpoint(run)) for run in runs if status == 0]

    recorded = trained(folder / "recorded")
    monkeypatch.setattr(together, "Replay", AsWritten)
    return recorded, trained(folder / "written")
