"""When a run measures what, and what it keeps (dfc.md G.5, G.7 to G.9, B.9)."""

import numpy as np
import pytest

from core.angles import angle, joint_angle
from core.backend import Workers, select_backend
from core.options import UsageError
from datasets.samples import Arrays
from dfc.build import build_system
from dfc.draws import Draws
from dfc.gradients import nudge
from dfc.measures import damping
from dfc.measures.angles import bp_update, gn_update, gnt_update, nullspace_ratios, ssa_update
from dfc.measures.feedback_diagnostics import feedback_fit
from dfc.measures.observation import before_correction, joined
from dfc.measures.pictures import trajectory_of_batch
from dfc.measures.stability import MATRICES, activity_norms, deviation_of_norms, distance_to_ssa, largest_eigenvalues
from dfc.measures.summary import NOT_YET, Frame
from dfc.measures.watchers import Measurements
from dfc.simulation import record
from main import parse
from rules import dfc_ssa

SMALL = (
    "--dataset=student_teacher", "--size_input=6", "--size_hidden=[5, 4]", "--size_output=3",
    "--target_stepsize=0.1", "--initialization_K=xavier_normal", "--gn_damping=0.1", "--log_interval=2", "--quiet",
)  # fmt: skip
STEPS = (
    "--dt_di=0.05",
    "--tmax_di=30",
    "--k_p=1.0",
    "--time_constant_ratio=0.2",
    "--apical_time_constant=0.05",
    "--alpha_di=0.01",
)
SSA, SS, CONT = ("--ndi",), (), ("--grad_deltav_cont",)
ANGLE_FLAGS = (
    "--save_BP_angle",
    "--save_GN_angle",
    "--save_GNT_angle",
    "--save_NDI_angle",
    "--save_nullspace_norm_ratio",
)
LOG_FLAGS = ("--save_BP_GNT_angle", "--save_GN_GNT_angle", "--save_GNT_ss_no_ss_angle")
FIT_FLAGS = ("--save_condition_gn", "--save_jac_t_angle", "--save_jac_pinv_angle")
DYNAMICS_FLAGS = ("--save_eigenvalues", "--save_norm_r")
FIT_FRAMES = {
    "condition_gn": "condition_gn_angles",
    "jac_transpose": "jac_transpose_angles",
    "jac_pinv": "jac_pinv_angles",
}


class Run:
    """The learners of a small network and what is measured of them; noise is drawn for `part` rows together."""

    def __init__(self, *flags, part=4):
        settings = parse([*SMALL, *STEPS, *flags])
        self.settings = settings.watchers.measurements
        draws = Draws(42, select_backend("numpy"))
        system = build_system(settings.system, draws.backend, Workers(), draws, part)
        self.learner, self.feedback, self.pretraining = system.learner, system.feedback, system.pretraining
        self.measurements = Measurements(self.settings, self.learner)
        self.spies = []

    def watch(self, report, moved=False):
        if moved:
            return
        self.measurements.batch(report)
        for phase, measure, found in self.spies:
            if report.phase == phase:
                found.append(measure(report))

    def spy(self, learner, measure):
        """A list that `measure` of every report of the learner is added to."""
        self.spies.append((learner.name, measure, []))
        return self.spies[-1][-1]

    def train(self, learner, passes, batches=5):
        """Passes of a learner, each of the same few batches."""
        # Training does so, too: an update of zero has no angle.
        with np.errstate(invalid="ignore"):
            for passed in passes:
                for index in range(batches):
                    learner.step(*batch(index), (passed, index), self.watch)

    def frames(self):
        """{name: (steps, columns, values)} of the tables that are kept, those for the log alone included."""
        return {
            row.key: (table.steps, list(table.columns), table.array)
            for row, table in ((row, self.measurements.tables[row.key]) for row in self.measurements.rows)
            if row.kept in ("frame", "log")
        }

    def published(self):
        """The names of the tables that are put into the summary."""
        return {name for name, entry in self.measurements.summary().items() if isinstance(entry, Frame)}

    def vectors(self):
        """{entry: values} of the flat vectors in the summary that were measured, and of the names of their columns."""
        measured = {row.key for row in self.measurements.rows if row.kept == "vector"}
        found = {
            name: entry
            for name, entry in self.measurements.summary().items()
            if name in measured or name.endswith("_keys")
        }
        return {name: entry if isinstance(entry, list) else entry.tolist() for name, entry in found.items()}


