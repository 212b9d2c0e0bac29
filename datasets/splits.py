"""Holds out the validation images of the published Deep Feedback Control program, the same for every seed."""

import numpy as np

# The published program does not seed its generator, which then starts from this number.
SEED = 67280421310721 % 2**32


def train_validation_split(count, validation, order=None):
    """Splits `count` training images at random, but in the same way in every run.

    The published program never seeds this draw. The images are permuted by r = 0..count-1; for i = 0..count-2:
    swap r[i] with r[i + z_i mod (count - i)], z_i the 32-bit words of MT19937 seeded with 67280421310721 mod
    2^32; the last `validation` of r are held out.

    order    another order r of the images (count,); None: the published one
    Returns  (training indices (count - validation,), validation indices (validation,)), int64, in the order of r
    Raises   ValueError unless 0 <= validation <= count
    """
    if not 0 <= validation <= count:
        raise ValueError(f"{validation} of {count} images cannot be held out for validation")
    if order is not None:
        return order[: count - validation], order[count - validation :]
    words = np.random.RandomState(SEED).randint(0, 2**32, size=count, dtype=np.uint32)
    # A list, because single entries of an array are slow to access.
    order = list(range(count))
    for i, step in enumerate((words % np.arange(count, 0, -1)).tolist()):
        order[i], order[i + step] = order[i + step], order[i]
    order = np.array(order, dtype=np.int64)
    return order[: count - validation], order[count - validation :]
