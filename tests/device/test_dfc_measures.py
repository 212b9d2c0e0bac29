"""What a run of system 2 measures, on a device: no mixing, and the numbers of numpy."""

import numpy as np
import pytest

from dfc.measures.watchers import Measurements
from tests.device.test_dfc_steps import INSTANT, both, steps

MEASURED = (
    "--save_df --save_logs --log_interval=1 --save_BP_angle --save_GN_angle --save_GNT_angle --save_GN_GNT_angle "
    "--save_BP_GNT_angle"
)
CONTROLLED = (
    "--save_NDI_angle --save_GNT_ss_no_ss_angle --save_condition_gn --save_jac_t_angle --save_jac_pinv_angle "
    "--save_norm_r --save_eigenvalues --save_eigenvalues_bcn --compare_with_ndi --compute_gn_condition_init"
)
# A run: its flags.
CASES = {
    "DFC": f"{INSTANT} --grad_deltav_cont --gn_damping=0.1 {CONTROLLED} --save_nullspace_norm_ratio",
    "DFC-SS, undamped": f"{INSTANT} --gn_damping=0 {CONTROLLED} --freeze_fb_weights",
    "DFC-SSA": f"--ndi --gn_damping=1 {CONTROLLED} --learning_rule=voltage_difference",
    "few units below many outputs": f"{INSTANT} --gn_damping=0.5 {CONTROLLED} --size_hidden=[7,2]",
    "DFA": "--network_type=DFA --gn_damping=0.1 --save_nullspace_norm_ratio",
    "DFA, undamped, no biases": "--network_type=DFA --gn_damping=0 --no_bias",
}
# Angles are arccosines or compare updates that nearly agree; see dfc/measures/feedback_diagnostics.py.
TOLERANCE = {"float64": 1e-5, "float32": 0.5}


def measured(run, data, gpu):
    """{name: array} of all that the measurements of a run have collected after some steps."""
    measurements = Measurements(run.settings.watchers.measurements, run.learner)

    def watch(report, moved=False):
        if not moved:
            measurements.batch(report)

    for learner in (run.pretraining, run.feedback, run.learner):
        if learner:
            list(steps(learner, data, gpu, may_wait=True, watch=watch))
    found = run.learner.end_epoch() | measurements.row(run.learner.net, 1)
    found |= {name: table.array for name, table in measurements.tables.items()}
    return found | {name: entry for name, entry in measurements.summary().items() if isinstance(entry, float)}


@pytest.mark.parametrize("case", CASES)
def test_measurements_agree_with_numpy(gpu, precision, case):
    found, expected = (measured(run, data, gpu) for run, data in both(gpu, precision, f"{MEASURED} {CASES[case]}"))
    assert found.keys() == expected.keys() and len(found) >= 5
    for name, value in expected.items():
        one, other = np.asarray(found[name], dtype=float), np.asarray(value, dtype=float)
        assert one.shape == other.shape, name
        np.testing.assert_array_equal(np.isnan(one), np.isnan(other), err_msg=name)
        difference = np.nan_to_num(np.abs(one - other)).max(initial=0.0)
        assert difference <= TOLERANCE[precision] * max(1.0, np.nanmax(np.abs(other), initial=0.0) / 90.0), name