def build(*flags, part=4):
    """(settings, Run) of a small network."""
    run = Run(*flags, part=part)
    return run.settings, run


def batch(seed, samples=7):
    random = np.random.default_rng(seed)
    return random.standard_normal((samples, 6)), random.standard_normal((samples, 3))


# ---- which batches


def test_every_kth_batch_of_each_chosen_pass_is_measured_and_steps_count_these():
    """Passes: one of pre-training, then feedback and forward in turn; --log_interval=2 of batches of 5."""
    _, run = build("--ndi", "--save_jac_t_angle", "--save_BP_angle", "--save_df", "--epochs_fb=1")
    places = {"forward": [], "feedback": []}
    for passed in range(1, 5):
        learner = run.learner if passed % 2 == 0 else run.feedback
        before = {name: len(table.steps) for name, table in run.measurements.tables.items()}
        for index in range(5):
            learner.step(*batch(index), (passed, index), run.watch)
            now = {name: len(table.steps) for name, table in run.measurements.tables.items()}
            if now != before:
                places[learner.name].append((passed, index))
            before = now
    assert places["forward"] == [(passed, index) for passed in (2, 4) for index in (0, 2, 4)]
    assert places["feedback"] == [(passed, index) for passed in (1, 3) for index in (0, 2, 4)]
    assert (
        run.measurements.tables["bp_angles"].steps
        == run.measurements.tables["jac_transpose_angles"].steps
        == [1, 2, 3, 4, 5, 6]
    )
    assert run.measurements.tables["jac_transpose_angles_init"].steps == []


def test_feedback_weights_are_measured_before_the_first_epoch_and_in_the_first_pass_of_each():
    """Passes: two of pre-training; then per epoch feedback, forward, feedback, feedback (numbers 2 to 5, 6 to 9)."""
    settings, run = build(*FIT_FLAGS, "--save_df", "--epochs_fb=2", "--extra_fb_epochs=2")
    fit = lambda seen: feedback_fit(run.learner.net, seen.activities, settings.gn_damping)  # noqa: E731
    before, during = run.spy(run.pretraining, fit), run.spy(run.feedback, fit)
    run.train(run.pretraining, (0, 1))
    run.train(run.feedback, (2, 4, 5, 6))
    frames = run.frames()
    assert set(frames) == {name + phase for name in FIT_FRAMES.values() for phase in ("", "_init")} == run.published()
    # There are two passes of five batches.
    logged = [0, 2, 4, 5, 7, 9]
    for phase, found in (("_init", before), ("", during[:5] + during[15:])):
        for measure, name in FIT_FRAMES.items():
            steps, columns, values = frames[name + phase]
            assert (steps, columns) == ([1, 2, 3, 4, 5, 6], [0])
            np.testing.assert_allclose(values[:, 0], [found[index][measure] for index in logged], rtol=1e-12)


def test_frozen_feedback_weights_are_measured_in_the_forward_passes():
    settings, run = build(*FIT_FLAGS, "--save_df", "--freeze_fb_weights")
    spy = run.spy(run.learner, lambda seen: feedback_fit(run.learner.net, seen.activities, settings.gn_damping))
    run.train(run.learner, (0,))
    for measure, name in FIT_FRAMES.items():
        steps, _, values = run.frames()[name]
        assert steps == [1, 2, 3]
        np.testing.assert_allclose(values[:, 0], [spy[index][measure] for index in (0, 2, 4)], rtol=1e-12)


def test_condition_before_training_is_the_mean_over_the_last_pass():
    _, run = build("--compute_gn_condition_init", "--epochs_fb=2")
    assert run.measurements.summary()["gn_condition_init"] == NOT_YET
    spy = run.spy(run.pretraining, lambda seen: feedback_fit(run.learner.net, seen.activities)["condition_gn"])
    run.train(run.pretraining, (0,))
    assert run.measurements.summary()["gn_condition_init"] == NOT_YET
    run.train(run.pretraining, (1,))
    assert run.measurements.summary()["gn_condition_init"] == pytest.approx(
        np.mean([spy[i] for i in (5, 7, 9)]), rel=1e-12
    )


