"""Writes event files for TensorBoard, each value at once and only once, even in a continued run."""

import contextlib
import re
import struct
import time
from pathlib import Path

from core.files import FileError, read_bytes
from core.options import UsageError

PATTERN = "events.out.tfevents.*"
# Bytes around a record: its length and a checksum before it, and a checksum after it.
HEAD, TAIL = 12, 4


def require_tensorboard():
    """Returns the parts of tensorboardX (EventsWriter, Event, Summary).

    Raises  UsageError where it is not installed
    """
    try:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary
    except ImportError:
        raise UsageError("--save_logs: needs tensorboardX (pip install tensorboardX)") from None
    return EventsWriter, Event, Summary


class EventFile:
    """Holds the event file of a process, in the folder of its run.

    Values that earlier processes wrote there are not written again.

    folder  the run folder; the file is made with the first value
    """

    def __init__(self, folder):
        self.folder, (self._open, self._event, self._summary) = Path(folder), require_tensorboard()
        self._file, self._known = None, None

    def add_scalar(self, tag, value, step):
        """Writes a number, nan and infinities included.  Raises FileError."""
        tag = re.sub(r"[^-/\w.]", "_", tag)
        if self._known is None:
            self._known = set(self._read())
        if (tag, step) in self._known:
            return
        self._known.add((tag, step))
        try:
            if self._file is None:
                # The names of files made within one second would be the same.
                earlier = len(list(self.folder.glob(PATTERN)))
                self._file = self._open(str(self.folder / "events"), f".{earlier}" if earlier else "")
            number = self._summary.Value(tag=tag, simple_value=value)
            self._file.write_event(self._event(wall_time=time.time(), step=step, summary=self._summary(value=[number])))
        except OSError as error:
            raise FileError(f"cannot write the logs in {self.folder}: {error.strerror or error}") from error

    def _read(self):
        """Yields (tag, step) of every value in the folder, including those of incomplete files.

        A killed process may leave an incomplete file.
        """
        for path in sorted(self.folder.glob(PATTERN)):
            try:
                data = read_bytes(path)
            except OSError as error:
                raise FileError(f"cannot read {path}: {error.strerror or error}") from error
            yield from self._values(data)

    def _values(self, data):
        place = 0
        while place + HEAD <= len(data):
            (length,) = struct.unpack_from("<Q", data, place)
            record = data[place + HEAD : place + HEAD + length]
            place += HEAD + length + TAIL
            if place > len(data):
                return
            try:
                event = self._event.FromString(record)
            except Exception:
                # For damaged bytes protobuf raises errors of its own, and TensorBoard stops there, too.
                return
            yield from ((value.tag, event.step) for value in event.summary.value)

    def flush(self):
        """Flushes the file to the disk.  Raises FileError."""
        try:
            if self._file is not None:
                self._file.flush()
        except OSError as error:
            raise FileError(f"cannot write the logs in {self.folder}: {error.strerror or error}") from error

    def close(self):
        """Writes what is left and closes the file; errors, such as those of a full disk, are ignored."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()


class Steps:
    """Numbers the logged batches from 1, separately for passes that train W and passes that train Q.

    The number follows only from the place of a batch, so that a continued run counts like one that was not
    interrupted.

    learns_w  function of the number of passes before -> whether this pass trains W
    batches   number of batches in a pass
    every     --log_interval
    """

    def __init__(self, learns_w, batches, every):
        self.learns_w, self.every, self.logged = learns_w, every, -(-batches // every)

    def of(self, place):
        """Returns the number of the batch at (passes before, batches before in this pass); 0 if it has none."""
        passed, number = place
        if number % self.every:
            return 0
        alike = sum(self.learns_w(before) == self.learns_w(passed) for before in range(passed))
        return alike * self.logged + number // self.every + 1
