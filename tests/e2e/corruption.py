"""What may be damaged of a mounted store and its cache, and what has to come of it: one table, and the
programs it is tried on. test_mount_corruption.py holds penstock to it; tools/corruption-matrix prints
what comes of it beside what rclone makes of the same."""

import collections
import contextlib
import os
import pathlib
import random
import select
import shutil
import signal
import subprocess

from mounting import Mount, is_mounted, replicas, wait_for
from synthetic import make_dataset

EXTENT = 4 << 20
# Two blocks of 5 MiB of frames: of two extents each.
SHAPE = dict(scan=(8, 10), sig=(256, 256), block_bytes=5 << 20)
BLOCKS = ["data.zarr/real/c/0/0/0/0", "data.zarr/real/c/1/0/0/0"]
CHECKSUMS = "data.zarr/extent_checksum/c/0/0"
PLAIN_BYTES = EXTENT + 1_000_003

# What a reader gets of the dataset, or the file, that was damaged:
MENDED = "mended"        # every byte right, and the damage stands in the log
REFETCHED = "right"      # every byte right
ERROR = "error"          # an error for what is damaged; all that is read is right
PASSED_ON = "passed on"  # the store's damaged bytes
WRONG = "wrong"          # bytes that neither are nor were in the store at that place
GONE = "not there"       # no such file
REFUSED = "refused"      # no mount, and a message that names the file
HANGS = "hangs"          # no answer within 20 s
OUTCOMES = (MENDED, REFETCHED, ERROR, GONE, REFUSED, PASSED_ON, HANGS, WRONG)

# where: "block" (a complete replica), "part" (one of which one extent is there), "file" (of what is no
#        block), "stored" (a block in the store, nothing cached), "held" (a block in the store, cached),
#        or a file of the dataset in the store that is no block.
# when:  the damage comes while no daemon runs ("stopped"), or while one runs that has verified what
#        is damaged, and nobody has it open ("running"); for the store it makes no difference.
Row = collections.namedtuple("Row", "where damage when expected")

CACHE_DAMAGE = ["flip head", "flip body", "flip tail", "truncate", "extend", "zero", "swap", "stale",
                "foreign", "delete"]


def not_there_or_mended(damage, when):
    """Of a replica that is gone when a daemon starts nothing is said."""
    return REFETCHED if damage == "delete" and when == "stopped" else MENDED


ROWS = (
    [Row("block", damage, when, not_there_or_mended(damage, when))
     for when in ("stopped", "running") for damage in CACHE_DAMAGE]
    + [Row("part", damage, "stopped", not_there_or_mended(damage, "stopped"))
       for damage in ("flip head", "truncate", "extend", "zero", "stale", "foreign", "delete")]
    + [Row("file", damage, when, not_there_or_mended(damage, when))
       for when in ("stopped", "running")
       for damage in ("flip head", "flip tail", "truncate", "extend", "zero", "swap", "delete")]
    # Of what is in the store and not in the cache there are no right bytes to be had.
    + [Row("stored", damage, "stopped", {"extend": REFETCHED, "delete": GONE}.get(damage, ERROR))
       for damage in CACHE_DAMAGE]
    + [Row("held", damage, "stopped", GONE if damage == "delete" else REFETCHED)
       for damage in CACHE_DAMAGE]
    # Files that are no blocks are shown as the store has them (`penstock verify` finds the damage); the
    # blocks are held against what is left of the checksums.
    + [Row("nexus.json", "truncate", "stopped", ERROR),
       Row("nexus.json", "zero", "stopped", ERROR),
       Row("nexus.json", "stale", "stopped", PASSED_ON),
       Row("nexus.json", "delete", "stopped", GONE),
       Row(CHECKSUMS, "flip head", "stopped", ERROR),
       Row(CHECKSUMS, "flip tail", "stopped", ERROR),
       Row(CHECKSUMS, "truncate", "stopped", ERROR),
       Row(CHECKSUMS, "stale", "stopped", ERROR),
       Row(CHECKSUMS, "delete", "stopped", ERROR),
       Row("checksums.xxh128", "flip body", "stopped", PASSED_ON),
       Row("checksums.xxh128", "delete", "stopped", GONE)])


# Of the cache's own files: what a daemon makes of them that starts afterwards. Where it begins its
# records anew the replicas are proved where they lie and nothing is fetched. What was pinned is pinned
# still. (What daemons hand to each other lies in memory, in no file.)
StateRow = collections.namedtuple("StateRow", "file damage expected")

