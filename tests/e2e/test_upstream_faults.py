"""Web servers that misbehave: right bytes or an error in bounded time, and nothing asked for in vain."""

import errno
import random
import subprocess

import pytest
import xxhash

from faulty_server import FaultyServer
from remote_stores import NginxStore, S3Store, Probe, probing

CONTENTS = random.Random(3).randbytes(200_000)
TIMEOUT = 3
# A machine with other things to do; the bound proper is TIMEOUT.
SLACK = 20


def digest(contents):
    return xxhash.xxh3_128_hexdigest(contents)


@pytest.fixture
def server():
    server = FaultyServer({"file": CONTENTS, "other": b"another file"})
    yield server
    server.close()


@pytest.fixture
def probe(penstock, server):
    with probing(penstock.binary, server, "--timeout", TIMEOUT) as probe:
        yield probe
        server.released.set()


def first_get(fault, times=1):
    """The fault for the first `times` GETs."""
    left = [times]

    def choose(method, _path, _number):
        if method != "GET" or left[0] == 0:
            return None
        left[0] -= 1
        return fault
    return choose


def always(fault, method="GET"):
    return lambda asked, _path, _number: fault if asked == method else None


def read(probe, **changes):
    return probe("read", "file", **{"offset": 1000, "size": 50_000, **changes})


RIGHT = digest(CONTENTS[1000:51_000])


@pytest.mark.parametrize("fault", ["reset", "reset in the middle", "truncated", 500, 502, 503, 504,
                                   416, 429, "503 wait", "429 wait"])
def test_what_passes_is_tried_again(server, probe, fault):
    server.fault = first_get(fault, 1 if "wait" in str(fault) else 2)
    outcome = read(probe)
    assert outcome["xxh128"] == RIGHT
    assert server.count() == (2 if "wait" in str(fault) else 3)
    if "wait" in str(fault):
        assert outcome["seconds"] >= 0.9  # what Retry-After asked for


@pytest.mark.parametrize("fault", ["reset", "reset in the middle", "truncated", 416, 503])
def test_what_does_not_pass_is_an_error(server, probe, fault):
    server.fault = always(fault)
    outcome = read(probe)
    assert outcome["error"] not in ("not found", "corrupt")
    assert 2 <= server.count() <= 5
    assert outcome["seconds"] < TIMEOUT + SLACK


@pytest.mark.parametrize("fault", ["stall", "stall in the middle", "trickle"])
def test_a_server_that_stands_still_is_left_in_time(server, probe, fault):
    server.fault = always(fault)
    outcome = read(probe)
    assert outcome["error"] == "timeout"
    assert outcome["seconds"] < TIMEOUT + SLACK
    assert server.count() >= 2  # another connection was tried


def test_a_stall_that_passes_costs_a_part_of_the_time_out(server, probe):
    server.fault = first_get("stall in the middle")
    assert read(probe)["xxh128"] == RIGHT


@pytest.mark.parametrize("fault", ["whole", "wrong range", "short range", "no content-range",
                                   "too long", "short", "encoded"])
def test_another_answer_than_was_asked_for_is_an_error(server, probe, fault):
    server.fault = always(fault)
    outcome = read(probe)
    assert "error" in outcome and outcome["error"] != "overrun", outcome
    assert outcome["error"] != "not found"
    assert server.count() == 1, "the server will not do better by being asked again"
    server.fault = always(None)
    assert read(probe)["xxh128"] == RIGHT


def test_a_version_is_never_mixed_with_another(server, probe):
    opened = probe("open", "file", handle="a")
    assert probe("read_open", handle="a", size=1000)["xxh128"] == digest(CONTENTS[:1000])
    assert server.requests[-1][2]["If-Match"] == '"one"'
    # A server that does not look at If-Match and has another version by now.
    server.fault = always("other etag")
    assert probe("read_open", handle="a", offset=1000, size=1000)["errno"] == errno.ESTALE
    assert probe("read_unchanged", "file", identity=opened["identity"],
                 size=1000)["errno"] == errno.ESTALE
    # One that does.
    server.fault = always(412)
    assert probe("read_open", handle="a", offset=1000, size=1000)["errno"] == errno.ESTALE


