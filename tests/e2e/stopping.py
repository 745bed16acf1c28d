"""Ingests that are stopped among their blocks (SIGSTOP), so that a test can interfere with them at a
known state however fast or busy the machine is; processes that are stopped as a whole."""

import json
import os
import pathlib
import shutil
import signal
import time

from waiting import wait_for


def journal_of(out):
    return out.parent / f".{out.name}.ingest.journal"


def finished_blocks(out):
    """The numbers of the blocks in the journal of the ingest to `out`, in the order they finished."""
    try:
        lines = journal_of(out).read_bytes().split(b"\n")[:-1]  # the last may be half a line
    except FileNotFoundError:
        return []
    return [json.loads(line)["block"] for line in lines if line.startswith(b'{"block":')]


def discard(out):
    """All that ingests to `out` left."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.rmtree(out.parent / f".{out.name}.ingest", ignore_errors=True)
    journal_of(out).unlink(missing_ok=True)


def stop_among_blocks(start, out, first, last):
    """The process that `start` returns, stopped once `first` to `last` blocks of the dataset `out`
    are in its journal. What was too fast to be stopped there is discarded and started again from
    nothing. `last` has to leave enough blocks to do for what the test expects of them."""
    for _ in range(50):
        process = start()
        while process.poll() is None and len(finished_blocks(out)) < first:
            time.sleep(0.0005)
        process.send_signal(signal.SIGSTOP)
        # All threads have stopped, or it has ended.
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if process.poll() is None and first <= len(finished_blocks(out)) <= last:
            return process
        process.kill()
        out_and_error = process.communicate()
        assert process.returncode in (0, 3, -signal.SIGKILL), out_and_error
        discard(out)
    raise AssertionError(f"never stopped among blocks {first} to {last} of {out}")


def go_on(process, timeout=120):
    """Lets the stopped process go on to its end; returns its output and its errors."""
    process.send_signal(signal.SIGCONT)
    return process.communicate(timeout=timeout)


def kill(process):
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def stop(pid):
    """Stops all threads of a process: one that has not noticed yet would still answer."""
    os.kill(pid, signal.SIGSTOP)
    threads = pathlib.Path(f"/proc/{pid}/task")
    wait_for(lambda: all((thread / "stat").read_text().rpartition(")")[2].split()[0] == "T"
                         for thread in threads.iterdir()))
