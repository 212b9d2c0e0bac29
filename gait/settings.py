"""Derives initial weights, the settings of the results and the run folder's name from the options of run.py."""

import dataclasses
import shlex
from pathlib import Path

from core.errors import UsageError
from core.machine import check_memory
from core.paths import expanded
from core.seeds import parse_seeds

# Options that the numbers do not depend on, or that may change when a run goes on.
NOT_COMPARED = (
    "nb_epochs", "backend", "device", "threads", "data_dir", "results_dir", "load",
    "load_or_start", "overwrite", "quiet", "orthogonal_init", "solver", "seeds",
)  # fmt: skip


def initialiser(options):
    """Returns the name in INITIALISERS that the options ask for."""
    if options.init != "auto":
        return options.init
    return "orthogonal" if options.orthogonal_init or options.orthogonal_reg == 0.0 else "xavier"


def solver(options, backend):
    """Returns the solver that the options ask for, "gram" or "direct".

    "gram" waits for the device after every product, which costs nothing on a CPU only.
    """
    if options.solver != "auto":
        return options.solver
    return "gram" if backend.device is None else "direct"


def run_name(options, rule_options):
    """Returns the published name of the folder; options that it lacks are added if not at their default."""
    named = [options.dataset, options.algorithm]
    named += ["Linear"] * options.linear
    named += ["OrthoInit"] * (options.orthogonal_init or options.init == "orthogonal")
    named += [f"{options.orthogonal_reg}OrthoReg", f"{options.seed}Seed", f"{options.learning_rate}LR"]
    named += [f"{options.nb_layers}{'TOWER' if options.tower else 'L'}"]
    named += ["XavierInit"] * (options.init == "xavier" and options.orthogonal_reg == 0.0)
    named += ["UnitRows"] * options.unit_rows
    named += [options.optimizer] * (options.optimizer != "Adam")
    for field in dataclasses.fields(rule_options):
        value = getattr(rule_options, field.name)
        if value != field.default:
            named.append(value if isinstance(value, str) else f"{value}{field.name}")
    named += [options.precision] * (options.precision != "float64")
    named += [f"{options.batch_size}batch"] * (options.batch_size != 60)
    named += [f"{options.train_samples}samples"] * (options.train_samples != 0)
    named += [f"{options.eval_interval}interval"] * (options.eval_interval != 0)
    named += [options.solver] * (options.solver != "auto")
    named += ["alignment"] * options.alignment
    return "_".join(named)


def resolved(options, rule_options):
    """Returns {option: value} of all options, those of the rule included."""
    values = dataclasses.asdict(options) | dataclasses.asdict(rule_options) | {"init": initialiser(options)}
    return {name: value for name, value in values.items() if name != "dry_run"}


def result_settings(options, rule_options):
    """Returns {option: value} of everything that the numbers depend on, except for the number of epochs."""
    return {name: value for name, value in resolved(options, rule_options).items() if name not in NOT_COMPARED}


def runs_of(options):
    """Returns the Options of every run of a command line, one per seed."""
    seeds = parse_seeds(options.seeds) if options.seeds else [options.seed]
    return [dataclasses.replace(options, seed=seed, seeds="") for seed in seeds]


def check_fits(options, sizes, backend):
    """Returns a sentence on the memory that the networks of all seeds need; "" for a single network.

    One of several takes its weights, two moments, gradients and buffers, all of it twice.

    sizes   units of each layer
    Raises  UsageError if they do not fit
    """
    each = sum(size * (size + 1) for size in sizes) * backend.dtype.itemsize * (14 if options.orthogonal_reg else 12)
    flag = f"--seeds={options.seeds}" if options.seeds else f"--nb_layers={options.nb_layers}"
    return check_memory(len(runs_of(options)), each, backend, flag)


def expand(argv):
    """Returns the words of a command line, with each @FILE replaced by the words in that file.

    They are quoted as for a shell, and # begins a comment.
    Raises  UsageError if the file cannot be read, or asks for help
    """
    return [inner for word in argv for inner in (_words(word[1:]) if word.startswith("@") else [word])]


def _words(path):
    try:
        words = shlex.split(Path(expanded(path)).read_text(), comments=True)
    except (OSError, ValueError) as error:
        raise UsageError(f"@{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    for word in ("-h", "--help", "--version"):
        if word in words:
            # A sweep would take the run for a finished one, as its status is 0.
            raise UsageError(f"@{path}: must hold options of a run, not {word}")
    return words