@pytest.mark.parametrize("etag", ['W/"weak"', None])
def test_without_a_strong_etag_the_date_and_size_decide(server, probe, etag):
    server.etag = etag
    opened = probe("open", "file", handle="a")
    assert probe("read_open", handle="a", size=1000)["xxh128"] == digest(CONTENTS[:1000])
    assert "If-Match" not in server.requests[-1][2]
    server.modified += 1
    assert probe("read_open", handle="a", size=1000)["errno"] == errno.ESTALE
    server.modified -= 1
    server.files["file"] = CONTENTS + b"!"
    assert probe("read_open", handle="a", size=1000)["errno"] == errno.ESTALE
    assert probe("stat", "file")["identity"] != opened["identity"]


def test_without_etag_and_date_a_file_is_refused(server, probe):
    server.etag = server.modified = None
    outcome = probe("stat", "file")
    assert outcome["error"] == "unsupported" and "ETag" in outcome["text"]


@pytest.mark.parametrize("fault", [405, 501, "no length"])
def test_a_server_without_head(server, probe, fault):
    server.fault = always(fault, "HEAD")
    assert probe("stat", "file")["size"] == len(CONTENTS)


def test_redirects_stay_with_http(server, probe, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"not for the network")
    server.location = f"file://{secret}"
    server.fault = always(301)
    assert probe("read", "file", size=19)["error"] == "i/o error"
    server.location = "/other"
    server.fault = first_get(301)
    assert probe("read", "file", size=50)["xxh128"] == digest(b"another file")
    server.location = "/file"
    server.fault = always(301)
    assert probe("read", "file", size=50)["error"] == "i/o error"
    assert server.count() < 20


def test_refusals(server, probe):
    server.fault = always(403)
    assert read(probe)["error"] == "permission denied"
    server.fault = always(401)
    assert ".netrc" in read(probe)["text"]
    assert server.count() == 2


def test_a_web_server_whose_disk_is_away_is_no_empty_store(penstock, tmp_path):
    store = NginxStore(tmp_path / "store")
    store.put("there", b"file")
    store.start()
    try:
        with probing(penstock.binary, store) as probe:
            assert probe("stat")["type"] == "directory"
            store.root.rename(tmp_path / "away")
            for call in (dict(do="stat", path="there"), dict(do="read", path="there", size=4),
                         dict(do="list", path=""), dict(do="stat", path="")):
                assert probe(**call)["error"] == "i/o error", call
            (tmp_path / "away").rename(store.root)
            assert probe("read", "there", size=4)["count"] == 4
            assert probe("stat", "nothing")["error"] == "not found"
    finally:
        store.close()


def test_a_server_that_lists_nothing(penstock, tmp_path):
    store = NginxStore(tmp_path / "store", "off")
    store.put("folder/file", b"file")
    store.start()
    try:
        with probing(penstock.binary, store) as probe:
            assert probe("stat", "folder")["type"] == "directory"
            assert probe("read", "folder/file", size=10)["count"] == 4
            assert probe("stat", "folder/nothing")["error"] == "not found"
            listed = probe("list", "folder")
            assert listed["error"] == "unsupported" and "autoindex" in listed["text"]
    finally:
        store.close()


def make_certificate(folder, name, *options):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem", *options],
                   check=True, capture_output=True)
    return folder / f"{name}.pem", folder / f"{name}.key"


