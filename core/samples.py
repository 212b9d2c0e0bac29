"""Images and labels as a rule wants them: rows of the run's float type, made from bytes batch by batch."""

import numpy as np

from utils import one_hot


class Samples:
    """Labelled images that stay bytes until they are used.

    images   (n, pixels) uint8, host
    labels   (n,) int64, host
    classes  number of classes
    scale    number that a pixel is divided by
    backend  core.backend.Backend
    """

    def __init__(self, images, labels, classes, scale, backend):
        self.images = backend.bytes(images)
        self.labels = backend.bytes(labels)
        self.classes = classes
        self.scale = float(scale)
        self.dtype = backend.dtype

    def __len__(self):
        return len(self.images)

    def inputs(self, chosen=np.s_[:]):
        """Scaled images (n, pixels) of a slice of the samples."""
        x = self.images[chosen].astype(self.dtype)
        x /= self.scale
        return x

    def batch(self, chosen=np.s_[:]):
        """(inputs (n, pixels), one-hot targets (n, classes)) of a slice of the samples."""
        return self.inputs(chosen), one_hot(self.labels[chosen], self.classes, self.dtype)
