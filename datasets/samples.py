"""Stores samples, as bytes of images or as rows of numbers, and returns batches on the device of the run."""

import threading

import numpy as np

from utils import one_hot


def divided_table(largest, dtype):
    """Returns the input of run.py for each pixel value p: p / largest, rounded once to the float type.

    largest  the largest pixel of the training images
    Returns  (256,) of `dtype`, host
    """
    return np.arange(256, dtype=dtype) / float(largest)


def published_table(mean, spread):
    """Returns the input of the published DFC program for each pixel value p: (p / 255 - mean) / spread.

    Every step is rounded to float32 for any float type of the run: in float64 the same formula differs by up to
    3e-7.

    mean, spread  of a pixel in [0, 1]
    Returns       float32 (256,), host
    """
    return (np.arange(256, dtype=np.float32) / np.float32(255) - np.float32(mean)) / np.float32(spread)


class Images:
    """Holds labelled images, which stay bytes until they are used.

    pixels   (n, p) uint8, host
    labels   (n,) int64, host
    table    (256,) floats, host: the input for each pixel value
    backend  core.backend.Backend
    targets  the targets of a batch: "labels", "one_hot" rows, or "inputs", the images themselves
    classes  number of classes
    """

    def __init__(self, pixels, labels, table, backend, targets="labels", classes=10):
        self.pixels = backend.bytes(pixels)
        self.labels = backend.bytes(labels)
        self.table = backend.floats(table)
        self.targets, self.classes = targets, classes
        self._xp = backend.xp
        # On a CPU each thread keeps scratch for its largest batch: a new array of this size per batch costs as much as
        # the look-up.
        self._scratch = threading.local()

    def __len__(self):
        return len(self.pixels)

    @property
    def nbytes(self):
        """Returns the bytes of images and labels."""
        return self.pixels.nbytes + self.labels.nbytes

    def inputs(self, chosen=np.s_[:]):
        """Returns the inputs (m, p) of some of the images, in the run's float type.

        chosen  a slice, or whole numbers (m,) on the device, in any order
        """
        pixels = self.pixels[chosen]
        if self._xp is not np:
            # A larger batch would replace scratch that the graph of a pass uses (core/replay.py).
            return self.table.take(pixels.astype(np.intp))
        indices = getattr(self._scratch, "indices", None)
        if indices is None or len(pixels) > len(indices):
            indices = self._scratch.indices = self._xp.empty(pixels.shape, dtype=np.intp)
        indices = indices[: len(pixels)]
        indices[...] = pixels
        return self.table.take(indices)

    def batch(self, chosen=np.s_[:]):
        """Returns (inputs (m, p), targets) of some of the images.

        chosen   a slice, or whole numbers (m,) on the host or the device, in any order
        Returns  targets are labels (m,) int64, one-hot rows (m, classes), or the inputs themselves
        """
        chosen = _on_device(chosen, self._xp)
        inputs = self.inputs(chosen)
        if self.targets == "inputs":
            return inputs, inputs
        labels = self.labels[chosen]
        return inputs, labels if self.targets == "labels" else one_hot(labels, self.classes, inputs.dtype)


class Arrays:
    """Holds inputs and targets that are numbers.

    x        (n, p), host
    y        (n, q), host
    backend  core.backend.Backend
    """

    def __init__(self, x, y, backend):
        self.x = backend.floats(x)
        self.y = backend.floats(y)
        self._xp = backend.xp

    def __len__(self):
        return len(self.x)

    @property
    def nbytes(self):
        """Returns the bytes of inputs and targets."""
        return self.x.nbytes + self.y.nbytes

    def batch(self, chosen):
        """Returns (inputs (m, p), targets (m, q)) in the run's float type.

        For a slice they are views, which must not be written to.

        chosen  a slice, or whole numbers (m,) on the host or the device, in any order
        """
        chosen = _on_device(chosen, self._xp)
        return self._xp.ascontiguousarray(self.x[chosen]), self._xp.ascontiguousarray(self.y[chosen])


def _on_device(chosen, xp):
    return chosen if isinstance(chosen, slice) else xp.asarray(chosen)
