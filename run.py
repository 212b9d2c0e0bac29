"""Trains an invertible network on images by backpropagation, target propagation or GAIT-prop.

Ahmad, van Gerven, Ambrogioni, "GAIT-prop: A biologically plausible learning rule derived from backpropagation of
error", NeurIPS 2020, arXiv:2006.06438.
"""

import sys
from pathlib import Path

# Signals are caught before the imports, which take long; the folder is named because PYTHONSAFEPATH hides it.
if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from core.signals import start

    start()

import contextlib
from dataclasses import dataclass
from functools import partial

import datasets
from core import rehearsal
from core.backend import BACKENDS, PRECISIONS, Workers, select_backend
from core.machine import check_machine, default_count, provenance
from core.optimisers import OPTIMISERS
from core.options import (
    LAYERS,
    Parser,
    UsageError,
    add_arguments,
    add_rule_arguments,
    as_path,
    first_paragraph,
    option,
    split_rule_arguments,
)
from core.program import run_program, say
from core.recording import RunFolder
from core.seeds import check_alone, say_of
from core.signals import StopRequest
from core.streams import INITIALISERS, stream
from core.together import run_to_outcomes
from core.training import Loop, Schedule
from datasets.samples import Images, divided_table
from gait.alignment import Alignment
from gait.endings import conclude_all
from gait.evaluation import Evaluation
from gait.gradients import OrthogonalRegulariser
from gait.learner import Learner
from gait.settings import check_fits, expand, initialiser, resolved, result_settings, run_name, runs_of, solver
from inv_layer import SingularWeights
from inv_net import SquareInvNet, TowerInvNet, layer_sizes
from rules import RULES
from utils import LEAKY_RELU, LINEAR

_experiment = partial(option, group="experiment")
_network = partial(option, group="network")
_machine = partial(option, group="machine")
_measurements = partial(option, group="measurements")
_files = partial(option, group="files")


@dataclass(frozen=True)
class Options:
    """Holds the options of run.py; those of a rule are defined with the rule."""

    algorithm: str = _experiment("BP", "learning rule", choices=tuple(RULES))
    dataset: str = _experiment("MNIST", "images to learn", choices=tuple(datasets.CATALOGUE))
    seed: int = _experiment(1, "seed of the initial weights", bounds="[0, inf)")
    seeds: str = _experiment(
        "",
        "several seeds, as 1-5 or '1 2 5', trained at once in this process; each has a run folder as if it were alone; "
        "default: the one of --seed",
        metavar="SEEDS",
    )
    nb_epochs: int = _experiment(100, "passes over the training images, in all", bounds="[1, inf)")
    optimizer: str = _experiment("Adam", "optimiser, with its default numbers", choices=tuple(OPTIMISERS))
    learning_rate: float = _experiment(1e-4, "step size", bounds="(0, inf)")
    orthogonal_reg: float = _experiment(
        0.0, "strength of the orthogonal regulariser; 0 implies orthogonal initial weights", bounds="[0, inf)",
        names=("--orthogona_reg",),
    )  # fmt: skip
    unit_rows: bool = _experiment(False, "the regulariser also holds the rows of the weights at length 1")
    batch_size: int = _experiment(60, "images in a batch, in file order", bounds="[1, inf)")
    train_samples: int = _experiment(0, "learn from the first N training images only; 0: all", bounds="[0, inf)")
    nb_layers: int = _network(1, "hidden layers of the square network, not used with --tower", bounds=LAYERS)
    tower: bool = _network(False, "tower network, layers 784-784-500-200-10, instead of the square one")
    linear: bool = _network(False, "linear units instead of leaky ReLU with slope 0.1")
    orthogonal_init: bool = _network(False, "random orthogonal initial weights; the same as --init=orthogonal")
    init: str = _network(
        "auto",
        "initial weights; auto: orthogonal with --orthogonal_init or without a regulariser, otherwise xavier",
        choices=("auto", *INITIALISERS),
    )
    precision: str = _machine("float64", "float type of all arithmetic", choices=PRECISIONS)
    backend: str = _machine("auto", "array library; auto: cupy if a GPU works", choices=BACKENDS)
    device: int = _machine(0, "number of the GPU; a number other than 0 must exist", bounds="[0, inf)")
    threads: int = _machine(0, "threads on the CPU; 0: one per core, at most 4", bounds="[0, 64]")
    solver: str = _machine(
        "auto",
        "how TP and GAIT invert weights; direct: LU; gram: through the regulariser's Gram matrix if that converges, "
        "with one synchronisation with the device per product; auto: gram on the CPU, direct on a GPU",
        choices=("auto", "gram", "direct"),
    )
    eval_interval: int = _measurements(
        0,
        "measure after every N batches, except the last of an epoch (10 gives the published series); "
        "0: after every epoch",
        bounds="[0, inf)",
    )
    alignment: bool = _measurements(
        False,
        "measure the angle between the rule's update and backpropagation's, of each layer and of the network, "
        "in degrees, on the first batch of the training images",
    )
    data_dir: str = _files("", "folder of MNIST/ and the like; default: this program's datasets/", kind=as_path)
    results_dir: str = _files("results", "folder for the run folders", kind=as_path)
    load: bool = _files(False, "continue the run of these options, up to --nb_epochs in all")
    load_or_start: bool = _files(False, "like --load, but start the run if there is none; for sweeps")
    overwrite: bool = _files(False, "delete an earlier run of these options and start again")
    quiet: bool = _files(False, "no progress bar and no advice, one line per epoch only")
    dry_run: bool = _files(False, "print options, folder, size and the time expected from a few batches; write nothing")


