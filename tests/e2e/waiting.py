"""Waiting for what another process does."""

import os
import select
import time


def wait_for(condition, seconds=120.0):
    """What `condition` gives once that is true; an AssertionError when it does not become true. The
    time is for a busy machine: what is waited for here is to come at once."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def wait_for_end(pid, seconds=120.0):
    """Until the process `pid` has ended, whether or not its parent has asked after it yet."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([watched], [], [], seconds)[0], f"process {pid} has not ended"
    finally:
        os.close(watched)
