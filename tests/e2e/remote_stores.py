"""Stores over the network for tests, on loopback ports: a directory behind nginx, and one in the S3
service of moto. Each is a directory `root` that the test changes, and an `address` to mount."""

import contextlib
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from waiting import wait_for

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"


_CLAIMS = []


def free_port():
    """A port that nothing listens on and that no other test gets while this process lives, here or in
    another run beside this one. The kernel gives none of this range to a connection by itself."""
    while True:
        port = random.randrange(15_000, 32_000)
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0penstock-test-port-{port}")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        _CLAIMS.append(claim)
        return port


def listens(port, host="127.0.0.1"):
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


class DirectoryStore:
    """The directory itself: what the others are compared with."""

    kind = "directory"
    options = ()
    environment: dict = {}
    fresh_identities = True  # a file that is written anew is known by its identity at once

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.root = self.folder / "root"
        self.root.mkdir(parents=True)
        self.address = str(self.root)

    def start(self):
        pass

    def put(self, path, contents):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(".put")
        temporary.write_bytes(contents)
        temporary.rename(file)

    def remove(self, path):
        (self.root / path).unlink()

    def vanish(self):
        self.root.rename(self.folder / "away")

    def come_back(self):
        (self.folder / "away").rename(self.root)

    def close(self):
        pass


class NginxStore(DirectoryStore):
    """`listing`: "json", "html" or "off". `host` is where it listens, `prefix` what runs it."""

    def __init__(self, folder, listing="json", tls=None, server_options="", host="127.0.0.1",
                 prefix=()):
        super().__init__(folder)
        if not os.path.exists(NGINX):
            pytest.skip("SKIPPED FOR WANT OF nginx: run tools/setup --tests")
        self.kind = "http-" + listing
        self.port = free_port()
        self.host, self.prefix = host, prefix
        self.process = None
        self.address = f"{'https' if tls else 'http'}://{host}:{self.port}/store"
        self.log = self.folder / "access.log"
        autoindex = "autoindex off;" if listing == "off" else (
            f"autoindex on; autoindex_format {listing};")
        secure = f"ssl_certificate {tls[0]}; ssl_certificate_key {tls[1]};" if tls else ""
        (self.folder / "nginx.conf").write_text(f"""
            daemon off; worker_processes 1; user root; pid {self.folder}/nginx.pid;
            error_log {self.folder}/error.log warn;
            events {{ worker_connections 256; }}
            http {{
              log_format lines '$request_method $status $body_bytes_sent $request_uri';
              access_log {self.log} lines;
              client_body_temp_path {self.folder}/t1; proxy_temp_path {self.folder}/t2;
              fastcgi_temp_path {self.folder}/t3; uwsgi_temp_path {self.folder}/t4;
              scgi_temp_path {self.folder}/t5;
              server {{
                listen {host}:{self.port}{' ssl' if tls else ''}; {secure}
                {server_options}
                location /store/ {{ alias {self.root}/; {autoindex} }}
              }}
            }}""")

    def start(self):
        self.process = subprocess.Popen(
            [*self.prefix, NGINX, "-c", str(self.folder / "nginx.conf"), "-p", str(self.folder)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: listens(self.port, self.host) or self.process.poll() is not None)
        assert self.process.poll() is None, (self.folder / "error.log").read_text()
        return self

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait()
            self.process = None

    vanish = stop
    come_back = start
    close = stop

    def requests(self):
        """(method, status, bytes, path) of what was answered so far."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [(method, int(status), int(count), path) for method, status, count, path in
                (line.split(" ", 3) for line in lines)]

    def bytes_read(self, part):
        """Bytes sent of files whose path contains `part`; listings are not counted."""
        return sum(count for method, _, count, path in self.requests()
                   if method == "GET" and part in path and not path.endswith("/"))


class S3Store(DirectoryStore):
    """Writes through boto3, so that keys and signatures of an independent client stand beside ours."""

    kind = "s3"

    def __init__(self, folder):
        super().__init__(folder)
        pytest.importorskip("moto", reason="SKIPPED FOR WANT OF moto: run tools/setup --tests")
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.address = "s3://measurements/store/below"
        self.options = ("--s3-endpoint", self.endpoint)
        self.process = None
        self.client = None
        # Where a program looks that has no environment of its own.
        self.credentials = self.folder / "credentials"
        self.environment = {"AWS_SHARED_CREDENTIALS_FILE": str(self.credentials),
                            "AWS_CONFIG_FILE": str(self.folder / "config")}

    def start(self):
        # Its messages say much and are worth something only where it does not start.
        script = pathlib.Path(__file__).with_name("s3_server.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(self.port), "measurements", "store/below/",
             str(self.root)], stdout=subprocess.PIPE, stderr=open(self.folder / "s3.log", "ab"),
            text=True)
        line = self.process.stdout.readline()
        assert line, (self.folder / "s3.log").read_text()
        self.keys = json.loads(line)
        # In place of the old file at once: the daemon reads it when it has changed.
        new = self.credentials.with_name("new")
        new.write_text("[other]\naws_access_key_id = nobody\n[default]\n"
                       f"aws_access_key_id = {self.keys['AWS_ACCESS_KEY_ID']}\n"
                       f"aws_secret_access_key = {self.keys['AWS_SECRET_ACCESS_KEY']}\n")
        new.rename(self.credentials)
        wait_for(lambda: listens(self.port))
        self.client = None
        return self

    def s3(self):
        if self.client is None:
            import boto3
            self.client = boto3.client(
                "s3", endpoint_url=self.endpoint, region_name="us-east-1",
                aws_access_key_id=self.keys["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=self.keys["AWS_SECRET_ACCESS_KEY"])
        return self.client

    def put(self, path, contents):
        super().put(path, contents)
        if self.process:
            self.s3().put_object(Bucket="measurements", Key="store/below/" + path, Body=contents)

    def remove(self, path):
        super().remove(path)
        self.s3().delete_object(Bucket="measurements", Key="store/below/" + path)

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    vanish = stop
    come_back = start
    close = stop


STORES = {"directory": DirectoryStore, "http-json": NginxStore,
          "http-html": lambda folder: NginxStore(folder, "html"), "s3": S3Store}


class Probe:
    """Calls of an upstream; see tests/programs/probe_upstream.cc."""

    def __init__(self, binary, address, *options, environment=None):
        program = pathlib.Path(binary).parents[2] / "tests/penstock_probe_upstream"
        self.process = subprocess.Popen(
            [str(program), address, *map(str, options)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True,
            env={**os.environ, "HOME": "/nonexistent", **(environment or {})})

    def __call__(self, do, path="", **arguments):
        call = {"do": do, "path": path, **arguments}
        self.process.stdin.write(json.dumps(call) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        while line.startswith("[20"):  # of the log
            line = self.process.stdout.readline()
        assert line, f"the probe has ended with {self.process.wait()} on {call}"
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()


@contextlib.contextmanager
def probing(binary, store, *options):
    probe = Probe(binary, store.address, *store.options, *options, environment=store.environment)
    try:
        yield probe
    finally:
        probe.close()
