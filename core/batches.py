"""What a training pass reads, batch by batch, on the device of the run: images that stay bytes, or rows of numbers."""

import numpy as np

MEAN_AND_SPREAD = {  # of a pixel in [0, 1], as the published program has them
    "mnist": (0.1307, 0.3081),
    "mnist_autoencoder": (0.1307, 0.3081),
    "fashion_mnist": (0.0, 1.0),
    "cifar10": (0.5, 0.5),
}


def published_table(dataset):
    """The input that the published Deep Feedback Control program makes of each pixel value p: (p / 255 - mean) / spread.

    Every step is rounded to float32, whatever the float type of the run: in float64 the same formula differs by up to 3e-7.

    dataset  a key of MEAN_AND_SPREAD
    Returns  float32 (256,), host
    """
    mean, spread = map(np.float32, MEAN_AND_SPREAD[dataset])
    return (np.arange(256, dtype=np.float32) / np.float32(255) - mean) / spread


class Images:
    """Labelled images that stay bytes until they are used.

    pixels       (n, p) uint8, host
    labels       (n,) int64, host
    table        (256,) floats, host: the input that stands for each pixel value
    backend      core.backend.Backend
    reconstruct  whether the target of an image is the image itself
    """

    def __init__(self, pixels, labels, table, backend, reconstruct=False):
        self.pixels = backend.bytes(pixels)
        self.labels = backend.bytes(labels)
        self.table = backend.floats(table)
        self.reconstruct = reconstruct
        self._xp = backend.xp
        # Scratch for the largest batch so far: a new array of this size for every batch costs as much as the look-up.
        self._indices = self._xp.empty((0, self.pixels.shape[1]), dtype=np.intp)

    def __len__(self):
        return len(self.pixels)

    def batch(self, chosen):
        """(inputs (m, p) in the run's float type, targets: labels (m,) int64, or the inputs themselves if `reconstruct`).

        chosen  a slice, or whole numbers (m,) on the host or the device, in any order
        """
        chosen = _on_device(chosen, self._xp)
        pixels = self.pixels[chosen]
        count = len(pixels)
        if count > len(self._indices):
            self._indices = self._xp.empty(pixels.shape, dtype=np.intp)
        indices = self._indices[:count]
        indices[...] = pixels
        inputs = self.table.take(indices)
        return inputs, inputs if self.reconstruct else self.labels[chosen]


class Arrays:
    """Inputs and targets that are numbers.

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

    def batch(self, chosen):
        """(inputs (m, p), targets (m, q)) in the run's float type; of a slice they are views, not to be written to.

        chosen  a slice, or whole numbers (m,) on the host or the device, in any order
        """
        chosen = _on_device(chosen, self._xp)
        return self._xp.ascontiguousarray(self.x[chosen]), self._xp.ascontiguousarray(self.y[chosen])


def _on_device(chosen, xp):
    return chosen if isinstance(chosen, slice) else xp.asarray(chosen)
