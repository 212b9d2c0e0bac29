"""Archives ended runs: the small files for tables and pages, without weights and names of machines."""

import gzip
import io
import json
import tarfile
from pathlib import Path

from core.files import make_folder, replacing
from core.paths import is_folder

KEPT = (
    "command", "options", "settings", "time", "versions", "device", "threads", "machine", "cpu", "blas", "git_commit",
)  # fmt: skip


def pack(records, path):
    """Writes the archive of all Records that came to an end; the same runs make the same bytes.

    The folder of a run keeps its name and that of the folder above it.

    Returns  the number of runs
    Raises   FileError
    """
    content, places = io.BytesIO(), {}
    for record in sorted((record for record in records if record.outcome), key=lambda record: record.identity):
        place = "/".join(_whole(Path(record.name)).parts[-2:]).lstrip("/")
        while place in places:
            place += "_"
        places[place] = record
    packed = gzip.GzipFile(filename="", fileobj=content, mode="wb", mtime=0)
    with packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for place, record in sorted(places.items()):
            for name, data in sorted((record.files | {"config.json": stripped(record.config)}).items()):
                member = tarfile.TarInfo(f"{place}/{name}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    make_folder(Path(path).parent)
    with replacing(path) as file:
        file.write(content.getvalue())
    return len(places)


def _whole(path):
    """Returns the whole path of a folder, from wherever it was named; that of a run in an archive is kept."""
    return path.resolve() if is_folder(path) else path


def stripped(config):
    """Returns the bytes of a config.json without hosts, and with only the last part of absolute paths."""
    kept = {name: config[name] for name in KEPT if name in config}
    kept["command"] = [_local(str(word)) for word in kept.get("command", [])]
    kept["options"] = {
        name: _local(value) if isinstance(value, str) else value for name, value in kept["options"].items()
    }
    return (json.dumps(kept, indent=2) + "\n").encode()


def _local(word):
    flag, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return f"{flag}{equals}{Path(value).name}" if value.startswith(("/", "~")) or value[1:3] in (":\\", ":/") else word