@pytest.mark.parametrize("flags, numbers", [((), [0, 2, 4]), (("--first_batches=3",), [0, 2])])
def test_the_search_of_the_damping_passes_over_as_many_batches_as_training(flags, numbers, tmp_path, monkeypatch):
    """34 samples are 5 batches of 7, of which every second one is logged."""
    settings = parse([*SMALL, *STEPS, "--ndi", "--batch_size=7", "--gn_damping_hpsearch", "--save_df", *flags])
    draws = Draws(42, select_backend("numpy"))
    system = build_system(settings.system, draws.backend, Workers(), draws)
    found = []

    def search(net, batches):
        found.extend(each.place[1] for each in batches)
        return damping.DampingSearch((0.0,), np.zeros((1, 1)), 0.0, (0.0,))

    monkeypatch.setattr(damping, "search_damping", search)
    samples = Arrays(*batch(0, 34), draws.backend)
    searching = damping.SearchThenStop(
        settings.watchers.measurements, system, samples, settings.schedule.batches(samples), tmp_path
    )
    assert "best" in searching.stop({"epoch": [1, 2, 3]})
    assert found == numbers


# ---- what is measured


@pytest.mark.parametrize("rule", (SSA, SS, CONT), ids=("DFC-SSA", "DFC-SS", "DFC"))
@pytest.mark.parametrize("at_rest", (False, True), ids=("", "use_ss_gnt"))
def test_angles_with_all_updates(rule, at_rest):
    flags = (
        *ANGLE_FLAGS,
        *LOG_FLAGS,
        "--save_df",
        "--save_logs",
        "--include_non_converged_samples",
        *["--use_ss_gnt"] * at_rest,
    )
    settings, run = build(*rule, *flags, "--freeze_forward_weights")
    net = run.learner.net
    options = dfc_ssa.Options(0.1, 0.01, settings.learning_rule)

    def measure(seen):
        activities, target, own = seen.activities, seen.target, seen.gradients
        rates = joined(seen.results, lambda steady: steady.r)
        with_rates, without = (gnt_update(net, activities, target, 0.1, True, r) for r in (rates, None))
        gnt, bp = with_rates if at_rest else without, bp_update(net, activities, target)
        gn, ndi = gn_update(net, activities, target, 0.1), ssa_update(net, activities, target, options, rates)
        pairs = {
            "bp": (own, bp),
            "gn": (own, gn),
            "gnt": (own, gnt),
            "ndi": (own, ndi),
            "gnt_bp": (gnt, bp),
            "gnt_gn": (gnt, gn),
        }
        pairs["gnt_ss_no_ss"] = (with_rates, without)
        found = {
            f"{name}_angles": [angle(*each) for each in list(zip(*pair, strict=True))[::2]]
            for name, pair in pairs.items()
        }
        found |= {f"{name}_angles_network": [joint_angle(*pairs[name])] for name in ("gn", "gnt", "ndi")}
        return found | {"nullspace_relative_norm_angles": nullspace_ratios(net, activities, own)}

    spy = run.spy(run.learner, measure)
    run.train(run.learner, (1, 3), batches=3)
    frames = {name: frame for name, frame in run.frames().items() if "bias" not in name}
    assert frames.keys() == spy[0].keys()
    assert set(frames) - run.published() == {"gnt_bp_angles", "gnt_gn_angles", "gnt_ss_no_ss_angles"}
    for name, (steps, columns, values) in frames.items():
        expected = np.array([[float(value) for value in spy[index][name]] for index in (0, 2, 3, 5)])
        assert steps == [1, 2, 3, 4] and columns == list(range(expected.shape[1]))
        np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-12)
    if rule == SSA:
        # The rule is compared with itself.
        assert frames["ndi_angles_network"][2].max() < 1e-5
    assert frames["gnt_ss_no_ss_angles"][2][:, 1:].min() > 0.0


def test_angles_of_biases_are_for_logs_alone():
    _, without = build("--ndi", "--save_GN_angle", "--save_df")
    _, logged = build("--ndi", "--save_GN_angle", "--save_logs")
    assert set(without.frames()) == {"gn_angles", "gn_angles_network"}
    assert set(logged.frames()) == {"gn_angles", "gn_angles_network", "gn_bias_angles"}
    seen = logged.spy(
        logged.learner, lambda seen: gn_update(logged.learner.net, seen.activities, seen.target, 0.1)[1::2]
    )
    own = logged.spy(logged.learner, lambda seen: [gradient.copy() for gradient in seen.gradients[1::2]])
    logged.train(logged.learner, (1,), batches=1)
    expected = [angle(a, b) for a, b in zip(own[0], seen[0], strict=True)]
    np.testing.assert_allclose(logged.frames()["gn_bias_angles"][2][0], expected, rtol=1e-12)


