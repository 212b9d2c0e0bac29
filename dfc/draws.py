"""Draws all random numbers of a run of system 2."""

import copy
import math

import numpy as np

from core.backend import array_module, is_turned
from core.device_kernels import NORMALS
from core.streams import PUBLISHED_INITIALISERS, fill_normals, noise_key, noise_stream, place_number, stream

# This place is beyond all layers of a teacher.
SPLIT = 1 << 20


class Draws:
    """Makes all draws of one seed; each depends only on its purpose and place, so a run can go on anywhere.

    seed        --random_seed
    backend     core.backend.Backend
    host_noise  whether noise is drawn on the host even if the run is on a GPU

    on_device   whether noise is drawn on the GPU
    """

    def __init__(self, seed, backend, host_noise=False):
        self.seed, self.backend = seed, backend
        self.on_device = draws_on_device(backend, host_noise)
        self._key = backend.bytes(np.array(noise_key(seed))) if self.on_device else None

    def weights(self, kind, layer, n_out, n_in):
        """Returns the initial W of a layer: float64 (n_out, n_in), on the host.

        kind  a name in PUBLISHED_INITIALISERS
        """
        return PUBLISHED_INITIALISERS[kind](stream(self.seed, "init", layer), n_out, n_in)

    def feedback(self, kind, layer, n_out, n_in, epoch=0):
        """Returns the initial Q of a layer: float64 (n_out, n_in), on the host.

        kind   a name in PUBLISHED_INITIALISERS
        epoch  distinguishes the Q that are drawn anew by --reset_K
        """
        return PUBLISHED_INITIALISERS[kind](stream(self.seed, "feedback", layer, epoch), n_out, n_in)

    def feedback_noise(self, layer, shape, epoch=0):
        """Returns standard normals of the given shape, to be added to a Q that is a product of weights."""
        return stream(self.seed, "feedback", layer, epoch).standard_normal(shape)

    def teacher(self, layer, n_out, n_in):
        """Returns a weight matrix (n_out, n_in) of the teacher of student_teacher."""
        return PUBLISHED_INITIALISERS["teacher"](stream(self.seed, "data", layer), n_out, n_in)

    def split(self, count):
        """Returns the order (count,) of the training images, for a validation set that depends on the seed.

        The last images in this order are held out for validation.
        """
        return stream(self.seed, "data", SPLIT).permutation(count)

    def order(self, passed, count):
        """Returns the order (count,) of the samples in a pass, on the device; `passed` passes precede it."""
        return self.backend.bytes(stream(self.seed, "shuffle", passed).permutation(count))

    def noise(self, place, part):
        """Returns the noise of part `part` of a batch, an object for dfc.simulation.simulate.

        place  of the batch: (passes before, batches before in this pass)
        """
        if self.on_device:
            return DeviceNoise(self._key, place, part)
        if not isinstance(place, tuple):
            raise NotImplementedError("noise of the host cannot be recorded")
        return Noise((self.seed, *place, part), self.backend)


def draws_on_device(backend, host_noise):
    """Returns whether a run draws its noise on a GPU."""
    return backend.device is not None and not host_noise


class Noise:
    """Draws the noise of one part of a batch on the host, for dfc.simulation.simulate.

    key      (seed, passes, batches, part)
    backend  core.backend.Backend
    """

    def __init__(self, key, backend):
        self.backend = backend
        self._key, self._generator = key, noise_stream(*key)
        self._room = self._like = None

    def fill(self, steps, like):
        """Returns normals for `steps` time points: one array (steps, n, n_l) per array (n, n_l) of `like`.

        They have the dtype and the memory order of `like`. The next call reuses the arrays.
        """
        if self._room is None or len(self._room[0]) < steps:
            self._room = room_for((steps,), like)
        filled = [room[:steps] for room in self._room]
        self.draw(filled)
        return [self.backend.bytes(each) for each in filled]

    def draw(self, arrays):
        """Fills host arrays (steps, n, n_l), which `room_for` made for some layers, with the next normals."""
        self._like = [each[0] for each in arrays]
        for each in arrays:
            fill_normals(self._generator, each.swapaxes(-1, -2) if is_turned(each) else each)

    def again(self, rows):
        """Returns the same noise from its beginning, for some rows of the simulation alone.

        rows  indices of these rows
        """
        return SomeNoise(Noise(self._key, self.backend), rows, self._like)


