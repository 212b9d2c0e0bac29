"""Decides whether a run of system 2 ends before its last epoch.

The conditions are those of docs/published/dfc.md I.6 and docs/published/strong_dfc.md 7.
"""

from core.backend import array_module
from core.watcher import Watcher
from datasets.catalogue import BY_FLAG
from dfc.protocol import PROTOCOLS

LARGEST_WEIGHT = 1000.0
PATIENCE, PLATEAU_PATIENCE, PLATEAU = 4, 10, 10  # epochs before the first test; before the test for a plateau; its length


class StopCondition(Watcher):
    """Ends a run whose weights blow up, whose accuracy stays low or whose loss no longer falls.

    settings  dfc.settings.records.StoppingSettings
    net       the network that is trained
    """

    def __init__(self, settings, net):
        self.settings, self.net = settings, net

    def stop(self, series):
        """Returns why the run should end, or None."""
        settings, reference = self.settings, self.settings.rule.reference
        if settings.min_acc > 0.0 and len(series["epoch"]) >= PATIENCE and series["acc_train"][-1] < settings.min_acc:
            return f"the training accuracy is below {settings.min_acc:g} after {PATIENCE} epochs or more"
        if not PROTOCOLS[settings.protocol].early_stops:
            return None
        epoch = len(series["epoch"]) - 1
        if not reference and beyond_bounds(self.net, symmetric=settings.nan_test == "symmetric"):
            return f"a weight is beyond {LARGEST_WEIGHT:g}"
        if epoch <= PATIENCE or (settings.evaluate and not reference):
            return None
        about = BY_FLAG[settings.dataset]
        least = about.least_bp if reference else about.least
        if least and series["acc_train"][-1] < least:
            return f"the training accuracy is below {least} after more than {PATIENCE} epochs"
        if settings.task == "regression" and not reference and epoch > PLATEAU_PATIENCE:
            losses = series["loss_train"]
            if min(losses[-PLATEAU:]) >= min(losses[:-PLATEAU]):
                return f"the training loss has not fallen for {PLATEAU} epochs"
        return None


def beyond_bounds(net, symmetric=False):
    """Returns whether a weight is not a number or above 1000.

    As published, large negative weights pass unless `symmetric`.
    """
    xp = array_module(*net.arrays)
    ordinary = [xp.all((abs(p) if symmetric else p) <= LARGEST_WEIGHT) for p in net.arrays]
    return not bool(xp.stack(ordinary).all())