def test_alignment_of_direct_feedback():
    flags = (*ANGLE_FLAGS, *LOG_FLAGS, *FIT_FLAGS, *DYNAMICS_FLAGS, "--use_ss_gnt", "--save_df", "--save_logs")
    _, run = build("--network_type=DFA", *flags)
    run.train(run.learner, (0,))
    frames = {name: frame for name, frame in run.frames().items() if "bias" not in name}
    expected = {
        "bp_angles",
        "gn_angles",
        "gn_angles_network",
        "gnt_angles",
        "gnt_angles_network",
        "nullspace_relative_norm_angles",
    }
    assert set(frames) == expected | {"gnt_bp_angles", "gnt_gn_angles"}
    assert all(np.isfinite(values).all() for _, _, values in frames.values())
    assert run.vectors() == {}


def test_backpropagation_measures_nothing():
    _, run = build("--network_type=BP", *ANGLE_FLAGS, "--save_df")
    assert run.measurements.rows == [] and list(run.measurements.summary()) == ["log_interval"]


def test_angles_need_somewhere_to_go_and_vectors_do_not():
    _, run = build("--save_jac_t_angle", "--save_norm_r", "--freeze_fb_weights")
    run.train(run.learner, (0,))
    assert run.frames() == {}
    assert set(run.vectors()) == {"norm_r_mean", "norm_r_std", "dev_r_mean", "dev_r_std", "norm_r_keys"}


@pytest.mark.parametrize("rule", (SSA, SS, CONT), ids=("DFC-SSA", "DFC-SS", "DFC"))
def test_vectors_are_means_and_spreads_event_after_event(rule):
    settings, run = build(*rule, *DYNAMICS_FLAGS)
    net, found = run.learner.net, []

    def measure(seen):
        at_rest = joined(seen.results, lambda steady: steady.v)
        values = largest_eigenvalues(net, at_rest, settings.alpha_di, settings.time_constant_ratio, settings.k_p)
        return {"max_eig": list(values.values()), "norm_r": list(activity_norms(seen.activities).values()),
                "dev_r": [deviation_of_norms(seen.activities)]}  # fmt: skip

    found = run.spy(run.learner, measure)
    run.train(run.learner, (1,))
    vectors = run.vectors()
    assert vectors["max_eig_keys"] == list(MATRICES)
    assert vectors["norm_r_keys"] == ["mean", "input", "layer 1", "layer 2"]
    for name in ("max_eig", "norm_r", "dev_r"):
        for moment, function in (("mean", np.mean), ("std", np.std)):
            expected = [function(values) for index in (0, 2, 4) for values in found[index][name]]
            np.testing.assert_allclose(vectors[f"{name}_{moment}"], expected, rtol=1e-10)


@pytest.mark.parametrize(
    "flags", ((), ("--noisy_dynamics",), ("--efficient_controller",), ("--include_non_converged_samples",))
)
@pytest.mark.parametrize("rule", (SS, CONT), ids=("DFC-SS", "DFC"))
def test_voltages_before_the_correction(rule, flags):
    """30 steps are too few to converge: at rest stands the feedforward pass, before the correction the
    end of the simulation."""
    settings, run = build(*rule, "--save_eigenvalues_bcn", *flags)
    draws = Draws(42, select_backend("numpy"))
    net, learner = run.learner.net, run.learner

    def measure(seen):
        part_rows = [slice(0, 3), slice(3, 7)] if "--noisy_dynamics" in flags else [slice(0, 7)]
        ends = []
        for number, rows in enumerate(part_rows):
            part = seen.activities.part(rows)
            target = part.r[-1] + nudge(net, part, seen.target[rows], 0.1)
            noise = draws.noise(seen.place, number)
            ends.append([layer[-1] for layer in record(net, part, target, learner.options.controller, noise).vs])
        before = before_correction(net, seen, learner.options, learner.noise)
        expected = [np.concatenate(layers) for layers in zip(*ends, strict=True)]
        values = largest_eigenvalues(net, before, settings.alpha_di, settings.time_constant_ratio, settings.k_p)
        return before, expected, joined(seen.results, lambda steady: steady.v), seen.activities.v, values

    spy = run.spy(learner, measure)
    run.train(learner, (1,), batches=1)
    before, expected, at_rest, feedforward, values = spy[0]
    for l in range(3):
        np.testing.assert_allclose(before[l], expected[l], rtol=1e-13, atol=1e-13)
        if flags == ("--include_non_converged_samples",):
            np.testing.assert_array_equal(at_rest[l], before[l])
        else:
            np.testing.assert_array_equal(at_rest[l], feedforward[l])
            assert np.abs(before[l] - feedforward[l]).max() > 1e-6
    np.testing.assert_allclose(run.vectors()["max_eig_bcn_mean"], [each.mean() for each in values.values()], rtol=1e-9)


