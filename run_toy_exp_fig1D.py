"""Runs the toy experiment of figure 1D: the controller drives the output of a small network to its target.

The feedback weights learn in passes over the training samples, unless OUT_DIR/trainedFB.npz already has some;
then the first batch is simulated, and its first three samples are drawn.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from core.signals import start

    start()

import io
from dataclasses import dataclass

import numpy as np

import main as program
from configs import load, to_argv
from core.backend import select_backend, to_host
from core.errors import UserError
from core.files import FileError, make_folder, read_bytes, read_json, replacing, write_arrays
from core.options import Parser, UsageError, as_path, first_paragraph, option
from core.paths import exists
from core.program import EXIT_DIVERGED, StoppedByError, run_program
from dfc.build import build_network
from dfc.draws import Draws
from dfc.gradients import output_target
from dfc.measures.feedback_diagnostics import feedback_fit
from dfc.settings.parts import forward_controller
from dfc.simulation import record
from dfc.tasks import load_task
from figures import fig1d
from figures.toy import both, draw_or_note
from run_config import split

PROG = "run_toy_exp_fig1D.py"
OUT_DIR = "./logs/toy_experiments/fig1D"
DATA, FEEDBACK, PRETRAINING = "fig1D.npz", "trainedFB.npz", "pretraining"
# Number of samples of the first batch.
SAMPLES = 3
# Such a small network is fastest on one core.
TOY = {"backend": "numpy", "threads": 1, "save_logs": False}
QUICK = {"epochs_fb": 5}
EPILOG = "All other options are those of main.py (python main.py --help) and replace the module's."
CONTINUED = "the feedback weights in --out_dir are used, and their training is continued, anyway"
RESERVED = {
    "load": CONTINUED,
    "load_or_start": CONTINUED,
    "seeds": "there is one seed, that of --seed",
    "start_from": "the feedback weights are those in --out_dir, and W keeps its initial values",
} | dict.fromkeys(("out_dir", "random_seed"), "must be written in full")
# What the feedback weights do not depend on, so that another controller may be tried on the same ones.
FORWARD_PHASE = (
    "alpha_di", "dt_di", "tmax_di", "k_p", "time_constant_ratio", "apical_time_constant", "inst_transmission",
    "proactive_controller", "target_stepsize", "lr", "train_only_feedback_parameters", "use_bp_updates", "min_acc",
    "save_lu_loss", "save_H_angle", "save_ratio_ff_fb", "save_condition_gn",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """Holds the options of run_toy_exp_fig1D.py itself."""

    config_module: str = option(
        "configs.toy_experiments.config_fig1D", "module whose `config` is used", metavar="MODULE"
    )
    out_dir: str = option(
        "", f"folder of data and pictures; default {OUT_DIR}, with --quick {OUT_DIR}_quick", kind=as_path
    )
    seed: int = option(None, "seed; default: the module's", bounds="[0, inf)", kind=int, names=("--random_seed",))
    quick: bool = option(False, f"learn the feedback weights in {QUICK['epochs_fb']} passes only")
    overwrite: bool = option(False, "learn the feedback weights anew")
    quiet: bool = option(False, "no progress bar and no advice")


def command_line(options, overrides):
    """Returns the command line of main.py for the experiment."""
    seed = {} if options.seed is None else {"random_seed": options.seed}
    config = load(options.config_module) | TOY | (QUICK if options.quick else {}) | seed
    return [*to_argv(config), *overrides]


def check(settings):
    """Raises UsageError for settings of another kind of network."""
    if not settings.rule.controlled:
        raise UsageError(f"--network_type={settings.rule.name}: must be DFC, whose controller is drawn")
    outputs = settings.task.sizes[-1]
    if outputs != 1:
        raise UsageError(f"--size_output={outputs}: must be 1, the output that is drawn")


def pretrain(argv, folder, options):
    """Trains the feedback weights, in a run folder of main.py; returns [Q_0, Q_1, …].

    Raises  StoppedByError, the errors of main.train
    """
    begin = "--overwrite" if options.overwrite else "--load_or_start"
    words = ["--train_only_feedback_parameters", f"--out_dir={folder}", begin]
    settings = program.parse([*argv, *words, *(["--quiet"] if options.quiet else [])], PROG)
    try:
        outcome, run = program.train(settings)
    except UsageError as error:
        raise UsageError(
            f"{str(error).removeprefix('--load: ')}; give another --out_dir, or --overwrite to learn anew"
        ) from None
    if outcome["outcome"] == "interrupted":
        raise StoppedByError("interrupted and saved; the same command continues it", 128 + outcome["signal"])
    if outcome["outcome"] != "finished":
        raise StoppedByError(f"the feedback weights could not be learned: {outcome['outcome']}", EXIT_DIVERGED)
    return [np.load(run.path / f"{l}Lfeedback.npy", allow_pickle=False) for l in range(len(settings.task.sizes) - 1)]


def write_feedback(path, feedback):
    """Writes [Q_0, Q_1, …] to a file."""
    with replacing(path) as file:
        np.savez(file, **{f"Q{l}": q for l, q in enumerate(feedback)})


def read_feedback(path, sizes):
    """Returns [Q_0, Q_1, …] of a file, Q_l (n_l, n_L) for layers of `sizes`, without the input.

    Raises  FileError
    """
    try:
        with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:
        # For damaged bytes zipfile, zlib, struct and numpy each raise errors of their own.
        reason = getattr(error, "strerror", None) or (str(error) or type(error).__name__).splitlines()[0]
        raise FileError(
            f"{path} is damaged or unreadable ({reason}); without it the feedback weights are learned anew"
        ) from None
    names = [f"Q{l}" for l in range(len(sizes))]
    if set(arrays) != set(names):
        raise FileError(f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}, where {', '.join(names)} are needed")
    for name, size in zip(names, sizes, strict=True):
        if arrays[name].shape != (size, sizes[-1]):
            raise FileError(f"{path}: {name} has shape {arrays[name].shape}, where {(size, sizes[-1])} is needed")
        if arrays[name].dtype.kind != "f" or not np.isfinite(arrays[name]).all():
            raise FileError(f"{path}: {name} holds values that are not finite numbers")
    return [arrays[name] for name in names]


def check_origin(folder, settings):
    """Raises UsageError if the feedback weights in a folder are known to come from other settings."""
    config = folder / PRETRAINING / "config.json"
    written = read_json(config, settings=dict, options=dict) if exists(config) else {"options": {}, "settings": {}}
    made = written["options"] | written["settings"]
    for name, value in program.result_settings(settings).items():
        if name not in FORWARD_PHASE and made.get(name, value) != value:
            raise UsageError(
                f"{folder / FEEDBACK} was learned with {name} = {made[name]}, not {value}; "
                "give another --out_dir, or --overwrite to learn anew"
            )


def learned_feedback(argv, settings, folder, options):
    """Returns [Q_0, Q_1, …] from the folder, or trained now and saved there; None if none are to be trained."""
    path = folder / FEEDBACK
    if exists(path) and not options.overwrite:
        check_origin(folder, settings)
        return read_feedback(path, settings.task.sizes[1:])
    if settings.flags["freeze_fb_weights"] or not settings.flags["epochs_fb"]:
        return None
    # The old weights are deleted, because they must not be taken for the new ones if training is interrupted.
    old = read_bytes(path) if exists(path) else None
    path.unlink(missing_ok=True)
    try:
        feedback = pretrain(argv, folder / PRETRAINING, options)
    except UserError:
        # Nothing was learned, and the earlier run of the old weights is as it was.
        if old is not None:
            with replacing(path) as file:
                file.write(old)
        raise
    write_feedback(path, feedback)
    return feedback


def condition(net, task, settings):
    """Returns condition 2 of the paper, |P Qbar| / |Qbar|: its mean over the batches of the training samples."""
    size, count = settings.schedule.batch_size, len(task.train)
    batches = (net.forward(task.train.batch(slice(start, start + size))[0]) for start in range(0, count, size))
    fits = (feedback_fit(net, activities, measures=("condition_gn",)) for activities in batches)
    found = [float(to_host(fit["condition_gn"])) for fit in fits]
    return sum(found) / len(found)


def control(net, task, draws, settings):
    """Returns the data of the figure: output and control of the first samples of the first batch.

    They have all time points. The batch is that of the pass after those that trained Q, whether they were trained
    now or read (docs/published/dfc.md K.6).
    """
    flags = settings.flags
    order = draws.order(flags["epochs_fb"], len(task.train))
    inputs, labels = task.train.batch(order[: flags["batch_size"]])
    activities = net.forward(inputs)
    target = output_target(net, activities, labels, settings.system.rule_options)
    controller = forward_controller(flags | {"noisy_dynamics": False, "inst_system_dynamics": False})
    few = slice(SAMPLES)
    trajectory = record(net, activities.part(few), target[few], controller)
    return {
        "samples": np.arange(len(target[few])),
        "output": to_host(trajectory.r[-1])[..., 0],
        "control": to_host(trajectory.u)[..., 0],
        "target": to_host(target[few])[:, 0],
        "dt": np.array(controller.dt),
        "alpha": np.array(controller.alpha),
    }


def experiment(argv, settings, folder, options):
    """Trains or reads Q, prints condition 2, simulates, writes DATA and returns its path."""
    backend = select_backend(settings.machine.backend, settings.machine.device, settings.machine.precision)
    feedback = learned_feedback(argv, settings, folder, options)
    draws = Draws(settings.random_seed, backend)
    task = load_task(settings.task, backend, draws.teacher, settings.quiet)
    net = build_network(settings.system.network, backend, draws)
    if feedback is not None:
        net.feedback = [backend.floats(q) for q in feedback]
    # Kernels of BLAS may report invalid numbers where all are finite.
    with np.errstate(invalid="ignore"):
        ratio, arrays = condition(net, task, settings), control(net, task, draws, settings)
    print(f"gn_condition_init {ratio:.6f}")
    write_arrays(folder / DATA, arrays | {"gn_condition_init": np.array(ratio)})
    return folder / DATA


def main(argv=None):
    """Runs one command line; returns the exit status.

    It is 0, 1 after a full disk, 2 for a mistake, 3 if Q diverged, or 128 + the number of a signal.
    """
    parser = Parser(prog=PROG, description=first_paragraph(__doc__), epilog=EPILOG)
    options, overrides = split(parser, Options, argv, RESERVED)

    def run():
        words = command_line(options, overrides)
        settings = program.parse(words, PROG)
        check(settings)
        folder = make_folder(options.out_dir or OUT_DIR + ("_quick" if options.quick else ""))
        draw_or_note(fig1d.write, experiment(words, settings, folder, options), both(folder / fig1d.NAME))
        return 0

    return run_program(PROG, run, "interrupted; the same command continues")


if __name__ == "__main__":
    # Modules in the current folder can be imported.
    sys.path.append("")
    sys.exit(main())
