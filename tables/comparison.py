"""Compares published cells with our runs: means over seeds, and the difference with its 95 % interval."""

import math
from collections import Counter
from dataclasses import dataclass, field

from core.options import UsageError
from tables.published import QUANTITIES
from tables.tidy import row_of, seconds_per_epoch

# Settings in which the runs of a cell may differ.
FREE = ("seed", "random_seed", "precision", "single_precision", "train_samples")
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Row:
    """Holds one published cell with those of its runs that have one precision and number of training samples.

    cell         tables.published.Cell
    precision    "float64", "float32"; empty without runs
    samples      number of training samples; 0: all
    records      tables.record.Record, all runs of the cell, with any outcome
    used         the runs in the mean: all that finished after the same number of epochs
    epochs       that number; 0 without any
    values       the quantity of each used run, in the published unit
    problem      why its command cannot be run; empty if it can
    """

    cell: object
    precision: str = ""
    samples: int = 0
    records: tuple = ()
    used: tuple = ()
    epochs: int = 0
    values: tuple = field(default=())
    problem: str = ""

    @property
    def n(self):
        """Returns the number of used runs."""
        return len(self.values)

    @property
    def mean(self):
        """Returns the mean over the used runs; None without any."""
        return sum(self.values) / self.n if self.n else None

    @property
    def std(self):
        """Returns the sample standard deviation over the used runs; None for fewer than two."""
        if self.n < 2:
            return None
        return math.sqrt(sum((value - self.mean) ** 2 for value in self.values) / (self.n - 1))

    @property
    def whole(self):
        """Returns whether the runs are as long as the published ones, and learned from all samples."""
        return self.n > 0 and self.epochs == self.cell.epochs and not self.samples

    @property
    def difference(self):
        """Returns our mean minus the published one; None if the two cannot be compared."""
        return self.mean - self.cell.mean if self.whole and self.cell.mean is not None else None

    @property
    def interval(self):
        """Returns (low, high) of the difference by Welch; None if a spread is unknown."""
        cell = self.cell
        if self.difference is None or self.std is None or cell.std is None or cell.n < 2:
            return None
        return welch((self.mean, self.std, self.n), (cell.mean, cell.std, cell.n))

    @property
    def own_interval(self):
        """Returns (low, high) of the difference by Student from our spread alone, or None.

        The published mean is taken as exact. None is returned if `interval` is known, or for fewer than two runs.
        """
        if self.difference is None or self.std is None or (self.cell.std is not None and self.cell.n >= 2):
            return None
        reach = student(self.n - 1) * self.std / math.sqrt(self.n)
        return self.difference - reach, self.difference + reach

    @property
    def apart(self):
        """Returns whether the interval excludes zero, or the difference exceeds a published deviation."""
        if self.difference is None:
            return False
        outside = self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]
        return outside or (self.cell.std is not None and abs(self.difference) > self.cell.std)

    @property
    def seconds(self):
        """Returns the median over the runs of the seconds per epoch; None if no run tells them."""
        known = sorted(filter(None, map(seconds_per_epoch, self.records)))
        return known[len(known) // 2] if known else None

    @property
    def failed(self):
        """Returns the records of the runs that failed."""
        return [record for record in self.records if record.failed]

    @property
    def state(self):
        """Returns one of complete, short, partial, running, failed, missing, refused, none."""
        if self.problem:
            return "refused"
        if not self.cell.command:
            return "none"
        if self.whole and self.n >= self.cell.n:
            return "complete"
        if any(record.running for record in self.records):
            return "running"
        if self.n:
            return "partial" if self.whole else "short"
        if self.failed:
            return "failed"
        return "partial" if self.records else "missing"

    @property
    def mixed(self):
        """Returns a sentence on differences between the used runs that may change last digits, or ""."""
        differing = [
            name for name, part in PROVENANCE.items() if len({str(part(record.config)) for record in self.used}) > 1
        ]
        return f"runs of different {', '.join(differing)}" if differing else ""


PROVENANCE = {
    "program versions": lambda config: config.get("git_commit"),
    "numpy": lambda config: (config.get("versions") or {}).get("numpy"),
    "machines": lambda config: config.get("cpu") or config.get("machine"),
    "numbers of threads": lambda config: config.get("threads"),
}


def student(freedom, confidence=CONFIDENCE):
    """Returns t such that Student's distribution lies in [-t, t] with probability `confidence`.

    freedom  degrees of freedom
    Raises   UsageError if scipy is missing
    """
    try:
        from scipy.stats import t
    except ImportError as error:
        raise UsageError(f"the intervals need scipy: pip install scipy ({error})") from None
    return float(t.ppf((1 + confidence) / 2, freedom))


def welch(ours, published, confidence=CONFIDENCE):
    """Returns (low, high), the interval of the difference of two means with different variances.

        d +- t(nu) sqrt(s_1^2 / n_1 + s_2^2 / n_2),   nu by Welch (1947) and Satterthwaite (1946)

    ours, published  (mean, sample standard deviation, n >= 2) each
    Raises           UsageError if scipy is missing
    """
    (mean, std, n), (other, other_std, other_n) = ours, published
    parts = std**2 / n, other_std**2 / other_n
    difference, error = mean - other, math.sqrt(sum(parts))
    if not error:
        return difference, difference
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (n - 1) + parts[1] ** 2 / (other_n - 1))
    reach = student(freedom, confidence) * error
    return difference - reach, difference + reach


def rows_of(cell, jobs, records, problem=""):
    """Returns the Rows of a cell, one per precision and number of samples of its runs; whole runs come first.

    jobs  sweeps.processes.Job of the cell (one is enough); empty if no command makes it
    """
    variants = {}
    for record in records:
        if jobs and _belongs(record, jobs[0]):
            variants.setdefault((record.settings.get("train_samples") or 0, record.precision), []).append(record)
    if not variants:
        return [Row(cell, problem=problem)]
    rows = [_row(cell, precision, samples, tuple(found)) for (samples, precision), found in sorted(variants.items())]
    return sorted(rows, key=lambda row: (not row.whole, row.samples != 0))


def _belongs(record, job):
    """Returns whether a run belongs to the cell of a job, by the settings that both have."""
    settings, wanted = record.settings, {name: value for name, value in job.settings.items() if name not in FREE}
    same = all(settings.get(name, value) == value for name, value in wanted.items())
    return record.system == job.program and same


def _row(cell, precision, samples, records):
    ended = [record for record in records if record.finished]
    lengths = Counter(record.epochs for record in ended)
    epochs = (
        cell.epochs if cell.epochs in lengths else max(lengths, key=lambda length: (lengths[length], length), default=0)
    )
    quantity = QUANTITIES[cell.quantity]
    used, values = [], []
    for record in ended:
        value = row_of(record).get(quantity.column)
        if record.epochs == epochs and isinstance(value, (int, float)) and math.isfinite(value):
            used.append(record)
            values.append(quantity.convert(value))
    return Row(cell, precision, samples, records, tuple(used), epochs, tuple(values))