@pytest.mark.parametrize("flags", ((), ("--noisy_dynamics",)), ids=("", "noisy"))
@pytest.mark.parametrize("rule", (SS, CONT), ids=("DFC-SS", "DFC"))
def test_drawn_dynamics_are_those_that_taught(rule, flags):
    """Noise belongs to parts of 4 samples here: with that of the first part for all 7, the last
    three would end elsewhere."""
    _, run = build(*rule, *flags, "--include_non_converged_samples")
    learner = run.learner
    report = learner.compute(*batch(0), (1, 0))
    trajectory = trajectory_of_batch(learner.net, report, learner.options, learner.noise)
    taught = joined(report.results, lambda steady: steady.v)
    for l in range(3):
        assert trajectory.vs[l].shape[:2] == (30, 7)
        np.testing.assert_allclose(trajectory.vs[l][-1], taught[l], rtol=1e-13, atol=1e-13)
    assert trajectory.u.shape == (30, 7, 3) and trajectory.errors.shape == (30, 7)


def test_distance_to_the_analytical_steady_state_is_a_mean_over_all_batches_of_an_epoch():
    _, run = build("--compare_with_ndi", "--include_non_converged_samples")
    net = run.learner.net

    def measure(seen):
        output = joined(seen.results, lambda steady: steady.r[-1:])[0]
        return float(distance_to_ssa(net, seen.activities, seen.target, output, dfc_ssa.Options(0.1), 0.01))

    spy = run.spy(run.learner, measure)
    for epoch in range(2):
        run.train(run.learner, (epoch,))
        assert run.measurements.row(net, epoch + 1)["dist_to_NDI"] == pytest.approx(np.mean(spy[-5:]), rel=1e-12)
    _, other = build("--compare_with_ndi", "--ndi")
    assert other.measurements.averaged == [] and other.measurements.row(net, 1) == {}


def test_a_null_space_that_does_not_fit_is_refused():
    """128 samples of 784 outputs are 100352 rows, fewer than the widest layer has weights: a Gram
    matrix of 100352^2 entries."""
    flags = ("--dataset=mnist_autoencoder", "--size_input=784", "--size_output=784", "--size_hidden=[256, 32, 256]")
    with pytest.raises(
        UsageError, match=r"--save_nullspace_norm_ratio: needs .* <= 268435456.*; here it is 10070523904"
    ):
        build(*flags, "--save_nullspace_norm_ratio", "--save_df")


# ---- interruptions


def test_an_interrupted_run_keeps_its_measurements():
    flags = (*ANGLE_FLAGS, *FIT_FLAGS, *DYNAMICS_FLAGS, "--save_df", "--compare_with_ndi", "--freeze_fb_weights")
    flags += ("--include_non_converged_samples",)
    whole, first, second = (build(*flags)[1] for _ in range(3))
    whole.train(whole.learner, (0,))
    for index in range(5):
        run = first if index < 3 else second
        if index == 3:
            state = {
                name: np.array(array) for name, array in (first.learner.state() | first.measurements.state()).items()
            }
            second.learner.restore(state)
            second.measurements.restore(state)
            assert {name for name in state if name.startswith("seen_")} >= {"seen_gn_angles", "seen_gn_angles_steps"}
        run.learner.step(*batch(index), (0, index), run.watch)
    assert second.vectors() == whole.vectors()
    assert second.frames().keys() == whole.frames().keys()
    for name, (steps, columns, values) in second.frames().items():
        assert (steps, columns) == whole.frames()[name][:2] == ([1, 2, 3], columns)
        np.testing.assert_array_equal(values, whole.frames()[name][2])
    assert second.measurements.row(None, 1) == whole.measurements.row(None, 1)


def test_state_before_the_first_measurement_and_of_other_flags():
    """Flags that only measure may change between an interruption and its continuation."""
    _, run = build("--save_GN_angle", "--save_norm_r", "--save_df")
    watcher = run.measurements
    watcher.restore(watcher.state())
    watcher.restore({})
    assert all(table.steps == [] and table.array.shape == (0, len(table.columns)) for table in watcher.tables.values())
    with pytest.raises(ValueError, match="seen_gn_angles has shape"):
        watcher.restore({"seen_gn_angles": np.zeros((2, 7))})
