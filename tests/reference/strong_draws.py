"""The random numbers of the published Strong-DFC program, all from one stream that its seed
begins (strong_dfc.md 11)."""

from functools import cached_property
from itertools import pairwise

import numpy as np

from core.streams import PUBLISHED_INITIALISERS
from tests.feedback_nets_for_tests import GivenNoise
from tests.reference.published_stream import PublishedStream
from tests.reference.test_replay import PublishedNoise


class PublishedDraws:
    """dfc.draws.Draws with the published random numbers, drawn in the order of the program.

    settings      flags of main.py by name
    sizes         (n_0, …, n_L)
    phase         function (passes before) -> (name of this pass, passes of this name before)
    follows_test  function (passes before) -> whether an epoch has ended before this pass, so that the network was
                  evaluated
    """

    on_device = False

    def __init__(self, settings, sizes, phase, follows_test=lambda passed: False):
        self.settings, self.sizes, self.phase, self.follows_test = settings, sizes, phase, follows_test
        self.stream, self.orders, self.drawn, self.last = PublishedStream(settings.random_seed), [], {}, None
        self.student = settings.dataset == "student_teacher"
        self.teachers = {name: self._teacher() for name in ("test", "train", "val") if self.student}

    def _draw(self, kind, n_out, n_in):
        return PUBLISHED_INITIALISERS[kind](self.stream, n_out, n_in)

    def _teacher(self):
        sizes = (self.sizes[0], *self.settings.teacher_size_hidden, self.sizes[-1])
        return [self._draw("teacher", n_out, n_in) for n_in, n_out in pairwise(sizes)]

    def split(self, count):
        return self.stream.permutation(count)

    @cached_property
    def matrices(self):
        """{("W" or "Q", layer): initial matrix}; that of the output layer, and weight products, are
        drawn too, and replaced."""
        settings, found = self.settings, {}
        kind_of_q = (
            settings.initialization_K if settings.initialization_K != "weight_product" else settings.initialization
        )
        for layer, (n_in, n_out) in enumerate(pairwise(self.sizes)):
            found["W", layer] = self._draw(settings.initialization, n_out, n_in)
            if settings.rule.feedback != "none":
                found["Q", layer] = self._draw(kind_of_q, n_out, self.sizes[-1])
        return found

    def weights(self, kind, layer, n_out, n_in):
        return self.matrices["W", layer]

    def feedback(self, kind, layer, n_out, n_in, epoch=0):
        return self.matrices["Q", layer]

    def feedback_noise(self, layer, shape, epoch=0):
        return self.stream.standard_normal(shape)

    def order(self, passed, count):
        if self.follows_test(passed):
            self.stream.begin_pass(0, shuffle=False)
            if not self.settings.no_val_set:
                self.stream.begin_pass(0, shuffle=self.student)
        self.orders.append(self.stream.begin_pass(count, shuffle=True))
        return self.orders[-1]

    def noise(self, place, part):
        """New noise, or once more that of the last batch, which is simulated again to be measured."""
        assert part == 0, "the published program draws for a whole batch at once"
        kept = self.drawn.setdefault(self.phase(place[0])[0], [])
        if place == self.last:
            return GivenNoise(kept[-1])
        self.last = place
        return KeptNoise(self.stream, kept)


class KeptNoise(PublishedNoise):
    """Published noise, which `kept` collects: for every batch a list of arrays (steps, n, n_l)."""

    def __init__(self, stream, kept):
        super().__init__(stream, from_the_input=True)
        self.kept = kept

    def fill(self, steps, like):
        self.kept.append(super().fill(steps, like))
        return self.kept[-1]


def in_full_batches(batches, layer, rows):
    """The noise of one layer of all batches in one array, with NaN where a short batch has no sample."""
    drawn = [batch[layer] for batch in batches]
    filled = [np.full((len(each), rows, each.shape[-1]), np.nan) for each in drawn]
    for whole, part in zip(filled, drawn, strict=True):
        whole[:, : part.shape[1]] = part
    return np.stack(filled)
