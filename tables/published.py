"""Reads the cells of the published tables from docs/published/tables.csv, which has one row per cell.

table    the paper, in short: dfc, gait, strong_dfc
task     the data, and the network if the table names it
method   the learning rule
quantity one of QUANTITIES
mean     the published number; empty if no page at hand gives it
std      its sample standard deviation over seeds; empty if it is unknown
n        number of seeds, published and to be run; 5 if it is unknown
epochs   passes over the training samples
seconds  estimated seconds per epoch on one core in float32, for the order of the runs and the time they need
command  makes the cell: run_seed_robustness.py or run.py with options; empty if no program here makes it
source   place of the number in the publication
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from core.files import FileError

PATH = Path(__file__).resolve().parent.parent / "docs" / "published" / "tables.csv"
COLUMNS = ("table", "task", "method", "quantity", "mean", "std", "n", "epochs", "seconds", "command", "source")
USUAL_SEEDS = 5


@dataclass(frozen=True)
class Quantity:
    """Describes a number that is tabulated.

    column   column of the tidy table of runs from which it follows
    curve    column of metrics.csv, in the common vocabulary, that is drawn over the epochs
    convert  function of a number or array in that column
    digits   decimals that are printed
    """

    column: str
    curve: str
    convert: callable
    digits: int


QUANTITIES = {
    "test error %, best validation epoch": Quantity(
        "test_acc_val_best", "test_acc", lambda accuracy: 100 * (1 - accuracy), 2
    ),
    "test accuracy %, last epoch": Quantity("test_acc", "test_acc", lambda accuracy: 100 * accuracy, 2),
    "training loss, last epoch": Quantity("train_loss", "train_loss", lambda loss: loss, 6),
    "test loss, best validation epoch": Quantity("test_loss_val_best", "test_loss", lambda loss: loss, 6),
}


@dataclass(frozen=True)
class Cell:
    """Holds one published number and the command that makes it; the fields are the columns, None if empty.

    line  where the cell stands in the file of published numbers; messages name it
    """

    table: str
    task: str
    method: str
    quantity: str
    mean: float | None
    std: float | None
    n: int
    epochs: int
    seconds: float
    command: str
    source: str
    line: int

    @property
    def name(self):
        """Returns the name of the cell: table, task and method."""
        return f"{self.table}, {self.task}, {self.method}"


def read_cells(path=PATH):
    """Returns the Cells of a file in its order.  Raises FileError, which names the line, if it is damaged."""
    try:
        header, *rows = csv.reader(io.StringIO(Path(path).read_text()))
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, csv.Error) as error:
        raise FileError(f"{path} is damaged ({error})") from None
    if tuple(header) != COLUMNS:
        raise FileError(f"{path}: line 1 must be {','.join(COLUMNS)}")
    return [_cell(row, line, f"{path}, line {line}") for line, row in enumerate(rows, 2)]


def _cell(row, line, where):
    if len(row) != len(COLUMNS):
        raise FileError(f"{where}: has {len(row)} columns, not {len(COLUMNS)}")
    values = dict(zip(COLUMNS, row, strict=True))
    if values["quantity"] not in QUANTITIES:
        raise FileError(f"{where}: quantity {values['quantity']!r} is not one of {'; '.join(QUANTITIES)}")
    kinds = {"mean": float, "std": float, "n": int, "epochs": int, "seconds": float}
    instead = {"mean": None, "std": None, "n": USUAL_SEEDS, "epochs": None, "seconds": 0.0}
    for name, kind in kinds.items():
        try:
            values[name] = kind(values[name]) if values[name] else instead[name]
        except ValueError:
            raise FileError(f"{where}: {name} {values[name]!r} is no number") from None
        if (values[name] is not None and not 0 <= values[name] < float("inf")) or (
            name == "epochs" and not values[name]
        ):
            raise FileError(f"{where}: {name} must be a number of at least {int(name == 'epochs')}")
    return Cell(**values, line=line)
