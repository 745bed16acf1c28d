"""Waiting for what another process does."""

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
