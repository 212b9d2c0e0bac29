"""Defines what tables and pages know of one run, in one vocabulary for both systems."""

import json
from dataclasses import dataclass
from pathlib import Path

from datasets.catalogue import DATA_SETS

DATASETS = {row.flag: row.name for row in DATA_SETS} | {row.autoencoder: f"{row.name} autoencoder" for row in DATA_SETS}


@dataclass(frozen=True)
class Record:
    """Holds one run, as its folder describes it.

    name      its folder, as it was given or found
    config    the content of config.json, a dict
    outcome   the content of DONE in the common vocabulary, a dict; None while the run is unfinished
    series    {column in the common vocabulary: list of floats}, NaN where there is no number; {} before the first
              evaluation
    frames    {name: (layers, steps, rows of floats)} of tables of angles
    tail      last lines of the log, a str
    running   whether a process has the folder open
    files     {name: bytes} of FILES and tables of angles
    """

    name: str
    config: dict
    outcome: dict | None
    series: dict
    frames: dict
    tail: str
    running: bool
    files: dict

    @property
    def options(self):
        """Returns {option: value} of the command line."""
        return self.config["options"]

    @property
    def settings(self):
        """Returns {option: value} of everything that the numbers depend on."""
        return self.config["settings"]

    @property
    def program(self):
        """Returns the script that made the run, such as run.py."""
        words = self.config.get("command") or [""]
        name = Path(str(words[0])).name
        return name if name.endswith(".py") else self.system

    @property
    def system(self):
        """Returns the program that made the run, run.py or main.py, even if another script called it."""
        return "run.py" if "algorithm" in self.options else "main.py"

    @property
    def rule(self):
        """Returns the name of the learning rule, as the README has it."""
        options = self.options
        if "algorithm" in options:
            return str(options["algorithm"])
        if options.get("network_type") != "DFC":
            return str(options.get("network_type", ""))
        return "DFC-SSA" if options.get("ndi") else "DFC" if options.get("grad_deltav_cont") else "DFC-SS"

    @property
    def dataset(self):
        """Returns the name of the data set, as the catalogue has it."""
        name = str(self.options.get("dataset", ""))
        return DATASETS.get(name, name)

    @property
    def seed(self):
        """Returns the seed of the run."""
        return self.options.get("seed", self.options.get("random_seed"))

    @property
    def precision(self):
        """Returns "float64" or "float32"."""
        return str(self.options.get("precision", "float32" if self.options.get("single_precision") else "float64"))

    @property
    def epochs_asked(self):
        """Returns the number of epochs that the command line asked for."""
        return self.options.get("nb_epochs", self.options.get("epochs"))

    @property
    def epochs(self):
        """Returns the number of whole epochs that have been measured."""
        if self.finished and isinstance(self.outcome.get("epochs"), int):
            return self.outcome["epochs"]
        return int(max((epoch for epoch in self.series.get("epoch", ()) if epoch == epoch), default=0))

    @property
    def epochs_of_rows(self):
        """Returns the epochs after which each row of the series was measured, fractions of one included."""
        epochs, batches = (self.series.get(name, []) for name in ("epoch", "batch"))
        samples, size = (self.options.get(name) for name in ("train_samples", "batch_size"))
        if not any(batches) or not samples or not size:
            return epochs
        return [epoch + batch / -(-samples // size) for epoch, batch in zip(epochs, batches, strict=True)]

    @property
    def finished(self):
        """Returns whether the run finished all its epochs."""
        return self.outcome is not None and self.outcome["outcome"] == "finished"

    @property
    def state(self):
        """Returns finished, running, unfinished, or how the run ended otherwise: diverged, stopped, singular."""
        return self.outcome["outcome"] if self.outcome else "running" if self.running else "unfinished"

    @property
    def failed(self):
        """Returns whether the run ended without finishing."""
        return self.state not in ("finished", "running", "unfinished")

    @property
    def identity(self):
        """Returns a text that identifies the run by its settings and seed, not by the name of its folder."""
        return json.dumps(self.settings | {"seed": self.seed}, sort_keys=True)
