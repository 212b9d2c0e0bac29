"""Lists the command line of main.py: the published flags, and below those of Strong-DFC and of this suite.

A flag is a row as in dfc/settings/published.py.
"""

from dataclasses import dataclass
from functools import partial

from core.backend import BACKENDS
from core.options import as_path, option
from dfc.protocol import DEFECTS, KEPT, PROTOCOLS
from dfc.settings.published import (
    CLASSIFICATION,
    COMPARED,
    CONTROL,
    EFFICIENT,
    FROM_0,
    GPU,
    LEARNED,
    NORMAL,
    POSITIVE,
    SIMULATED,
    SIMULATION,
    SUCCESSOR,
    TEACHER,
    PublishedOptions,
)

# The group of the flags of the newer published program, Strong-DFC (docs/strong_dfc.md).
STRONG = "Strong-DFC"
# The group of the flags that are not published.
SUITE = "machine and files"

_strong = partial(option, group=STRONG)
_own = partial(option, group=SUITE)


@dataclass(frozen=True)
class Options(PublishedOptions):
    """Holds the options of main.py as given, before `dfc.settings.resolve`."""

    protocol: str = _strong(
        "dfc2021", "what changes numbers between the two published programs", choices=tuple(PROTOCOLS)
    )
    strong_feedback: bool = _strong(False, "drive the output to the target itself, not a nudge towards it")
    target_class_value: float = _strong(
        1.0,
        "worth of the right class in the target; the others share the rest; 1 is 0.99 with strong_feedback",
        bounds="(0, 1]",
        needs=CLASSIFICATION,
    )
    output_sigma: float = _strong(-1.0, "noise of the output layer", bounds=FROM_0, follows="sigma", needs=SIMULATION)
    low_pass_filter_noise: bool = _strong(
        False, "coloured noise instead of white; Strong-DFC has it always", needs=SIMULATED
    )
    tau_noise: float = _strong(0.8, "time constant of coloured noise", bounds=POSITIVE, needs=SIMULATED)
    low_pass_filter_u: bool = _strong(False, "layers receive a low-passed control signal", needs=SIMULATED)
    tau_f: float = _strong(
        0.9, "time constant of that filter, and of the one by which Q learns", bounds="(0, 1)", needs=SIMULATED
    )
    scaling_fb_updates: bool = _strong(
        False, "gradients of Q grow by 1 + tau_v / tau_noise from each layer to the one below", needs=NORMAL
    )
    pretrain_without_controller: bool = _strong(
        False, "Strong-DFC: hold the output where it is before epoch 1", needs=LEARNED
    )
    momentum_fb: float = _strong(
        None, "momentum for Q", bounds="[0, 1)", kind=float, follows="momentum", needs=SUCCESSOR
    )
    use_bp_updates: bool = _strong(
        False, "W moves by the gradient of BP, not clipped; control, Q and what is measured of them stay", needs=CONTROL
    )
    use_jacobian_as_fb: bool = _strong(
        False, "ideal feedback: layers receive J^T u; Q is not learned", needs=SIMULATION
    )
    min_acc: float = _strong(0.0, "stop after the fourth epoch if the training accuracy is below", bounds="[0, 1]")
    first_batches: int = _strong(0, "batches in each pass and evaluation; 0: all", bounds=FROM_0)
    start_from: str = _strong(
        None,
        "folder of a run whose W, b and Q this one starts with; no passes before epoch 1",
        kind=as_path,
        metavar="PATH",
    )
    teacher_size_hidden: str = _strong(
        "0",
        "hidden layers of a tanh teacher; 0: the large relu teacher",
        entries=int,
        bounds=FROM_0,
        metavar="LIST",
        needs=TEACHER,
    )
    teacher_linear: bool = _strong(False, "that teacher is linear instead of tanh", needs=TEACHER)
    data_random_seed: int = _strong(42, "seed of the inputs for that teacher", bounds="[0, 4294967296)", needs=TEACHER)
    defects: str = _strong(
        "kept",
        f"published defects: some of {', '.join(DEFECTS)}; or none, all, or kept: {', '.join(KEPT)}",
        entries=("kept", "none", "all", *DEFECTS),
        metavar="LIST",
    )
    save_H_angle: bool = _strong(False, "angles with the updates that descend the surrogate loss H")
    save_lu_loss: bool = _strong(False, "surrogate loss H of each epoch")
    save_ratio_ff_fb: bool = _strong(False, "feedback drive over forward drive of each layer")

    backend: str = _own("auto", "array library; auto: cupy if a GPU works", choices=BACKENDS)
    device: int = _own(0, "number of the GPU; a number other than 0 must exist", bounds=FROM_0)
    host_noise: bool = _own(
        False,
        "draw noise on the host, for the numbers of a run on the CPU, instead of on the GPU, which is faster",
        needs=GPU,
    )
    threads: int = _own(0, "threads on the CPU; 0: one per core, at most 4", bounds="[0, 64]")
    data_dir: str = _own(
        "", "folder with the data sets; default: datasets/ of this program, data/ with --load_ST_dataset", kind=as_path
    )
    seeds: str = _own(
        "",
        "several seeds, as 1-5 or '1 2 5', trained at once in this process, each in its own folder, out_dir/seed_SEED, "
        "as if it were alone; default: the one of --random_seed",
        metavar="SEEDS",
    )
    train_samples: int = _own(0, "images: learn from the first N training samples only; 0: all", bounds="[0, inf)")
    load: bool = _own(False, "continue the run in out_dir")
    load_or_start: bool = _own(False, "like --load, but start the run if there is none; for sweeps")
    overwrite: bool = _own(False, "delete an earlier run in out_dir and start again")
    quiet: bool = _own(False, "no progress bar and no advice, one line per epoch only")
    dry_run: bool = _own(False, "print options, folder, size and the time expected from a few batches; write nothing")
    sample0_error: str = _own(
        "published",
        "first error of the efficient layer-by-layer simulation; "
        "published: every sample against the output of the first",
        choices=("published", "corrected"),
        needs=EFFICIENT,
    )
    nan_test: str = _own(
        "published",
        "weights that end a run; published: nan or above 1000; symmetric: below -1000 too",
        choices=("published", "symmetric"),
        needs=COMPARED,
    )


PUBLISHED = tuple(
    name for name, field in Options.__dataclass_fields__.items() if field.metadata["group"] not in (SUITE, STRONG)
)