DATABASE_FILES = ("CURRENT", "MANIFEST-*", "*.log", "*.sst", "OPTIONS-*")

STATE_ROWS = (
    [StateRow(f"state/{file}", damage, REFETCHED)
     for file in DATABASE_FILES for damage in ("flip head", "flip tail", "truncate", "zero", "delete")]
    + [StateRow("state", "delete", REFETCHED), StateRow("state", "stale", REFETCHED),
       # Names of the store, for when it is away.
       *[StateRow(f"memory/{file}", damage, REFETCHED)
         for file in DATABASE_FILES for damage in ("flip head", "flip tail", "zero", "delete")],
       StateRow("memory", "delete", REFETCHED), StateRow("sidecars", "delete", REFETCHED),
       StateRow("scrub.json", "truncate", REFETCHED), StateRow("scrub.json", "another value", REFETCHED),
       StateRow("scrub.json", "delete", REFETCHED), StateRow("scrub-report.jsonl", "zero", REFETCHED),
       StateRow("lock", "delete", REFETCHED),
       StateRow("known-store.json", "truncate", REFETCHED),
       StateRow("known-store.json", "another value", REFETCHED),
       StateRow("known-store.json", "delete", REFETCHED),
       # The pins: there are two copies, and both say when they are damaged.
       *[StateRow(file, damage, REFETCHED) for file in ("policy.json", "policy.json.copy")
         for damage in ("truncate", "zero", "flip head", "flip tail", "another value", "delete")],
       StateRow("policy.json*", "truncate", REFUSED), StateRow("policy.json*", "another value", REFUSED),
       # A directory without the marker may be anybody's.
       StateRow("penstock-cache.json", "delete", REFUSED),
       StateRow("penstock-cache.json", "truncate", REFETCHED)])


