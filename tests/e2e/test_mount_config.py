"""penstock mount --config: the options in a file; --print-config."""

import json

import pytest

from mount_store import BLOCK, master, places
from mounting import is_mounted, need_fuse

need_fuse()


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return path


def test_everything_from_a_file(penstock, master, places, tmp_path):
    point, cache = places
    point.mkdir()
    config = write(tmp_path / "mount.conf", "# one mount", "[mount]", f"store = {master}",
                   f"mountpoint = {point}", f'cache="{cache}"  # on the local disk', "", "cache-size = 200M",
                   "reserve = 0", "upstream-timeout = 7.5", "no-passthrough = true", "verbose = false",
                   "metrics = 127.0.0.1:0")
    try:
        penstock("mount", "--config", config)
        assert is_mounted(point)
        status = json.loads(penstock("status", cache, "--json").stdout)
        assert status["limit_bytes"] == 200 << 20 and status["reserve_bytes"] == 0
        assert status["upstream_timeout_seconds"] == 7.5 and not status["passthrough"]
        assert status["metrics_address"].startswith("127.0.0.1:")
    finally:
        penstock("unmount", cache)
    # The command line goes before the file.
    try:
        penstock("mount", "--config", config, "--cache-size", "300M")
        assert json.loads(penstock("status", cache, "--json").stdout)["limit_bytes"] == 300 << 20
    finally:
        penstock("unmount", cache)


@pytest.mark.parametrize("line, words", [
    ("cache-sise = 5G", "there is no such option"), ("foreground = true", "there is no such option"),
    ("config = other.conf", "there is no such option"), ("verbose = perhaps", "true or false"),
    ("upstream-timeout = soon", "upstream-timeout"), ("upstream-timeout = 0", "not in range"),
    ("cache-size", "sets nothing"), ("[other]", "no such section"), ("reserve = 5%\nreserve = 6%", "twice"),
])
def test_mistakes_name_their_line(penstock, master, places, tmp_path, line, words):
    point, cache = places
    point.mkdir()
    config = write(tmp_path / "mount.conf", f"store = {master}", f"mountpoint = {point}", f"cache = {cache}", "",
                   line)
    done = penstock("mount", "--config", config, status=2)
    number = 5 + line.count("\n")
    assert words in done.stderr and f"line {number}" in done.stderr and str(config) in done.stderr
    assert not is_mounted(point) and not cache.exists()


def test_missing_things_are_named(penstock, master, places, tmp_path):
    point, cache = places
    point.mkdir()
    for left_out, name in (("store", "STORE"), ("mountpoint", "MOUNTPOINT"), ("cache", "--cache")):
        lines = {"store": master, "mountpoint": point, "cache": cache}
        del lines[left_out]
        config = write(tmp_path / "mount.conf", *(f"{key} = {value}" for key, value in lines.items()))
        assert f"{name} is missing" in penstock("mount", "--config", config, status=2).stderr
    assert "cannot read" in penstock("mount", "--config", tmp_path / "none", status=1).stderr


def test_what_is_printed_is_read_again(penstock, master, places, tmp_path):
    point, cache = places
    arguments = (master, point, "--cache", cache, "--cache-size", "5G", "--no-passthrough", "--reserve", "7%")
    text = penstock("mount", *arguments, "--print-config").stdout
    assert f"\nstore = {master}\n" in "\n" + text and "\ncache-size = 5G\n" in text
    assert "\nno-passthrough = true\n" in text and "\nreserve = 7%\n" in text
    assert "\n# metrics =\n" in text and "\nupstream-timeout = 30\n" in text
    assert "config" not in text.replace("print-config", "") or "\nconfig" not in text
    again = penstock("mount", "--config", write(tmp_path / "mount.conf", text), "--print-config").stdout
    assert again == text
    assert not cache.exists() and not is_mounted(point)
