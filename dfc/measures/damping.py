"""Searches the damping of the minimum-norm updates, for --gn_damping_hpsearch (docs/published/dfc.md G.10)."""

from dataclasses import dataclass

import numpy as np

from core.angles import angle
from core.files import write_text
from core.roles import Watcher
from dfc.measures.angles import gnt_update
from dfc.measures.observation import to_floats

# These values are tried.
DAMPINGS = (0.0, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)
# Number of epochs before the search.
SEARCH_AFTER = 3


class SearchThenStop(Watcher):
    """Searches gn_damping after the third epoch, in one pass in file order without updates, and ends the run.

    It writes optimal_gnt_damping_constant.txt and the summary entry gn_damping_values.
    """

    def __init__(self, settings, system, samples, batches, folder):
        self.settings, self.learner, self.samples = settings, system.learner, samples
        self.batches, self.folder = batches, folder
        self._passed = system.plan.passes(SEARCH_AFTER)
        self._found = {}

    def stop(self, series):
        """Searches after the third epoch; returns why the run ends, or None before."""
        if len(series["epoch"]) != SEARCH_AFTER:
            return None
        found = search_damping(self.learner.net, self._logged_batches())
        write_text(self.folder / "optimal_gnt_damping_constant.txt", found.text)
        self._found = {"gn_damping_values": found.best}
        return f"as --gn_damping_hpsearch asks: {found.best:g} is best, see optimal_gnt_damping_constant.txt"

    def summary(self):
        """Returns {"gn_damping_values": best damping} after the search, else {}."""
        return self._found

    def _logged_batches(self):
        size = self.settings.batch_size
        for number in range(0, self.batches, self.settings.log_interval):
            batch = self.samples.batch(slice(number * size, (number + 1) * size))
            yield self.learner.compute(*batch, (self._passed, number))


@dataclass(frozen=True)
class DampingSearch:
    """Holds the result of `search_damping`.

    dampings  the values tried
    angles    mean angles in degrees, (dampings, layers)
    best      the damping of the smallest mean over the layers
    by_layer  the best damping of each layer
    """

    dampings: tuple
    angles: np.ndarray
    best: float
    by_layer: tuple

    @property
    def text(self):
        """Returns the text of optimal_gnt_damping_constant.txt: the table and the best dampings."""
        layers = range(len(self.by_layer))
        lines = ["damping " + " ".join(f"layer_{l}" for l in layers)]
        rows = zip(self.dampings, self.angles, strict=True)
        lines += [f"{gamma:g} " + " ".join(f"{a:.6f}" for a in row) for gamma, row in rows]
        lines += [f"best {self.best:g}", "best_by_layer " + " ".join(f"{gamma:g}" for gamma in self.by_layer)]
        return "\n".join(lines) + "\n"


def search_damping(net, batches, dampings=DAMPINGS):
    """Returns the damping whose minimum-norm updates are closest to those of the rule.

    Angles are those of the linear update with feedforward rates, and each layer's mean is over the batches
    (docs/published/dfc.md G.10). An angle that is not a number, such as that of a zero update, is left out of all
    means.

    net       FeedbackNetwork, which is not changed
    batches   iterable of dfc.gradients.BatchReport, at least one: the logged batches of one pass without updates
    dampings  values to try, each >= 0
    Returns   DampingSearch
    """
    found = []
    for batch in batches:
        updates = [gnt_update(net, batch.activities, batch.target, gamma) for gamma in dampings]
        own = net.weights_of(batch.gradients)
        angles = [[angle(a, b) for a, b in zip(own, net.weights_of(update), strict=True)] for update in updates]
        found.append(list(to_floats(dict(enumerate(angles))).values()))
    means = np.ma.masked_invalid(found).mean(axis=0)
    best = dampings[int(means.mean(axis=1).filled(np.inf).argmin())]
    by_layer = tuple(dampings[int(column.argmin())] for column in means.filled(np.inf).T)
    return DampingSearch(tuple(dampings), means.filled(np.nan), best, by_layer)