def damage_file(path, damage, numbers, other=None, stale=None, foreign=None):
    """Does `damage` to the file, below any permission, and gives it its old mtime back."""
    if damage == "delete":
        path.unlink()
        return
    before = path.stat()
    os.chmod(path, 0o600)
    size = before.st_size
    if damage in ("swap", "stale", "foreign"):
        source = {"swap": other, "stale": stale, "foreign": foreign}[damage]
        theirs = source.read_bytes()
        if damage == "swap":
            with open_kept(other) as file:
                file.write(path.read_bytes())
                file.truncate()
        with open(path, "r+b") as file:
            file.write(theirs)
            file.truncate()
    elif damage == "another value":
        # Of the same kind: what it was cannot be seen from the file alone.
        text = path.read_text()
        for written, wrong in (('"pattern": "pro', '"pattern": "prx'), ('"began": 1', '"began": 2'),
                              ('"store": "/', '"store": "/x/')):
            if written in text:
                path.write_text(text.replace(written, wrong))
                break
        else:
            raise AssertionError(f"{path} has nothing to change")
    elif damage == "truncate":
        os.truncate(path, numbers.randrange(size // 2, size - 1) if size > 3 else 0)
    elif damage == "extend":
        with open(path, "ab") as file:
            file.write(numbers.randbytes(numbers.choice([1, 4096, 70_000])))
    else:
        with open(path, "r+b") as file:
            if damage == "zero":
                length = min(64 << 10, size // 2 + 1)
                # Where there is something else than zeros.
                file.seek(max(0, min(100_000, size - length)))
                file.write(bytes(length))
            else:
                small = min(size, 4096)
                at = {"flip head": numbers.randrange(min(small, 16)),
                      "flip tail": size - 1 - numbers.randrange(min(small, 8)),
                      "flip body": numbers.randrange(size // 4, size // 2)}[damage]
                file.seek(at)
                byte = file.read(1)[0]
                file.seek(at)
                file.write(bytes([byte ^ (1 << numbers.randrange(8))]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.chmod(path, before.st_mode & 0o7777)


@contextlib.contextmanager
def open_kept(path):
    before = path.stat()
    os.chmod(path, 0o600)
    with open(path, "r+b") as file:
        yield file
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.chmod(path, before.st_mode & 0o7777)


class Masters:
    """Three datasets of one layout, an earlier state of the first among them, and two plain files."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.now = make_dataset(self.folder / "now", **SHAPE)
        self.stale = make_dataset(self.folder / "stale", missing=(3,), **SHAPE)
        self.foreign = make_dataset(self.folder / "foreign", missing=(5, 66), **SHAPE)
        numbers = random.Random(4)
        for name in ("plain", "plain2"):
            (self.folder / name).write_bytes(numbers.randbytes(PLAIN_BYTES))


class Subject:
    """What one row is about: a dataset of its own in the store, or a file."""

    def __init__(self, row, number, store, masters):
        self.row, self.name, self.masters = row, f"row{number:03d}", masters
        self.store = store
        if row.where == "file":
            # The second one is for swapping.
            self.files = {self.name + ".bin": masters.folder / "plain",
                          self.name + "b.bin": masters.folder / "plain2"}
        else:
            root = masters.now
            self.files = {f"{self.name}/{path.relative_to(root)}": path
                          for path in sorted(root.rglob("*")) if path.is_file()}
        for name, source in self.files.items():
            (store / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, store / name)
        self.kept = {}  # name: path in the cache

    def cached_names(self):
        if self.row.where == "file":
            return list(self.files)
        return [f"{self.name}/{block}" for block in BLOCKS]

    def is_in_the_store(self):
        return self.row.where not in ("block", "part", "file")

    def damage(self, numbers):
        row = self.row
        if self.is_in_the_store():
            inside = BLOCKS[0] if row.where in ("stored", "held") else row.where
            path, other = self.store / self.name / inside, self.store / self.name / BLOCKS[1]
        else:
            first, second = self.cached_names()[:2]
            inside, path, other = BLOCKS[0], self.kept.get(first), self.kept.get(second)
            if path is None or not path.exists():
                raise LookupError(f"{first} is not in the cache")
        damage_file(path, row.damage, numbers, other, self.masters.stale / inside,
                    self.masters.foreign / inside)

    def outcome_in_time(self, point):
        """The same from a process of its own, for a mount that may not answer at all."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                os.write(writer, self.outcome(point, None).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb", buffering=0) as pipe:
            answered, _, _ = select.select([pipe], [], [], PATIENCE_SECONDS)
            outcome = pipe.read().decode() if answered else HANGS
        if not answered:
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return outcome

    def outcome(self, point, log):
        """What a reader gets of all files now."""
        errors = missing = passed_on = wrong = 0
        for name, source in self.files.items():
            expected = source.read_bytes()
            try:
                got = read_in_parts(point / name)
            except FileNotFoundError:
                missing += 1
                continue
            except OSError:
                errors += 1
                continue
            if None in got:
                errors += 1
            at = 0
            stored = None
            for part, length in zip(got, part_lengths(got, len(expected))):
                if part is not None and part != expected[at:at + length]:
                    stored = (self.store / name).read_bytes() if stored is None else stored
                    if part == stored[at:at + length]:
                        passed_on += 1
                    else:
                        wrong += 1
                at += length
            if None not in got and sum(map(len, got)) != len(expected) and not wrong:
                if sum(map(len, got)) == (self.store / name).stat().st_size:
                    passed_on += 1
                else:
                    wrong += 1
        if wrong:
            return WRONG
        if errors:
            # A sidecar that is damaged beyond reading is shown, and the blocks are not.
            return ERROR
        if passed_on:
            return PASSED_ON
        if missing:
            return GONE
        return MENDED if log is not None and self.name in log else REFETCHED


PART = 1 << 20
PATIENCE_SECONDS = 20


def read_in_parts(path):
    """The file in parts of 1 MiB, None for each that gives an error."""
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        parts = []
        for at in range(0, max(size, 1), PART):
            try:
                parts.append(read_fully(file.fileno(), at, min(PART, size - at)))
            except OSError:
                parts.append(None)
        return parts


def read_fully(descriptor, at, size):
    parts = []
    while size > 0:
        part = os.pread(descriptor, size, at)
        if not part:
            break
        parts.append(part)
        at += len(part)
        size -= len(part)
    return b"".join(parts)


def part_lengths(parts, whole):
    return [len(part) if part is not None else min(PART, max(0, whole - number * PART))
            for number, part in enumerate(parts)]


class Penstock:
    name = "penstock"

    def __init__(self, penstock, store, folder, *options):
        self.mount = Mount(penstock, store, folder / "penstock", folder / "penstock-cache",
                           "--no-faces", "--settle-time", "0", "--scrub-every", "0", *options)
        self.point, self.cache = self.mount.point, self.mount.cache
        self.read_log = 0

    def start(self):
        self.mount.start()

    def stop(self):
        self.mount.stop()

    def clear(self):
        self.mount.clear()

    def is_kept(self, name):
        return os.getxattr(self.point / name, "user.penstock.state").startswith(b"complete")

    def keep(self, subject):
        """Reads what is to be in the cache and notes where it lies there."""
        for name in subject.cached_names():
            before = set(replicas(self.cache))
            if subject.row.where == "part":
                # Its second extent cannot be had.
                with spoiled(subject.store / name, EXTENT + 5):
                    with open(self.point / name, "rb", buffering=0) as file:
                        file.read(100)
                    wait_for(lambda: os.getxattr(self.point / name, "user.penstock.state")
                             == b"partial 1/2")
            else:
                read_in_parts(self.point / name)
                wait_for(lambda: self.is_kept(name))
            subject.kept[name], = set(replicas(self.cache)) - before

    def log_from_here(self):
        self.read_log = len(self.mount.log()) if (self.cache / "penstock.log").exists() else 0

    def log(self):
        """What was said about damage since."""
        return "\n".join(line for line in self.mount.log()[self.read_log:].splitlines()
                         if "damaged" in line or "verified again" in line or "changed" in line)


@contextlib.contextmanager
def spoiled(path, offset):
    """For as long as it lasts a byte of the file is another one."""
    def flip():
        with open_kept(path) as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 0xFF]))
    flip()
    try:
        yield
    finally:
        flip()


class Rclone:
    """`rclone mount --vfs-cache-mode full`, with the defaults of everything else."""

    name = "rclone"

    def __init__(self, store, folder):
        self.store, self.point, self.cache = store, folder / "rclone", folder / "rclone-cache"
        self.point.mkdir()
        self.process = None
        self.output = folder / "rclone.log"

    def start(self):
        with open(self.output, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                ["rclone", "mount", str(self.store), str(self.point), "--read-only",
                 "--vfs-cache-mode", "full", "--cache-dir", str(self.cache), "--log-level", "INFO"],
                stdout=log, stderr=log)
        wait_for(lambda: is_mounted(self.point))

    def stop(self):
        subprocess.run(["umount", "-l", str(self.point)], check=True)
        self.process.terminate()  # it may be stuck with a reader
        self.process.wait(60)

    def clear(self):
        if is_mounted(self.point):
            subprocess.run(["umount", "-l", str(self.point)], check=False)
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def keep(self, subject):
        for name in subject.cached_names():
            if subject.row.where == "part":
                with open(self.point / name, "rb", buffering=0) as file:
                    file.read(100)
            else:
                read_in_parts(self.point / name)
            place = self.cache / "vfs/local" / str(self.store).lstrip("/") / name
            wait_for(place.exists)
            subject.kept[name] = place

    def log_from_here(self):
        pass

    def log(self):
        return None


def run_rows(rows, program, store, masters, seed):
    """The outcome of each row with the program. The store is made anew below `store`."""
    numbers = random.Random(seed)
    subjects = [Subject(row, number, store, masters) for number, row in enumerate(rows)]
    outcomes = {}

    def observe(chosen):
        log = None
        found = {}
        for subject in chosen:
            found[subject] = (subject.outcome(program.point, None) if program.name == "penstock"
                              else subject.outcome_in_time(program.point))
        # Where a replica was proved in the background, the line of the log follows the bytes.
        log = program.log()
        for subject, outcome in found.items():
            if outcome == REFETCHED and log is not None and subject.name in log:
                outcome = MENDED
            outcomes[subject.row] = outcome

    try:
        for subject in subjects:
            if subject.is_in_the_store() and subject.row.where != "held":
                subject.damage(numbers)
        program.start()
        observe([subject for subject in subjects
                 if subject.is_in_the_store() and subject.row.where != "held"])
        # What is still being fetched of those would be taken for something else.
        program.stop()
        program.start()
        for subject in subjects:
            if not subject.is_in_the_store() or subject.row.where == "held":
                program.keep(subject)
        running = [subject for subject in subjects if subject.row.when == "running"]
        program.log_from_here()
        for subject in running:
            subject.damage(numbers)
        observe(running)
        program.stop()
        stopped = [subject for subject in subjects if subject.row.when == "stopped"
                   and (not subject.is_in_the_store() or subject.row.where == "held")]
        for subject in stopped:
            subject.damage(numbers)
        program.log_from_here()
        program.start()
        observe(stopped)
        program.stop()
    finally:
        program.clear()
    return [outcomes[subject.row] for subject in subjects]
