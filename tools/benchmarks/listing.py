"""A directory of 100 000 small files: what listings take through a mount, the first time and again, and on the
store itself. Seconds; a ratio of 2 means twice as long as the store."""

import os
import subprocess
import time

from benchmarks.measure import Row, Table

FILES = 100_000


def _scan(directory):
    with os.scandir(directory) as entries:
        assert sum(entry.stat(follow_symlinks=False).st_size >= 0 for entry in entries) == FILES


WAYS = [
    ("readdir (os.listdir)", lambda directory: len(os.listdir(directory)) == FILES),
    ("readdir and stat (os.scandir)", _scan),
    ("ls -l", lambda directory: subprocess.run(["ls", "-l", directory], check=True, stdout=subprocess.DEVNULL)),
    ("find -newer", lambda directory: subprocess.run(["find", directory, "-newer", "/proc/self"], check=True,
                                                     stdout=subprocess.DEVNULL)),
    ("du", lambda directory: subprocess.run(["du", "-s", directory], check=True, stdout=subprocess.DEVNULL)),
]


def run(bench):
    store, mount, cache = bench.work / "many", bench.work / "many-mount", bench.work / "many-cache"
    folder = store / "files"
    folder.mkdir(parents=True), mount.mkdir()
    for number in range(FILES):
        (folder / f"file-{number:06d}.tif").write_bytes(b"x" * (number % 7))
    time.sleep(4)  # a directory that changed just now is believed for a second only
    rows = []
    for name, look in WAYS:
        native, first, again = [], [], []
        look(folder)
        for _ in range(bench.repeats):
            bench.run(bench.penstock, "mount", store, mount, "--cache", cache, "--settle-time", "1")
            try:
                for seconds, directory in ((native, folder), (first, mount / "files"), (again, mount / "files")):
                    begin = time.monotonic()
                    look(directory)
                    seconds.append(time.monotonic() - begin)
            finally:
                bench.run(bench.penstock, "unmount", mount)
        rows += [Row(f"{name}, first", "the store", first, native), Row(f"{name}, again", "the store", again, native)]
    return [Table(f"a directory of {FILES} files through the mount", rows, unit="s")]
