"""Measures Strong-DFC at the end of each pass that trains W, with the weights after its last batch.

The measurements are those of docs/published/strong_dfc.md 8.
"""

import numpy as np

from core.backend import to_host
from core.roles import Watcher
from dfc.measures.feedback_diagnostics import feedback_fit
from dfc.measures.observation import joined, to_floats
from dfc.measures.surrogate import feedback_shares, surrogate_angles, surrogate_loss, surrogate_update

FLAGS = ("save_lu_loss", "save_H_angle", "save_ratio_ff_fb")
# By protocol; with dfc2021 condition 2 is a row of dfc.measures.table.
BY_PROTOCOL = {"dfc2021": FLAGS, "strong2022": (*FLAGS, "save_condition_gn")}


class PassEnds(Watcher):
    """Measures batches that train W, after their update; all columns but the loss are of the last batch.

        loss_lu_train                the surrogate loss H, mean over the samples
        lu_angle_<l>                 angle in degrees between the gradient of W_l and that of H
        lu_angle_network             the same for all W_l together
        ratio_ff_fb_<l>              feedback drive over forward drive
        gn_condition                 condition 2 of Q

    net       FeedbackNetwork
    settings  dfc.settings.records.MeasurementSettings
    batches   number of batches in a pass
    """

    def __init__(self, net, settings, batches):
        self.net, self.alpha, self.last, on = net, settings.alpha_di, batches - 1, settings.switches
        self.ideal = "use_jacobian_as_fb" in on
        self._loss, self._angle, self._shares = (name in on for name in FLAGS)
        self._condition = "save_condition_gn" in on.intersection(BY_PROTOCOL[settings.protocol])
        self._as_published = "loss_per_batch" in settings.defects
        self._total, self._count, self._found = 0.0, 0, {}

    def wants(self, place):
        return self._loss or place[1] == self.last

    def moved(self, report):
        u = joined(report.results, lambda steady: [steady.u])[0]
        if self._loss:
            loss = surrogate_loss(self.net, report.activities, u, self.ideal)
            self._total, self._count = self._total + loss * (1 if self._as_published else len(u)), self._count + len(u)
        if report.place[1] == self.last:
            found = self._measure(report, u)
            self._found = to_floats(found) if found else {}

    def _measure(self, report, u):
        found = {}
        if self._angle:
            update = surrogate_update(self.net, report.activities, u, self.alpha)
            angles = surrogate_angles(self.net, report.gradients, update)
            found = {f"lu_angle_{l}": [each] for l, each in enumerate(angles["weights"])}
            found["lu_angle_network"] = angles["network"]
        if self._shares:
            shares = feedback_shares(self.net, report.activities, u)
            found |= {f"ratio_ff_fb_{l}": [each] for l, each in enumerate(shares)}
        if self._condition:
            fit = feedback_fit(self.net, report.activities, measures=("condition_gn",))
            found["gn_condition"] = [fit["condition_gn"]]
        return found

    def row(self, net, epoch):
        row = {name: value for name, (value,) in self._found.items()}
        if self._loss:
            row["loss_lu_train"] = float(to_host(self._total)) / self._count
        self._total, self._count, self._found = 0.0, 0, {}
        return row

    def state(self):
        found = {f"seen_{name}": np.array(value) for name, value in self._found.items()}
        return found | {"seen_lu": np.array([float(to_host(self._total)), self._count])}

    def restore(self, named):
        total, count = named.get("seen_lu", (0.0, 0))
        self._total, self._count = float(total), int(count)
        # Other watchers keep names that begin alike, such as seen_gn_condition_init.
        layers = [*range(len(self.net.weights)), "network"]
        own = ["gn_condition", *(f"{name}_{layer}" for name in ("lu_angle", "ratio_ff_fb") for layer in layers)]
        self._found = {name: named[f"seen_{name}"].tolist() for name in own if f"seen_{name}" in named}
