"""What Strong-DFC measures at the end of each pass that teaches W, with the weights that its last batch left (strong_dfc.md 8)."""

import numpy as np

from core.backend import to_host
from dfc.measures.feedback_diagnostics import feedback_fit
from dfc.measures.measures import joined, to_floats
from dfc.measures.surrogate import feedback_shares, surrogate_angles, surrogate_loss, surrogate_update

FLAGS = ("save_lu_loss", "save_H_angle", "save_ratio_ff_fb")


class PassEnds:
    """Called with every Batch after its update; columns of the series, of which the last batch of a pass decides all but the loss.

        loss_lu_train                the surrogate loss H, mean over the samples
        lu_angle_<l>                 angle in degrees between the gradient of W_l and that of H;  lu_angle_network, of all W_l
        ratio_ff_fb_<l>              feedback drive over forward drive
        gn_condition                 condition 2 of Q

    last  number of the last batch of a pass
    """

    def __init__(self, net, settings):
        self.net, self.alpha, self.ideal, self.last = net, settings.alpha_di, settings.use_jacobian_as_fb, None
        self._loss, self._angle, self._shares = (getattr(settings, name) for name in FLAGS)
        self._condition = settings.save_condition_gn and settings.protocol == "strong2022"
        self._as_published = "loss_per_batch" in settings.defects
        self._total, self._count, self._found = 0.0, 0, {}
        self.tables = {}  # nothing is kept batch by batch

    @property
    def wanted(self):
        """Whether there is anything to measure."""
        return self._loss or self._angle or self._shares or self._condition

    def __call__(self, batch):
        u = joined(batch.results, lambda steady: [steady.u])[0]
        if self._loss:
            loss = surrogate_loss(self.net, batch.activities, u, self.ideal)
            self._total, self._count = self._total + loss * (1 if self._as_published else len(u)), self._count + len(u)
        if batch.place[1] == self.last:
            found = self._measure(batch, u)
            self._found = to_floats(found) if found else {}

    def _measure(self, batch, u):
        found = {}
        if self._angle:
            update = surrogate_update(self.net, batch.activities, u, self.alpha)
            angles = surrogate_angles(self.net, batch.gradients, update)
            found = {f"lu_angle_{l}": [each] for l, each in enumerate(angles["weights"])} | {"lu_angle_network": angles["network"]}
        if self._shares:
            found |= {f"ratio_ff_fb_{l}": [each] for l, each in enumerate(feedback_shares(self.net, batch.activities, u))}
        if self._condition:
            found["gn_condition"] = [feedback_fit(self.net, batch.activities, measures=("condition_gn",))["condition_gn"]]
        return found

    def end_epoch(self):
        """{column: number} of the epoch; counting starts again."""
        row = {name: value for name, (value,) in self._found.items()}
        if self._loss:
            row["loss_lu_train"] = float(to_host(self._total)) / self._count
        self._total, self._count, self._found = 0.0, 0, {}
        return row

    def state(self):
        """{name: host array} of the epoch so far."""
        found = {f"seen_{name}": np.array(value) for name, value in self._found.items()}
        return found | {"seen_lu": np.array([float(to_host(self._total)), self._count])}

    def restore(self, named):
        """Go on from a `state`."""
        total, count = named.get("seen_lu", (0.0, 0))
        self._total, self._count = float(total), int(count)
        own = ("lu_angle_", "ratio_ff_fb_", "gn_condition")
        kept = {name.removeprefix("seen_"): value for name, value in named.items()}
        self._found = {name: value.tolist() for name, value in kept.items() if name.startswith(own) and value.shape == (1,)}

    def frames(self):
        return {}

    vectors = numbers = frames
