"""Defines what may accompany a run: measurements, pictures, logs and conditions that end it."""


class Watcher:
    """Accompanies a run without changing it: the base of all that measures, draws, logs or asks for an end.

    The loop calls every method of every watcher, in the order of its list; a watcher overrides the methods that
    it needs.
    """

    def wants(self, place):
        """Returns whether `batch` and `moved` are to be called for a batch; asked before each step.

        place  of the batch: (passes before, batches before in this pass)
        """
        own = type(self)
        return own.batch is not Watcher.batch or own.moved is not Watcher.moved

    def batch(self, report):
        """Receives the report of one batch before its update (dfc.learners.BatchReport)."""

    def moved(self, report):
        """Receives the report of the same batch once more, after its update of the weights."""

    def row(self, net, epoch):
        """Returns {column: number} for the row of the series that is being made.

        A column whose name ends in _loss must stay below LARGEST_LOSS, or else the run has diverged.

        net    the network to measure
        epoch  number of epochs that the row counts
        """
        return {}

    def written(self, series):
        """Receives the series, {column: list of numbers}, whenever it has been written."""

    def stop(self, series):
        """Returns None, or why to stop as part of a sentence; asked after every whole epoch."""

    def flush(self):
        """Writes everything to the disk; called before every checkpoint."""

    def close(self):
        """Closes open files; called when the folder of the run is closed."""

    def summary(self):
        """Returns {entry: value} for the summary of the run (dfc.measures.summary)."""
        return {}

    def state(self):
        """Returns {name: array} for the checkpoint; names of mere measurements begin with "seen_"."""
        return {}

    def restore(self, named):
        """Continues from a checkpoint, {name: host array}; what its names do not contain starts empty."""
