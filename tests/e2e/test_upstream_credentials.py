"""Credentials for S3 that come from the metadata service of an instance or the credentials endpoint of
containers, against local servers that speak as those do; an S3 service (moto) checks what is signed."""

import http.server
import json
import threading
import time

import pytest

from remote_stores import Probe, S3Store
from waiting import wait_for

TOKEN, ROLE = "AQAEAK-session-token==", "reader-role"
METADATA = "/latest/meta-data/iam/security-credentials/"


class Service:
    """Both services. `asked` holds (method, path) of all requests; answers with 401 what does not
    bring the token, and with 503 while `silent`."""

    def __init__(self, keys):
        self.keys, self.asked = keys, []
        self.seconds = 3600   # until what is given expires
        self.authorization = "container token"
        self.silent = False
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_PUT(self):
                self.answer()

            def do_GET(self):
                self.answer()

            def answer(self):
                service.asked.append((self.command, self.path))
                status, body = service.answer(self.command, self.path, self.headers)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def answer(self, method, path, headers):
        if self.silent:
            return 503, "later"
        if (method, path) == ("PUT", "/latest/api/token"):
            lasts = int(headers.get("X-aws-ec2-metadata-token-ttl-seconds", 0))
            return (200, TOKEN) if 1 <= lasts <= 21600 else (400, "")
        if path.startswith(METADATA):
            if headers.get("X-aws-ec2-metadata-token") != TOKEN:
                return 401, ""
            return (200, ROLE) if path == METADATA else (200, self.given())
        if path == "/container":
            fits = headers.get("Authorization") == self.authorization
            return (200, self.given()) if fits else (403, "")
        return 404, ""

    def given(self):
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.seconds))
        return json.dumps({"Code": "Success", "Type": "AWS-HMAC", "Expiration": expires,
                           "AccessKeyId": self.keys["AWS_ACCESS_KEY_ID"],
                           "SecretAccessKey": self.keys["AWS_SECRET_ACCESS_KEY"]})

    def times_given(self):
        return sum(path in (METADATA + ROLE, "/container") for _, path in self.asked)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = S3Store(tmp_path_factory.mktemp("s3"))
    store.put("file", b"what it holds")
    store.start()
    store.credentials.unlink()  # nothing but the service knows the keys
    yield store
    store.close()


@pytest.fixture
def service(store):
    service = Service(store.keys)
    yield service
    service.close()


@pytest.fixture
def probe_with(penstock, store):
    probes = []

    def start(**environment):
        probes.append(Probe(penstock.binary, store.address, *store.options,
                            environment={**store.environment, **environment}))
        return probes[-1]
    yield start
    for probe in probes:
        probe.close()


def size_of(probe):
    return probe("stat", "file").get("size")


def test_of_an_instance(probe_with, service):
    probe = probe_with(AWS_EC2_METADATA_SERVICE_ENDPOINT=service.address + "/")
    for _ in range(5):
        assert size_of(probe) == 13
    assert service.asked == [("PUT", "/latest/api/token"), ("GET", METADATA), ("GET", METADATA + ROLE)]


def test_they_are_renewed_before_they_expire(probe_with, service):
    service.seconds = 4
    probe = probe_with(AWS_EC2_METADATA_SERVICE_ENDPOINT=service.address)

    def renewed(times):
        assert size_of(probe) == 13
        return service.times_given() >= times
    began = time.monotonic()
    wait_for(lambda: renewed(2))
    assert time.monotonic() - began > 1  # and not at every request
    # A service that says nothing for a while: those there are go on being used.
    service.silent = True
    asked = len(service.asked)
    wait_for(lambda: size_of(probe) == 13 and len(service.asked) > asked)
    assert size_of(probe) == 13


def test_of_a_container(probe_with, service, tmp_path):
    (tmp_path / "token").write_text("container token\n")
    service.seconds = 2
    probe = probe_with(AWS_CONTAINER_CREDENTIALS_FULL_URI=service.address + "/container",
                       AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(tmp_path / "token"),
                       AWS_EC2_METADATA_SERVICE_ENDPOINT=service.address)
    assert size_of(probe) == 13
    assert service.asked == [("GET", "/container")]
    # The token is renewed in its file.
    service.authorization = "another token"
    (tmp_path / "token").write_text("another token\n")
    wait_for(lambda: size_of(probe) == 13 and service.times_given() >= 2)


def test_none_to_be_had(probe_with, service, store):
    """Requests go unsigned then, and the store says what it makes of them."""
    unsigned = probe_with()("stat", "file")
    assert unsigned["error"] in ("permission denied", "i/o error")
    service.silent = True
    # Tokens go to nobody by a way that others can read.
    for environment in ({"AWS_EC2_METADATA_SERVICE_ENDPOINT": service.address},
                        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": service.address + "/container"},
                        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.1/container"}):
        assert probe_with(**environment)("stat", "file")["error"] == unsigned["error"]
    # Others come first: the file, and the environment before it.
    asked = len(service.asked)
    probe = probe_with(AWS_EC2_METADATA_SERVICE_ENDPOINT=service.address, **store.keys)
    assert size_of(probe) == 13 and len(service.asked) == asked
