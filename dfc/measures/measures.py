"""What is measured of a Batch (dfc.learners.Batch): functions of it that return {table: numbers} (dfc.md G.5, G.7, G.8, G.10)."""

from dataclasses import dataclass

import numpy as np

from core.angles import angle, joint_angle
from core.backend import array_module, to_host
from core.options import UsageError
from core.workers import shares
from dfc.measures.angles import bp_update, gn_update, gnt_update, nullspace_ratios, ssa_update
from dfc.measures.feedback_diagnostics import feedback_fit
from dfc.measures.stability import MATRICES, activity_norms, deviation_of_norms, largest_eigenvalues, norm_names
from dfc.simulation import simulate
from dfc.teaching import output_target

COMPARED = (  # flag, frame, and the two updates whose angle it holds
    ("save_BP_angle", "bp", "own", "bp"),
    ("save_GN_angle", "gn", "own", "gn"),
    ("save_GNT_angle", "gnt", "own", "gnt"),
    ("save_NDI_angle", "ndi", "own", "ndi"),
    ("save_BP_GNT_angle", "gnt_bp", "gnt", "bp"),
    ("save_GN_GNT_angle", "gnt_gn", "gnt", "gn"),
    ("save_GNT_ss_no_ss_angle", "gnt_ss_no_ss", "gnt_ss", "gnt_no_ss"),
)
OF_THE_NETWORK = ("gn", "gnt", "ndi")  # frames that exist for all parameters together too
FIT = {"save_condition_gn": "condition_gn", "save_jac_t_angle": "jac_transpose", "save_jac_pinv_angle": "jac_pinv"}
NULLSPACE = "nullspace_relative_norm_angles"
SUMMARY_FRAMES = (  # what --save_df puts into the summary; all other frames are for --save_logs
    *(f"{name}_angles" for name in ("bp", *OF_THE_NETWORK)),
    *(f"{name}_angles_network" for name in OF_THE_NETWORK),
    NULLSPACE,
    *(f"{name}_angles{phase}" for name in FIT.values() for phase in ("", "_init")),
)
LARGEST_MATRIX = 1 << 28  # entries, 2 GiB: what save_nullspace_norm_ratio may ask for
DAMPINGS = (0.0, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)  # what gn_damping_hpsearch tries


def joined(results, layers):
    """Lists of arrays of the parts of a batch -> one list of arrays of the whole batch."""
    arrays = zip(*(layers(result.steady) for result in results), strict=True)
    return [array_module(*each).concatenate(each) for each in arrays]


def to_floats(named):
    """{name: 0-d arrays} -> {name: Python floats}, in one transfer from the device."""
    arrays = [array for each in named.values() for array in each]
    numbers = iter(to_host(array_module(*arrays).stack(arrays)).tolist())
    return {name: [next(numbers) for _ in each] for name, each in named.items()}


class AngleMeasure:
    """Angles of updates with each other and shares in the null space (dfc.md G.5): a function of a Batch.

    gamma  damping of GN and GNT; may be changed
    """

    def __init__(self, settings, net):
        self.net, self.gamma, self.nonlinear = net, settings.gn_damping, settings.use_nonlinear_gnt
        controlled = settings.rule.controlled
        only_controlled = ("save_NDI_angle", "save_GNT_ss_no_ss_angle")
        self._gnt = "gnt_ss" if settings.use_ss_gnt and controlled else "gnt_no_ss"
        self._settings = settings
        wanted = [entry for entry in COMPARED if getattr(settings, entry[0]) and (controlled or entry[0] not in only_controlled)]
        self._compared = {name: (self._resolve(one), self._resolve(other)) for _, name, one, other in wanted}
        self._biases = bool(net.biases) and settings.save_logs
        self._nullspace = settings.save_nullspace_norm_ratio
        if self._nullspace:
            _check_nullspace(settings)

    def _resolve(self, name):
        return self._gnt if name == "gnt" else name

    @property
    def tables(self):
        """{frame: columns}; "…_bias_angles" and the angles between two reference updates are for logs."""
        layers, found = tuple(range(len(self.net.weights))), {}
        for name in self._compared:
            found[f"{name}_angles"] = layers
            if name in OF_THE_NETWORK:
                found[f"{name}_angles_network"] = (0,)
            if self._biases:
                found[f"{name}_bias_angles"] = layers
        return found | ({NULLSPACE: layers} if self._nullspace else {})

    def __call__(self, batch):
        updates, found, step = self._updates(batch), {}, 2 if self.net.biases else 1
        for name, pair in self._compared.items():
            one, other = (updates[which] for which in pair)
            found[f"{name}_angles"] = [angle(a, b) for a, b in zip(one[::step], other[::step], strict=True)]
            if name in OF_THE_NETWORK:
                found[f"{name}_angles_network"] = [joint_angle(one, other)]
            if self._biases:
                found[f"{name}_bias_angles"] = [angle(a, b) for a, b in zip(one[1::2], other[1::2], strict=True)]
        if self._nullspace:
            found[NULLSPACE] = nullspace_ratios(self.net, batch.activities, batch.gradients)
        return to_floats(found)

    def _updates(self, batch):
        """{name: update} of all that is compared."""
        net, activities, target = self.net, batch.activities, batch.target
        needed = {which for pair in self._compared.values() for which in pair}
        rates = joined(batch.results, lambda steady: steady.r) if needed & {"gnt_ss", "ndi"} else None
        make = {
            "own": lambda: batch.gradients,
            "bp": lambda: bp_update(net, activities, target),
            "gn": lambda: gn_update(net, activities, target, self.gamma),
            "gnt_no_ss": lambda: gnt_update(net, activities, target, self.gamma, self.nonlinear),
            "gnt_ss": lambda: gnt_update(net, activities, target, self.gamma, self.nonlinear, rates),
            "ndi": lambda: ssa_update(net, activities, target, self._settings, rates),
        }
        return {which: make[which]() for which in needed}