EPILOG = (
    "Each setting has its own run folder; see docs/files.md.  "
    "@FILE among the options is replaced by the options in that file."
)


def parse(argv=None):
    """Returns (Options, the rule's options) of a command line; exits with status 2 on a mistake."""
    parser = Parser(prog="run.py", description=first_paragraph(__doc__), epilog=EPILOG)
    add_arguments(parser, Options)
    add_rule_arguments(parser, Options, RULES, "algorithm")
    try:
        given = vars(parser.parse_args(expand(sys.argv[1:] if argv is None else argv)))
        rule = RULES[given.get("algorithm", Options.algorithm)]
        given, own = split_rule_arguments(given, Options, RULES, "algorithm", rule)
        options = Options(**given)
        if "seeds" in given:
            check_alone(options, given, "seed")
        check(options)
    except UsageError as error:
        parser.error(str(error))
    return options, rule.Options(**own)


def check(options):
    """Raises UsageError for options that contradict each other."""
    if options.orthogonal_init and options.init == "xavier":
        raise UsageError("--init=xavier: contradicts --orthogonal_init")
    check_machine(options)
    if options.solver != "auto" and not RULES[options.algorithm].inverts:
        raise UsageError(
            f"--solver={options.solver}: does not apply to --algorithm={options.algorithm}, which inverts nothing"
        )
    for name, asked in (("--solver=gram", options.solver == "gram"), ("--unit_rows", options.unit_rows)):
        if asked and not options.orthogonal_reg:
            raise UsageError(f"{name}: needs --orthogonal_reg above 0, whose Gram matrix it uses")