def test_https(penstock, tmp_path):
    server_pair = make_certificate(tmp_path, "server", "-addext", "subjectAltName=IP:127.0.0.1")
    client_pair = make_certificate(tmp_path, "client")
    stranger = make_certificate(tmp_path, "stranger")
    store = NginxStore(tmp_path / "store", tls=server_pair, server_options=(
        f"ssl_client_certificate {client_pair[0]}; ssl_verify_client optional;"
        ' if ($ssl_client_verify != SUCCESS) { return 403; }'))
    store.put("file", CONTENTS)
    store.start()
    trusted = ("--tls-ca", server_pair[0])
    try:
        for options, expected in (
                ((), "i/o error"),  # an unknown authority
                (("--tls-ca", stranger[0]), "i/o error"),
                (trusted, "permission denied"),  # the client does not say who it is
                ((*trusted, "--tls-certificate", stranger[0], "--tls-key", stranger[1]), None),
                ((*trusted, "--tls-certificate", client_pair[0], "--tls-key", client_pair[1]), "")):
            with probing(penstock.binary, store, *options) as probe:
                outcome = probe("read", "file", size=1000)
                if expected == "":
                    assert outcome["xxh128"] == digest(CONTENTS[:1000])
                else:
                    assert "error" in outcome and expected in (None, outcome["error"]), options
    finally:
        store.close()


def test_passwords_are_sent_and_not_told(penstock, server):
    address = server.address
    server.address = address.replace("//", "//user:p%40ss@")
    with probing(penstock.binary, server) as probe:
        assert probe("read", "file", size=10)["count"] == 10
        assert server.requests[-1][2]["Authorization"] == "Basic dXNlcjpwQHNz"
        assert probe("name")["name"] == address
        assert "ss@" not in probe("stat", "nothing")["text"]


def test_netrc(penstock, server, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password p@ss\n")
    server.environment = {"HOME": str(tmp_path)}
    with probing(penstock.binary, server) as probe:
        assert probe("read", "file", size=10)["count"] == 10
        # curl asks without first, and again where the server wants to know; this one does not.
        assert server.requests[-1][2].get("Authorization") == "Basic dXNlcjpwQHNz"


def test_proxies_of_the_environment(penstock, server):
    server.files = {"http://store.invalid/data/file": CONTENTS}
    proxy, server.address = server.address, "http://store.invalid/data"
    server.environment = {"http_proxy": proxy, "no_proxy": "", "NO_PROXY": ""}
    with probing(penstock.binary, server) as probe:
        assert probe("read", "file", size=1000)["xxh128"] == digest(CONTENTS[:1000])
    server.environment = {"http_proxy": proxy, "no_proxy": "store.invalid"}
    with probing(penstock.binary, server, "--timeout", TIMEOUT) as probe:
        assert probe("read", "file", size=1000)["error"] == "i/o error"


def test_s3_refusals(penstock, tmp_path):
    store = S3Store(tmp_path / "store")
    store.put("file", CONTENTS)
    store.start()
    try:
        wrong = {"AWS_ACCESS_KEY_ID": store.keys["AWS_ACCESS_KEY_ID"],
                 "AWS_SECRET_ACCESS_KEY": "wrong"}
        for environment, code in ((wrong, "SignatureDoesNotMatch"),
                                  ({**wrong, "AWS_ACCESS_KEY_ID": "AKIANOBODY"}, "InvalidAccessKeyId")):
            probe = Probe(penstock.binary, store.address, *store.options, environment=environment)
            for call in ("stat", "list", "read"):
                outcome = probe(call, "file", size=10)
                assert outcome["error"] == "i/o error" and code in outcome["text"], outcome
            probe.close()
        # Keys of the environment, and the endpoint, too.
        probe = Probe(penstock.binary, store.address,
                      environment={**store.keys, "AWS_ENDPOINT_URL": store.endpoint})
        assert probe("read", "file", size=10)["xxh128"] == digest(CONTENTS[:10])
        probe.close()
        probe = Probe(penstock.binary, "s3://nobucket/x", *store.options,
                      environment=store.environment)
        for call in ("stat", "list", "read"):
            outcome = probe(call, "file", size=10)
            assert outcome["error"] == "i/o error", outcome
        probe.close()
    finally:
        store.close()