def _check_nullspace(settings):
    """Raise UsageError where a matrix of save_nullspace_norm_ratio would not fit."""
    rows = settings.batch_size * settings.sizes[-1]
    columns = max(n * m for n, m in zip(settings.sizes[1:], settings.sizes[:-1], strict=True))
    if rows * min(rows, columns) > LARGEST_MATRIX:
        raise UsageError(
            f"--save_nullspace_norm_ratio: needs batch_size * size_output * min(batch_size * size_output, largest layer) <= "
            f"{LARGEST_MATRIX}, the entries of its matrix; here it is {rows * min(rows, columns)}"
        )


def fit_measure(net, settings, measures, name):
    """(function of a Batch, its tables of one column): dfc.measures.feedback_diagnostics.feedback_fit; name, measure -> table."""

    def measure(batch):
        found = feedback_fit(net, batch.activities, settings.gn_damping, tuple(measures))
        return to_floats({name(which): [value] for which, value in found.items()})

    return measure, {name(which): (0,) for which in measures}


def eigenvalue_measure(net, settings, voltages, name):
    """(function of a Batch, its tables): mean and spread over the batch of the largest real parts at `voltages(batch)`."""

    def measure(batch):
        controller = (settings.alpha_di, settings.time_constant_ratio, settings.k_p)
        found = largest_eigenvalues(net, voltages(batch), *controller)
        return {f"{name}_mean": [float(e.mean()) for e in found.values()], f"{name}_std": [float(e.std()) for e in found.values()]}

    return measure, dict.fromkeys((f"{name}_mean", f"{name}_std"), MATRICES)


def norm_measure(net):
    """(function of a Batch, its tables): mean and spread over the batch of dfc.measures.stability.activity_norms and dev_r."""

    def measure(batch):
        found = {"norm_r": list(activity_norms(batch.activities).values()), "dev_r": [deviation_of_norms(batch.activities)]}
        means = {f"{name}_mean": [each.mean() for each in values] for name, values in found.items()}
        return to_floats(means | {f"{name}_std": [each.std() for each in values] for name, values in found.items()})

    columns = {"norm_r": norm_names(len(net.weights)), "dev_r": ("dev_r",)}
    return measure, {f"{name}_{what}": keys for what in ("mean", "std") for name, keys in columns.items()}


def before_correction(net, batch, options, noise):
    """v^S at the last time point, L arrays (n, n_l), before samples that did not converge fall back.

    The rule does not keep them: where any may have fallen back, the batch is simulated once more, with the same noise.
    """
    if options.include_non_converged_samples:
        return joined(batch.results, lambda steady: steady.v)
    found = []
    for number, rows in enumerate(shares(batch.activities.count, len(batch.results))):
        part = batch.activities.part(rows)
        target = output_target(net, part, batch.target[rows], options)
        found.append(simulate(net, part, target, options.controller, noise and noise(batch.place, number)).vs)
    return [array_module(*each).concatenate(each) for each in zip(*found, strict=True)]


@dataclass(frozen=True)
class DampingSearch:
    """What `search_damping` found.

    dampings  the values tried
    angles    mean angles in degrees, (dampings, layers)
    best      the damping of the smallest mean over the layers; by_layer, that of each layer alone
    """

    dampings: tuple
    angles: np.ndarray
    best: float
    by_layer: tuple

    @property
    def text(self):
        """The table, the best damping and those of the layers, for optimal_gnt_damping_constant.txt."""
        layers = range(len(self.by_layer))
        lines = ["damping " + " ".join(f"layer_{l}" for l in layers)]
        lines += [f"{gamma:g} " + " ".join(f"{a:.6f}" for a in row) for gamma, row in zip(self.dampings, self.angles, strict=True)]
        return "\n".join([*lines, f"best {self.best:g}", "best_by_layer " + " ".join(f"{gamma:g}" for gamma in self.by_layer), ""])


def search_damping(net, batches, dampings=DAMPINGS):
    """The damping whose minimum-norm updates lie closest to those of the rule (dfc.md G.10).

    Angles are those of the linear update with feedforward rates, each layer's mean over the batches; an angle that is not a
    number, as of an update that is zero, counts in no mean.

    net       FeedbackNetwork, which stays as it is
    batches   iterable of dfc.learners.Batch, at least one: the logged batches of one pass without updates
    dampings  values to try, each >= 0
    Returns   DampingSearch
    """
    step, found = 2 if net.biases else 1, []
    for batch in batches:
        updates = [gnt_update(net, batch.activities, batch.target, gamma) for gamma in dampings]
        angles = [[angle(a, b) for a, b in zip(batch.gradients[::step], update[::step], strict=True)] for update in updates]
        found.append(list(to_floats(dict(enumerate(angles))).values()))
    means = np.ma.masked_invalid(found).mean(axis=0)
    best = dampings[int(means.mean(axis=1).filled(np.inf).argmin())]
    by_layer = tuple(dampings[int(column.argmin())] for column in means.filled(np.inf).T)
    return DampingSearch(tuple(dampings), means.filled(np.nan), best, by_layer)