def load_samples(options, backend):
    """Returns (training samples, test samples).

    Raises  UsageError if they are fewer than the options ask for
    """
    further = {"download": False} if options.dry_run else {}
    data = datasets.load(options.dataset, options.data_dir or None, options.quiet, **further)
    (count, pixels), wanted = data.train_images.shape, options.train_samples
    if options.tower and pixels != layer_sizes(True, None, None)[0]:
        raise UsageError(f"--tower: needs images of 784 pixels, those of {options.dataset} have {pixels}")
    if wanted > count:
        raise UsageError(f"--train_samples={wanted}: {options.dataset} has {count} training images")
    chosen = wanted or count
    if options.batch_size > chosen:
        raise UsageError(f"--batch_size={options.batch_size}: must be in [1, {chosen}], the number of training images")
    batches = -(-chosen // options.batch_size)
    if options.eval_interval >= batches and options.eval_interval:
        raise UsageError(
            f"--eval_interval={options.eval_interval}: must be below {batches}, the number of batches of an epoch "
            "(leave it out to measure after every epoch)"
        )
    table = divided_table(data.train_images.max(), backend.dtype)
    train = Images(data.train_images[:chosen], data.train_labels[:chosen], table, backend, "one_hot", data.classes)
    return train, Images(data.test_images, data.test_labels, table, backend, "one_hot", data.classes)


def build_net(options, inputs, classes, backend):
    """Returns the network with its initial weights, which depend only on the seed and the layer."""
    sizes = layer_sizes(options.tower, inputs, options.nb_layers)
    draw = INITIALISERS[initialiser(options)]
    weights = [backend.floats(draw(stream(options.seed, "init", l), n, n)) for l, n in enumerate(sizes)]
    biases = [backend.xp.zeros(n, dtype=backend.dtype) for n in sizes]
    net = TowerInvNet if options.tower else SquareInvNet
    return net(weights, biases, LINEAR if options.linear else LEAKY_RELU, classes, solver(options, backend) == "gram")


def build_learner(options, rule_options, samples, backend, workers):
    """Returns the learner of a network with its initial weights."""
    net = build_net(options, samples.pixels.shape[-1], samples.classes, backend)
    make, *_ = OPTIMISERS[options.optimizer]
    optimiser = make(net.parameters, options.learning_rate)
    regulariser = OrthogonalRegulariser(options.orthogonal_reg, options.unit_rows)
    return Learner(net, RULES[options.algorithm], rule_options, regulariser, optimiser, workers, backend.block)


def build_loop(options, rule_options, sets, backend, workers, folder, report):
    """Returns the loop of one seed; `sets` are the samples to learn from and those to test with."""
    train, test = sets
    learner = build_learner(options, rule_options, train, backend, workers)
    schedule = Schedule(options.nb_epochs, options.batch_size, options.eval_interval or None, option="--nb_epochs")
    watchers = [Evaluation(train, test, workers, options.quiet)]
    if options.alignment:
        own, bp = (RULES[options.algorithm], rule_options), (RULES["BP"], RULES["BP"].Options())
        watchers.append(Alignment(own, bp, train, options.batch_size))
    return Loop(learner, train, schedule, watchers, folder, report, options.quiet)


def prepare(options):
    """Returns what the runs of a command line need.

    Returns  (Backend, threads, (training, test samples), Options per seed, a sentence on memory)
    Raises   UserError
    """
    backend = select_backend(options.backend, options.device, options.precision)
    threads = (options.threads or default_count()) if backend.device is None else 1
    sets, runs = load_samples(options, backend), runs_of(options)
    memory = check_fits(options, layer_sizes(options.tower, sets[0].pixels.shape[-1], options.nb_layers), backend)
    return backend, threads, sets, runs, memory


def train(options, rule_options):
    """Trains one run per seed from its data to its files; returns [(outcome as in DONE, folder), …].

    Raises  UserError before the first batch; StoppedByError afterwards
    """
    backend, threads, sets, runs, memory = prepare(options)
    place = Path(options.results_dir)
    folders = [RunFolder(place / run_name(each, rule_options), result_settings(each, rule_options)) for each in runs]
    with contextlib.ExitStack() as opened:
        for folder in folders:
            opened.callback(folder.close)
            folder.open(options.load, options.load_or_start, options.overwrite)
        if not options.quiet:
            paths = "\n".join(str(folder.path) for folder in folders)
            note = f" ({backend.note})" if backend.note else ""
            say(f"{paths}\n{backend.describe()}, threads: {threads}{note}{memory}")
        with Workers(threads) as workers:
            shared = {"backend": backend.name, "threads": threads}
            shared |= {"solver": solver(options, backend), "train_samples": len(sets[0])}
            records = [provenance(backend, threads, resolved(each, rule_options) | shared) for each in runs]
            loops = [
                build_loop(
                    each, rule_options, sets, backend, workers, folder, say if len(runs) == 1 else say_of(each.seed)
                )
                for each, folder in zip(runs, folders, strict=True)
            ]
            return list(zip(run_to_outcomes(loops, folders, records, give_up), folders, strict=True))


def rehearse(options, rule_options):
    """Prints what a command line would do, and writes nothing; returns the exit status.

    Raises  UserError, StoppedByError
    """
    backend, threads, sets, runs, memory = prepare(options)
    about = [f"{backend.describe()}, threads: {threads}{memory}"]
    about += ["what follows is about the first seed alone"] * bool(memory)
    folders = [Path(options.results_dir) / run_name(each, rule_options) for each in runs]
    with Workers(threads) as workers:
        loop = build_loop(runs[0], rule_options, sets, backend, workers, None, say)
        rehearsal.tell(folders, resolved(options, rule_options), loop, about)
    return 0


def give_up(loop, error):
    """Returns the outcome of a loop whose rule met a matrix without an inverse; other errors are raised."""
    if isinstance(error, SingularWeights):
        return loop.give_up("singular", reason=str(error))
    raise error


def main(argv=None):
    """Runs one command line; returns the exit status (docs/files.md, "Exit status")."""

    def run():
        options, rule_options = parse(argv)
        if options.dry_run:
            return rehearse(options, rule_options)
        ended = train(options, rule_options)
        with StopRequest():
            # The run is over, so that a signal must not change anything.
            return conclude_all(options, ended)

    return run_program("run.py", run)


if __name__ == "__main__":
    sys.exit(main())
