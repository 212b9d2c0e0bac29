"""Are the tests sharp?  Plants one-line defects in a copy of the program, one at a time; each must make a test fail.

    python tests/mutation.py [NAME ...]         (or: make mutants)

A mutant of system 1 must be caught by TESTS, one of system 2 or of the loop by the tests that are named with it.
Prints one line per mutant and exits with status 1 if one survives.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
TESTS = ("tests/rules", "tests/nets", "tests/core/test_parts.py", "tests/core/test_optimisers.py", "tests/reference")
RULES, REPLAY = "tests/reference", "tests/reference/test_replay.py"
PARTS = "dfc/settings/parts.py"
PUBLISHED_WORDS, TWO_PHASES = "tests/cli/test_run_strong.py", "rules/strong_dfc_2phase.py"
STRONG = tuple(f"tests/reference/test_strong_{part}.py" for part in ("updates", "replay"))
STACK, SEEDS = "tests/rules/test_feedback_together.py", "tests/core/test_together.py"
ALONE = "tests/cli/test_run_seeds.py"
LOOP, SUMMARY = "tests/core/test_plan.py", "tests/core/test_summary.py"
PROGRAM, FLAGS, ENDS = (f"tests/cli/test_main{part}.py" for part in ("", "_options", "_bad_ends"))
GPU_NOISE, GPU_STEPS, GPU_REPLAY = (f"tests/device/test_{part}.py" for part in ("noise", "dfc_steps", "replay"))

# name: (file, the right line or part of it, the defect)
MUTANTS = {
    "sign of the output error": ("inv_net.py", ": self.classes] - target", ": self.classes] + target"),
    "missing 1/batch": ("gait/gradients.py", "delta * (1.0 / delta.shape[-2])", "delta * 1.0"),
    "sum for the mean of the biases": ("gait/gradients.py", "delta.mean(axis=-2)", "delta.sum(axis=-2)"),
    "W for its transpose": ("inv_layer.py", "[..., : rows.shape[-1]].swapaxes(-1, -2)", "[..., : rows.shape[-1], :]"),
    "inverse of the transpose": (
        "inv_layer.py", "xp.linalg.solve(self.weights.swapaxes(-1, -2),", "xp.linalg.solve(self.weights,",
    ),
    "bias forgotten in the inverse": (
        "inv_layer.py", "self.transfer.inverse(y) - self.biases", "self.transfer.inverse(y)",
    ),
    "small steps divided": ("gait/learner.py", "self.blocks(pieces), pieces)", "self.blocks(pieces))"),
    "stale Gram matrix": ("inv_layer.py", "self.version += 1", "pass"),
    "diagonal left in the regulariser": ("inv_layer.py", "within[...] = 0.0", "pass"),
    "forgotten gamma": ("rules/gait.py", "step *= gamma", "pass"),
    "slope not squared": ("rules/gait.py", "slope * delta, step", "delta, step"),
    "kink ignored": ("utils.py", "crossed = (h >= 0) != (w >= 0)", "crossed = (h >= 0) != (h >= 0)"),
    "slope at zero": ("utils.py", "positive = (h >= 0)", "positive = (h > 0)"),
    "absolute form keeps its scale": ("rules/gait.py", "scale *= gamma", "pass"),
    "reused seed": ("core/streams.py", "*(index or (0,))", "*(min(i, 1) for i in index or (0,))"),
    "neighbouring seeds share layers": (
        "core/streams.py", "SeedSequence(seed, spawn", "SeedSequence(seed + sum(index), spawn",
    ),
    "Haar without signs": ("core/streams.py", "q * np.where(np.diag(r) < 0, -1.0, 1.0)", "q"),
    "regulariser without its 4": ("gait/gradients.py", "out *= 4.0 * self.strength", "out *= self.strength"),
    "regulariser lost": ("gait/learner.py", "start_from_zero=not self.regulariser", "start_from_zero=True"),
    "moments swapped": ("core/optimisers.py", "v *= self.beta2", "v *= self.beta1"),
    "bias correction at the wrong step": (
        "core/optimisers.py", "self.beta1**self.steps", "self.beta1 ** (self.steps + 1)",
    ),
    "accuracy over auxiliary outputs": ("gait/evaluation.py", "auxiliary=False", "auxiliary=True"),
    "auxiliary targets of TP dropped": (
        "rules/target_prop.py", "h[..., active.shape[-1] :]]", "0 * h[..., active.shape[-1] :]]",
    ),
}  # fmt: skip

# the same, and the tests that are run
FEEDBACK_MUTANTS = {
    "nudge without 1/batch": ("dfc/gradients.py", "(-target_stepsize / share)", "-target_stepsize", RULES),
    "sign of a voltage difference": ("dfc/gradients.py", "return -2.0 * delta_v", "return 2.0 * delta_v", RULES),
    "error compared with epsilon": ("dfc/gradients.py", "epsilon * epsilon", "epsilon", RULES),
    "leak of the integral alone": (
        "dfc/controller.py", "xp.multiply(before, -c.alpha", "xp.multiply(self.u_int, -c.alpha", RULES,
    ),
    "noise without its root": ("dfc/controller.py", "math.sqrt(c.dt)", "c.dt", RULES),
    "apical voltage at once": ("dfc/stacked.py", "scratch *= c.dt / c.tau_a", "scratch *= 1.0", RULES),
    "control in place": ("dfc/controller.py", "self.u, self._next_u = self._next_u, before", "pass", RULES),
    "first layer feels no input": (
        "dfc/stacked.py", "self._input = basal[0] * self._rate", "self._input = basal[0] * 0.0", RULES,
    ),
    "noise of hidden layers everywhere": (
        "dfc/controller.py", "if l == len(self.net.weights) - 1", "if l == -1", RULES,
    ),
    "compiled noise forgets": (
        "core/kernels.py", "coloured[i, j] * decay", "coloured[i, j]", "tests/core/test_kernels.py",
    ),
    "DFA clips when asked to": ("rules/direct_feedback.py", 'clips="always"', 'clips="asked"', FLAGS),
    "DFA forgets the logit": ("rules/direct_feedback.py", "difference = logit - activities.v[last]", "pass", RULES),
    "control of the same time": ("dfc/feedback_learning.py", "signal = state.u if", "signal = state._next_u if", RULES),
    "scale not squared": ("dfc/feedback_learning.py", "SMALLEST_SIGMA) ** 2", "SMALLEST_SIGMA)", RULES),
    "gradients of all outputs": ("dfc/functions.py", "(2.0 / output.shape[-1])", "2.0", RULES),
    "W before Q": ("dfc/build.py", "epoch=[feedback, learner,", "epoch=[learner, feedback,", REPLAY),
    "one step size of Q": (PARTS, 'flags["lr_fb_init"]', 'flags["lr_fb"]', FLAGS),
    "momentum for Q": (PARTS, '== "RMSprop" else 0.0', '!= "Adam" else 0.0', FLAGS),
    "noise by threads": (
        "dfc/learners.py", "(self.part or batch_size)) if noisy", "(self.part or batch_size)) if 0", PROGRAM,
    ),
    "totals of all epochs": (
        "dfc/learners.py", "self._totals, self._batches = None, 0\n        return", "return", PROGRAM,
    ),
    "one order for all passes": ("dfc/draws.py", '"shuffle", passed', '"shuffle"', PROGRAM),
    "a chunk is a batch": (
        "dfc/evaluation.py", "(0, len(output), batch_size)", "(0, len(output), len(output))", PROGRAM,
    ),
    "plateau a little early": ("dfc/evaluation.py", "epoch > PLATEAU_PATIENCE", "epoch >= PLATEAU_PATIENCE", ENDS),
    "1000 is too much": ("dfc/evaluation.py", "<= LARGEST_WEIGHT) for", "< LARGEST_WEIGHT) for", ENDS),
    "error of the logits": (
        "dfc/controller.py", 'if c.error == "mse" else softmax(self.r[-1])', "if c.error else 0", *STRONG,
    ),
    "noise that forgets": ("dfc/controller.py", "noise *= self._decay", "noise *= 0.0", *STRONG),
    "filter that starts at zero": ("dfc/controller.py", "now[...] = self.u\n", "now[...] = 0.0 * self.u\n", *STRONG),
    "filter one step late": ("dfc/controller.py", "now if self.controller.proactive else before", "before", *STRONG),
    "control unfiltered for Q": ("dfc/feedback_learning.py", "return u - self._slow", "return u", *STRONG),
    "layer scaling upside down": (
        "dfc/feedback_learning.py", "settings.growth ** (last - l)", "settings.growth**l", *STRONG,
    ),
    "output noise of the hidden layers": ("dfc/feedback_learning.py", "if l < last or", "if l <= last or", *STRONG),
    "nudge by the batch": ("dfc/gradients.py", '"own_loss": 1}', '"own_loss": activities.batch_size}', *STRONG),
    "fluctuations of all samples": (
        "dfc/time_sums.py", "self._fluctuations.take_out(other._fluctuations)", "pass", *STRONG,
    ),
    "ideal feedback a step late": ("dfc/controller.py", "signal * slopes[-1]", "self._next_u * slopes[-1]", *STRONG),
    "Q before W": ("dfc/joint.py", "self.feedback.update(gradients)", "pass", *STRONG),
    "pairs clipped apart": ("dfc/build.py", "clip_by=clip_layers if", "clip_by=clip_each if", *STRONG),
    "error of the later phase": (PARTS, 'error="mse" if early else', "error=", *STRONG),
    "filter of the own phase": (PARTS, "name if published else", "name if not published else", *STRONG),
    "DFA with slopes": ("dfc/protocol.py", "direct_slopes=False", "direct_slopes=True", *STRONG),
    "updates of BP forgotten": ("dfc/learners.py", "if self.by_bp:", "if False:", PUBLISHED_WORDS),
    "2-phase without a target": (
        TWO_PHASES, "activities, wanted, options", "activities, activities.r[-1], options", *STRONG,
    ),
    "2-phase is not chosen": (TWO_PHASES, '"strong_feedback": True', '"strong_feedback": False', PUBLISHED_WORDS),
    "batches count alike": ("dfc/protocol.py", "weighted_evaluation=True", "weighted_evaluation=False", *STRONG),
    "time before the first epoch": ("dfc/measures/summary.py", "[-1] - prelude_seconds)", "[-1])", SUMMARY),
    "one norm for all seeds": ("core/clipping.py", "array.reshape(*seeds, 1, -1)", "array.reshape(1, -1)", STACK),
    "noise of a GPU without its place": ("dfc/draws.py", "NORMALS(key, self._place,", "NORMALS(key, 0,", GPU_NOISE),
    "the first seed's noise for all on a GPU": ("dfc/draws.py", "= source._key", "= first._key", GPU_NOISE),
    "left out samples teach on a GPU": ("dfc/time_sums.py", "block.keep(kept)", "pass", GPU_STEPS),
    "every recorded batch is the second": ("core/replay.py", "fixed[...] = self._numbered(chosen)", "pass", GPU_REPLAY),
    "every recorded batch has the second's noise": ("core/replay.py", "self._host[row, 0] = ", "_ = ", GPU_REPLAY),
    "every recorded step is the second": ("core/replay.py", "self._floats[row] = ", "_ = ", GPU_REPLAY),
    "recorded steps are not counted": ("core/replay.py", "[count + more for", "[count for", GPU_REPLAY),
    "a step that is recorded counts": ("core/replay.py", "self._count(before)", "pass", GPU_REPLAY),
    "a graph loses its memory": ("datasets/samples.py", "if self._xp is not np:", "if False:", GPU_REPLAY),
    "a graph's pool asks again": ("core/replay.py", "if xp.cuda.get_current", "if not xp.cuda.get_current", GPU_REPLAY),
    "time points lost on a GPU": ("dfc/step_sums.py", "steps.end()", "pass", GPU_STEPS),
    "the first seed's noise for all": (
        "dfc/draws.py", "in enumerate(self._sources)", "in enumerate(self._sources[:1] * 3)", STACK,
    ),
    "the first seed's convergence for all": ("dfc/time_sums.py", "converged[seed], wild", "converged[0], wild", STACK),
    "the first seed's noise for a large network": (
        "dfc/learners.py", "self._noises[seed[0]]", "self._noises[0]", STACK,
    ),
    "the first seed's report for all": ("dfc/steady_state.py", "self.seeds[number]", "self.seeds[0]", STACK),
    "biases of all samples": ("dfc/network.py", "self.biases[l][..., None, :]", "self.biases[l]", STACK),
    "the first seed's batch for all": ("core/together.py", ".batch(chosen) for", ".batch(rows[0]) for", SEEDS),
    "measured before handed back": ("core/together.py", "(ended or due or self", "(ended or self", ALONE),
    "a bad end is everybody's": ("core/together.py", "if loop not in self.outcomes]", "if not self.outcomes]", ALONE),
    "noisy parts of small networks divided": (
        "dfc/learners.py", "[()]), self.pieces(activities.batch_size))", "[()]))", STACK,
    ),
    "rows held at length 0": (
        "gait/gradients.py", "(diagonal[part] - 1.0)", "diagonal[part]", "tests/core/test_parts.py",
    ),
    "small passes divided": ("core/backend.py", "if operations >= self.least else 1", "", "tests/core/test_parts.py"),
    "no second question": ("core/training.py", "if self.epoch and self.batch == 0 and", "if self.passed > 8 and", LOOP),
    "an epoch begins twice": ("core/training.py", "begin_epoch and self.batch == 0 and", "begin_epoch and", LOOP),
}  # fmt: skip

SIGNALS, LOCKS, LOADING, STREAMS, FILES, PATHS, LOGS = (
    f"tests/field/test_{name}.py"
    for name in ("signals", "locks", "loading", "streams", "written_files", "paths", "logs")
)
SUMMARIES = "tests/field/test_summaries.py"
ROBUST = "tests/cli/test_seed_robustness.py"
ORACLE, WHOLE = "tests/reference/test_strong_oracle.py", "tests/reference/test_strong_training.py"
REPLAYED, MEASURED = "tests/reference/test_strong_replay.py", "tests/reference/test_strong_diagnostics.py"
FEEDBACK_MUTANTS |= {
    "apical voltages lag in a single phase": (PARTS, 'f"dt_di{suffix}" if joint else ', "", ORACLE),
    "white noise in a single phase": (PARTS, "coloured = joint or", "coloured =", ORACLE),
    "Q learns at its own output": (PARTS, '"label" if flags["strong_feedback"] else', "", ORACLE),
    "growth without tau_noise": (PARTS, 'tau_v / flags["tau_noise"]', "tau_v", ORACLE),
    "growth of the other phase": (PARTS, 'growth=_growth(flags, flags["time_constant_ratio_fb"])',
                                  'growth=_growth(flags, flags["time_constant_ratio"])', ORACLE),
    "high-pass filter without tau_f": (PARTS, 'rate=dt / flags["tau_f"]', "rate=dt", ORACLE),
    "low-pass filter without tau_f": (PARTS, 'tau_f=flags["tau_f"] if', "tau_f=1.0 if", ORACLE),
    "further passes held": (PARTS, "held = before and", "held = suffix and", ORACLE),
    "further passes by the feedback phase": (PARTS, 'joint=True) if before else', 'joint=True) if suffix else', ORACLE),
    "scale of the other phase": (PARTS, '"sigma_output_fb" if suffix else "output_sigma"', '"output_sigma"', ORACLE),
    "gain of the other phase": (PARTS, 'k_p=flags[f"k_p{suffix}"]', 'k_p=flags["k_p"]', ORACLE),
    "one point less in the mean": ("dfc/time_sums.py", "(self.activities.batch_size * self.options.controller.steps)",
                                   "(self.activities.batch_size * (self.options.controller.steps - 1))", ORACLE),
    "one product more in the mean": ("dfc/feedback_learning.py", "1.0 / (steps - 1)", "1.0 / steps", ORACLE),
    "low-passed control starts at zero": (
        "dfc/feedback_learning.py", "self._slow = u.copy(", "self._slow = 0.0 * u.copy(", ORACLE,
    ),
    "coloured noise scaled as white": (
        "dfc/controller.py", "(c.tau_noise if self._coloured else c.tau_a)", "c.tau_a", ORACLE,
    ),
    "filter without its rate": ("dfc/controller.py", "now += rate * self.u", "now += self.u", ORACLE),
    "errors of one part": ("dfc/joint.py", "total += part", "pass", WHOLE),
    "0.99 forgotten": ("dfc/settings/__init__.py", "SOFT = 0.99", "SOFT = 0.999", WHOLE),
    "one number is three layers": (
        "dfc/settings/strong_flags.py", '{"num_hidden": 1}', '{"num_hidden": 3}', PUBLISHED_WORDS,
    ),
    "DFA twice as fast": ("dfc/settings/strong_flags.py", '"target_stepsize": 0.5', '"target_stepsize": 1.0', WHOLE),
    "gain that does not follow": (
        "dfc/settings/strong_flags.py", "options.k_p if options.k_p_fb == -1 else options.k_p_fb",
        "0.0 if options.k_p_fb == -1 else options.k_p_fb", ORACLE,
    ),
    "time constants above tau_f": (
        "dfc/settings/__init__.py", 'values[name] = min(values[name], values["tau_f"])', "pass", ORACLE,
    ),
    "clipping of one tensor": ("dfc/protocol.py", "clip_layers=True", "clip_layers=False", WHOLE),
    "clipping of all Q": ("dfc/protocol.py", "clip_each_feedback=True", "clip_each_feedback=False", WHOLE),
    "BP not clipped": ("dfc/protocol.py", "clip_as_asked=True", "clip_as_asked=False", WHOLE),
    "passive while Q learns": ("dfc/protocol.py", "proactive_feedback=True", "proactive_feedback=False", ORACLE),
    "output scale of the hidden layers": ("dfc/protocol.py", "output_scale=True", "output_scale=False", ORACLE),
    "momentum of W for Q": ("dfc/protocol.py", "feedback_momentum=True", "feedback_momentum=False", WHOLE),
    "nudge by the mean": ("dfc/protocol.py", 'aim="own_loss"', 'aim="mean_loss"', ORACLE),
    "rates of BP divided too": (
        "dfc/protocol.py", "normalize_all=False", "normalize_all=True", "tests/core/test_protocol.py",
    ),
    "long steps": ("dfc/protocol.py", "shorten_steps=True", "shorten_steps=False", ORACLE),
    "apical step of the other phase": (
        "dfc/protocol.py", 'apical_follows="dt_di_fb"', 'apical_follows="dt_di"', ORACLE,
    ),
    "rates not low-passed": ("dfc/measures/observation.py", "mean += share * (r - mean)", "mean += r - mean", REPLAYED),
    "H update uphill": ("dfc/measures/surrogate.py", "-needed[..., None]", "needed[..., None]", MEASURED),
    "H without its leak": ("dfc/measures/surrogate.py", "diagonal] += alpha", "diagonal] += 0.0", MEASURED),
    "H of a batch": (
        "dfc/measures/surrogate.py", "(1.0 / (len(u) * sum(net.sizes)))", "(1.0 / sum(net.sizes))", MEASURED,
    ),
}  # fmt: skip
OWN_RUNS, PIPELINE, PROCESSES, KERNELS = (
    "tests/cli/test_main_seeds.py",
    "tests/cli/test_run_pipeline.py",
    "tests/core/test_processes.py",
    "tests/core/test_kernels.py",
)
FEEDBACK_MUTANTS |= {
    "a repeat is a second signal": ("core/signals.py", "now - self._since > SAME_WISH", "True", SIGNALS),
    "the outer request hears nothing": (
        "core/signals.py", "self._outer and self._outer.signal is None", "False", SIGNALS,
    ),
    "the last of two signals": (
        "core/signals.py", "next(filter(self._previous.__contains__, arrived), number), now", "number, now", SIGNALS,
    ),
    "--seed for --seeds": (
        "core/options.py", "found[0][0].dest in self._abbreviated", "True", "tests/core/test_settings.py",
    ),
    "nohup undone": ("core/signals.py", "before == signal.SIG_IGN and number not in IMPATIENT", "False", SIGNALS),
    "the first seed's batch shown to all": (
        "core/together.py", "report.of(seeds[loop]) if", "report.of((0,)) if", OWN_RUNS,
    ),
    "the first seed's data for all": ("main.py", "own_draws) if own else", "own_draws) if False else", OWN_RUNS),
    "all of a group have failed": ("sweeps/processes.py", "reached = len(self.jobs) > 1", "reached = False", PROCESSES),
    "a log in use is emptied": ("sweeps/logs.py", "if anew and not in_use(folder)", "if anew", PROCESSES),
    "a longer run goes on": (
        "sweeps/processes.py", ">= job.epochs", "== job.epochs", "tests/core/test_listing.py",
    ),
    "numbers of other settings in a table": (
        "sweeps/script.py", "if error is not None:\n                #", "if False:\n                #", PIPELINE,
    ),
    "a folder judged before it is free": ("sweeps/processes.py", "            begin()", "            pass", PIPELINE),
    "drive without its rate": ("core/kernels.py", "v + basal[seed, i, j] * rate", "v + basal[seed, i, j]", KERNELS),
    "saved by all who were told": ("sweeps/processes.py", "[] if process.saved else", "[] if True else", SIGNALS),
    "a refusal fails a whole group": ("sweeps/processes.py", "if process.refused and", "if False and", PROCESSES),
    "an earlier outcome is a new one": (
        "sweeps/processes.py", "(None, self._before[job.name])", "(None,)", PROCESSES,
    ),
    "finished beyond the epochs asked for": (
        "core/together.py", "if loop.position > (plan.passes(schedule.epochs), 0)", "if False", ALONE,
    ),
    "refused after earlier runs were deleted": (
        "core/recording.py", "            self._check_deletable()\n", "            self.clear()\n", ALONE,
    ),
    "refused after runs had begun": (
        "core/together.py", "if any(folder.changed for folder in folders)", "if False", ALONE,
    ),
    "a deleted folder is not made again": (
        "core/locks.py", "            self.close()\n            self._make()\n",
        "            self.close()\n            self._open()\n", LOCKS,
    ),
    "lock opened for reading": (
        "core/locks.py", "RDWR | os.O_CREAT | os.O_EXCL", "RDONLY | os.O_CREAT | os.O_EXCL", LOCKS,
    ),
    "no locks, no word": ("core/together.py", "[folders[index].note for index in going]", "[]", LOCKS),
    "lost checkpoint trained anew": ("core/recording.py", "if shown <= epochs and", "if True or", LOADING),
    "weights of a finished run not looked for": ("core/together.py", 'in ("finished", "stopped")', "in ()", LOADING),
    "broken pipe ends training": (
        "core/program.py", "(OSError, ValueError):\n            # A", "():\n            # A", STREAMS,
    ),
    "a link is replaced": ("core/files.py", "Path(os.path.realpath(path))", "Path(path)", FILES),
    "a pipe is replaced": ("core/files.py", "not (stat.S_ISREG(kind) or", "not (kind or", FILES),
    "NaN in JSON": ("core/files.py", "not math.isfinite(content)", "False", FILES),
    "words on a table's output": ("core/program.py", "descriptor(path) == 1 for", "False for", FILES),
    "room for a name alone": ("core/paths.py", "len(last) + spare", "len(last)", PATHS),
    "a folder as a file": ("core/paths.py", "os.path.isdir(path)", "False", PATHS),
    "a deleted lock counts": ("core/locks.py", "not self._same()", "False", LOCKS),
    "a refused run stays": ("core/recording.py", "unused=not self.changed", "unused=False", LOCKS),
    "texts alone are no run": (
        "core/recording.py", "measured and self._tells_more(", "measured and False and (", LOADING,
    ),
    "a summary alone is no run": ("dfc/measures/summary.py", "if self._checkpoint is None:", "if False:", LOADING),
    "a run's files written over": ("core/recording.py", "if own and any(", "if False and any(", FILES),
    "a run is known by its config alone": ("core/recording.py", '"checkpoint.npz", "DONE", L', "L", FILES),
    "a sweep's table over a run's file": ("run_seed_robustness.py", "prepare_outputs(self.path)", "pass", FILES),
    "a default is no output": ("tidy.py", "prepare_outputs(output,", "prepare_outputs(options.output,", FILES),
    "waits for a pipe": ("core/files.py", 'raise OSError(errno.EINVAL, "it is no regular file")', "pass", SUMMARIES),
    "one file for two ends": (
        "core/recording.py", "in taken and not is_stream(path)", "in () and not is_stream(path)", FILES,
    ),
    "any checkpoint will do": ("core/recording.py", "if any(differ(", "if False and any(differ(", LOADING),
    "another watcher's numbers in a row": (
        "dfc/measures/pass_ends.py", 'if f"seen_{name}" in named}', 'if f"seen_{name}" in named}; '
        'self._found |= {n[5:]: v.tolist() for n, v in named.items() if n[:11] == "seen_gn_con" and v.shape == (1,)}',
        "tests/faults/test_main_stops.py",
    ),
    "flags at their defaults are not compared": (
        "core/recording.py", 'IMPLIED | config["options"] |', "IMPLIED |", "tests/cli/test_main_bad_input.py",
    ),
    "flags that are left out are not compared": (
        "main.py", "| _listed(optional(settings))", "", "tests/cli/test_main_bad_input.py",
    ),
    "steps of whole passes": (
        "dfc/measures/watchers.py", "first_batches=about.first_batches", "first_batches=0", LOGS,
    ),
    "a run that learned has learned nothing": (
        "dfc/measures/watchers.py", 'rule.averages and "efficient_controller" in on', "False", LOGS,
    ),
    "a measurement of nothing is silent": (
        "dfc/settings/checks.py", '_unless(s.save_logs, "without --save_logs")', '""', "tests/core/test_settings.py",
    ),
    "a step logged twice": ("dfc/measures/events.py", "if (tag, step) in self._known:", "if False:", LOGS),
    "diverged seeds in the mean": (
        "run_seed_robustness.py", "strict=True) if self.finished(run)]", "strict=True)]", ROBUST,
    ),
}  # fmt: skip


def tests_pass(folder, tests):
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    return subprocess.run(command, cwd=folder, capture_output=True).returncode == 0


def survives(mutant, folder):
    """Whether all tests pass with the defect planted in the copy in `folder`."""
    name, right, wrong, *tests = (MUTANTS | FEEDBACK_MUTANTS)[mutant]
    file = folder / name
    source = file.read_text()
    if source.count(right) < 1:
        raise SystemExit(f"mutant {mutant!r}: {name} has no {right!r}; write the mutant anew")
    file.write_text(source.replace(right, wrong, 1))
    try:
        return tests_pass(folder, tests or TESTS)
    finally:
        file.write_text(source)


def main(names):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "copy"
        ignored = shutil.ignore_patterns(".git", ".venv*", "results", "__pycache__", ".*_cache")
        shutil.copytree(ROOT, folder, ignore=ignored)
        names = names or [*MUTANTS, *FEEDBACK_MUTANTS]
        needed = {test for name in names for test in (MUTANTS | FEEDBACK_MUTANTS)[name][3:] or TESTS}
        if not tests_pass(folder, sorted(needed)):
            raise SystemExit("the tests fail without any mutant: mend that first")
        left = []
        for mutant in tqdm(names, disable=None):
            alive = survives(mutant, folder)
            tqdm.write(f"{'SURVIVES' if alive else 'caught  '}  {mutant}", file=sys.stdout)
            left += [mutant] * alive
    print(f"{len(left)} of {len(names)} mutants survive")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
