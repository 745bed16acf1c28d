"""Doing something as another user, in a process of its own."""

import json
import os

import pytest

NOBODY = 65534

need_root = pytest.mark.skipif(os.geteuid() != 0, reason="SKIPPED: needs root to become another user")


def as_user(action, uid=NOBODY, gid=NOBODY, groups=()):
    """What `action` gives (of JSON's kinds), or the number of the OSError that it raises."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        answer = {"failed": "nothing came back"}
        try:
            os.close(reader)
            os.setgroups(list(groups))
            os.setgid(gid)
            os.setuid(uid)
            try:
                answer = {"value": action()}
            except OSError as failure:
                answer = {"value": failure.errno}
        except BaseException as failure:  # pylint: disable=broad-except
            answer = {"failed": repr(failure)}
        finally:
            os.write(writer, json.dumps(answer).encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = json.loads(pipe.read())
    os.waitpid(child, 0)
    assert "failed" not in answer, answer
    return answer["value"]
