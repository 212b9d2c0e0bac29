"""The random numbers of the published Deep Feedback Control program on a CPU in float64, in numpy (dfc.md M).

Stands in for a numpy.random.Generator wherever a test repeats a published run: weights, order of the samples, noise.
"""

import math

import numpy as np

# Normals are made in blocks of so many, in arrays of at least so many.
BLOCK = 16


class PublishedStream:
    """The generator after it was seeded with `seed`: MT19937 with the classic integer seeding."""

    def __init__(self, seed):
        self._words = np.random.RandomState(seed % 2**32)
        # It holds the second normal of the last pair of the scalar route.
        self._spare = None

    def random32(self, count):
        """`count` words of 32 bits."""
        return self._words.randint(0, 2**32, size=count, dtype=np.uint32).astype(np.uint64)

    def random64(self, count):
        """`count` words of 64 bits, each the high half first."""
        halves = self.random32(2 * count)
        return halves[0::2] << np.uint64(32) | halves[1::2]

    def random(self, count):
        """`count` numbers uniform in [0, 1)."""
        return (self.random64(count) % np.uint64(2**53)).astype(np.float64) / 2.0**53

    def uniform(self, low, high, shape):
        """Numbers uniform in [low, high), of the given shape."""
        return (self.random(math.prod(_tuple(shape))) * (high - low) + low).reshape(shape)

    def standard_normal(self, shape):
        """Standard normals of the given shape."""
        count = math.prod(_tuple(shape))
        if count < BLOCK:
            return np.array([self._one_normal() for _ in range(count)]).reshape(shape)
        uniforms = self.random(count)
        whole = count - count % BLOCK
        z = np.empty(count)
        z[:whole] = _normals_of_blocks(uniforms[:whole])
        if whole < count:
            z[-BLOCK:] = _normals_of_blocks(self.random(BLOCK))
        return z.reshape(shape)

    def _one_normal(self):
        if self._spare is not None:
            z, self._spare = self._spare, None
            return z
        a, b = self.random(2)
        radius, angle = math.sqrt(-2.0 * math.log1p(-b)), 2.0 * math.pi * a
        self._spare = radius * math.sin(angle)
        return radius * math.cos(angle)

    def permutation(self, count):
        """A random order of range(count)."""
        order = np.arange(count)
        words = self.random32(max(count - 1, 0)) % np.arange(count, 1, -1, dtype=np.uint64)
        for i, z in enumerate(words.astype(np.int64)):
            order[i], order[i + z] = order[i + z], order[i]
        return order

    def begin_pass(self, count, shuffle):
        """The order in which a loader of `count` samples hands them out, with what its
        creation and first batch draw."""
        # It is a base seed for worker processes, of which there are none.
        self.random64(1)
        if not shuffle:
            return np.arange(count)
        return PublishedStream(int(self.random64(1)[0]) % 2**63).permutation(count)


def _tuple(shape):
    return shape if isinstance(shape, tuple) else (shape,)


def _normals_of_blocks(uniforms):
    blocks = uniforms.reshape(-1, 2, BLOCK // 2)
    radius, angle = np.sqrt(-2.0 * np.log(1.0 - blocks[:, 0])), 2.0 * math.pi * blocks[:, 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)
