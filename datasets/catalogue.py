"""Lists the data sets: one row per set contains all that the programs need to know about it.

One more `idx_set(...)` in DATA_SETS is a further image set in IDX form, which both programs then offer.
"""

import math
from dataclasses import dataclass, replace

from datasets.idx import IdxFile

ROLES = ("train_images", "train_labels", "test_images", "test_labels")
# Training images that the published Deep Feedback Control program holds out of every set.
VALIDATION = 5000


@dataclass(frozen=True)
class Source:
    """Says where an image set comes from: its four files, their URL, and further folders that may hold them.

    names  what other programs call its folder; case, hyphens and the like do not matter
    """

    train_images: IdxFile
    train_labels: IdxFile
    test_images: IdxFile
    test_labels: IdxFile
    url: str
    folders: tuple = ()
    classes: int = 10
    names: tuple = ()


@dataclass(frozen=True)
class DataSet:
    """Holds the facts about one data set.

    name         the folder of its files, and --dataset in run.py, which learns from sets in IDX form
    flag         --dataset in main.py; None: main.py does not offer it
    task         "classification", "autoencoder" (the targets are the inputs) or "regression"
    inputs       numbers in an input; None: as many as the network has
    outputs      numbers in an output, the classes of a classification; None: as many as the network has
    training     training samples; None: as many as the command line asks for
    validation   number of training samples that main.py holds out, unless --no_val_set is given
    mean, spread of a pixel in [0, 1]: main.py learns from (p / 255 - mean) / spread; run.py divides by the largest
    pixel
    least        training accuracy below which main.py stops a run early; None: it never does
    least_bp     the same with --network_type=BP
    autoencoder  --dataset in main.py for the same images as an autoencoder's inputs and targets; None: not offered
    source       the Source of its files in IDX form; None: a module of its own reads or draws the set
    """

    name: str
    flag: str | None = None
    task: str = "classification"
    inputs: int | None = None
    outputs: int | None = None
    training: int | None = None
    validation: int = VALIDATION
    mean: float = 0.0
    spread: float = 1.0
    least: float | None = None
    least_bp: float | None = None
    autoencoder: str | None = None
    source: Source | None = None


def idx_set(
    name, url, checksums, folders=(), pixels=(28, 28), training=60000, testing=10000, classes=10, names=(), **facts
):
    """Returns the row of an image set in IDX form, whose four files have MNIST's names.

    checksums  four dicts in the order of ROLES: {"sha256": of the unpacked file} or {"gz_md5": of the packed file}
    folders    folders outside this project that may hold the files
    pixels     shape of an image
    names      what other programs call the folder of the files
    facts      further fields of DataSet
    """
    shapes = ((training, *pixels), (training,), (testing, *pixels), (testing,))
    own = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    files = [IdxFile(*file, **checksum) for *file, checksum in zip(own, shapes, checksums, strict=True)]
    source = Source(*files, url, folders, classes, names)
    return DataSet(name, inputs=math.prod(pixels), outputs=classes, training=training, source=source, **facts)


DATA_SETS = (
    idx_set(
        "MNIST",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        (
            {"sha256": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"},
            {"sha256": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"},
            {"sha256": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"},
            {"sha256": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"},
        ),
        flag="mnist",
        autoencoder="mnist_autoencoder",
        mean=0.1307,
        spread=0.3081,
        least=0.3,
        least_bp=0.4,
    ),
    idx_set(
        "KMNIST",
        "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        (
            # Of the training files only the MD5 of the packed file is published.
            {"gz_md5": "bdb82020997e1d708af4cf47b453dcf7"},
            {"gz_md5": "e144d726b3acfaa3e44228e80efcd344"},
            {"sha256": "76fbd229ce87db80dd281af5e6670de4ad0e42fb30a7bd643972994c47c1f42e"},
            {"sha256": "a11dc742be8e781a40a92f53d6a4957e7b7d36df2faa097659131ebfd8fd60c6"},
        ),
        names=("Kuzushiji-MNIST",),
    ),
    idx_set(
        "FMNIST",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        (
            {"sha256": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"},
            {"sha256": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"},
            {"sha256": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"},
            {"sha256": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"},
        ),
        # Debian's package dataset-fashion-mnist has this folder.
        ("/usr/share/datasets/fashion-mnist",),
        names=("FashionMNIST", "fashion"),
        flag="fashion_mnist",
        least=0.3,
        least_bp=0.4,
    ),
    DataSet(
        "CIFAR10",
        "cifar10",
        inputs=3 * 32 * 32,
        outputs=10,
        training=50000,
        mean=0.5,
        spread=0.5,
        least=0.25,
        least_bp=0.25,
    ),
    DataSet("student_teacher", "student_teacher", task="regression"),
)


def _by_flag(rows):
    tasks = {row.flag: row for row in rows if row.flag}
    autoencoders = (row for row in rows if row.autoencoder)
    facts = {"task": "autoencoder", "least": None, "least_bp": None}
    return tasks | {
        row.autoencoder: replace(row, flag=row.autoencoder, outputs=row.inputs, **facts) for row in autoencoders
    }


# {--dataset in main.py: DataSet}
BY_FLAG = _by_flag(DATA_SETS)