class DeviceNoise:
    """Draws noise on a GPU: other numbers than Noise, of the same distribution.

    Each normal is a function of seed, place and part, and of its position in the sequence that is drawn there
    (core.device_kernels.NORMALS).

    key    noise_key of the seed, on the device; for several seeds (S,)
    place  (passes, batches) before the batch, or their core.streams.place_number on the device
    part   number of the part of the batch, below 2^16
    """

    def __init__(self, key, place, part):
        self._key = key
        # A graph reads the place from the device.
        self._place = (place_number(place) if isinstance(place, tuple) else place) + part
        self._room, self._drawn = None, 0

    def fill(self, steps, like):
        """Returns standard normals as Noise and NoiseOfSeeds do: (steps, n, n_l), or (steps, S, n, n_l).

        The next call reuses the arrays.
        """
        if self._room is None or self._room[0].shape[-3] < steps:
            self._room = room_for((*self._key.shape, steps), like, array_module(self._key))
        filled, key = [room[..., :steps, :, :] for room in self._room], self._key[..., None, None, None]
        for each in filled:
            size = math.prod(each.shape[-3:])
            NORMALS(key, self._place, self._drawn, size, each.swapaxes(-1, -2) if is_turned(each) else each)
            self._drawn += size
        return [each.swapaxes(0, 1) for each in filled] if self._key.ndim else filled

    @staticmethod
    def together(sources):
        """Returns the noise of several seeds at one place."""
        first = sources[0]
        whole = copy.copy(first)
        whole._key = array_module(first._key).empty(len(sources), dtype=first._key.dtype)
        for seed, source in enumerate(sources):
            whole._key[seed] = source._key
        return whole


def room_for(axes, like, xp=np):
    """Returns empty arrays with leading `axes`, and the last two axes and the memory order of `like`.

    axes  shape of the leading axes
    like  list of arrays whose last two axes are (n, n_l)
    xp    array module of the new arrays
    """
    turned = [is_turned(each) for each in like]
    shapes = [each.shape[:-3:-1] if turn else each.shape[-2:] for each, turn in zip(like, turned, strict=True)]
    rooms = [xp.empty((*axes, *shape), dtype=each.dtype) for shape, each in zip(shapes, like, strict=True)]
    return [room.swapaxes(-1, -2) if turn else room for room, turn in zip(rooms, turned, strict=True)]


class SomeNoise:
    """Gives the noise of some rows of a simulation, which is drawn for all rows."""

    def __init__(self, noise, rows, like):
        self._noise, self._rows, self._like = noise, rows, like

    def fill(self, steps, like):
        """Returns one array (steps, rows, n_l) per layer, see Noise.fill."""
        return [each[:, self._rows] for each in self._noise.fill(steps, self._like)]


class NoiseOfSeeds:
    """Gives the noise of several seeds, each drawn as if its seed were alone.

    sources  one Noise per seed
    """

    def __init__(self, sources):
        self._sources, self._room = sources, None

    def fill(self, steps, like):
        """Returns standard normals as Noise does, arrays (steps, S, n, n_l) for arrays (S, n, n_l) of `like`.

        The next call reuses the arrays.
        """
        if self._room is None or self._room[0].shape[1] < steps:
            self._room = room_for((len(self._sources), steps), like)
        filled = [room[:, :steps] for room in self._room]
        for seed, source in enumerate(self._sources):
            source.draw([each[seed] for each in filled])
        return [self._sources[0].backend.bytes(each).swapaxes(0, 1) for each in filled]

    def of(self, seed):
        """Returns the Noise of one seed; `seed` is (s,)."""
        (number,) = seed
        return self._sources[number]


def noise_of_seeds(sources):
    """Returns the noise of several seeds at one place, from a list with that of each seed."""
    return (DeviceNoise.together if isinstance(sources[0], DeviceNoise) else NoiseOfSeeds)(sources)
