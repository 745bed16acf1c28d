"""A web server for tests that misbehaves as it is told to, request by request."""

import contextlib
import email.utils
import http.server
import socket
import struct
import threading


class FaultyServer:
    """Serves `files` (path without the leading '/': bytes). `fault(method, path, number)` is asked
    before each answer, with the number of requests before it, and names what happens: None or a
    word of Handler. `requests` holds (method, path, headers) of all requests."""

    def __init__(self, files):
        self.files = files
        self.fault = lambda method, path, number: None
        self.requests = []
        self.etag = '"one"'
        self.modified = 1_700_000_000
        self.released = threading.Event()  # ends stalls
        server = self

        class BoundHandler(Handler):
            faulty = server

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), BoundHandler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda *_: None  # connections that break are what it is for
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        self.options = ()
        self.environment = {}
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.released.set()
        self.http.shutdown()
        self.http.server_close()

    def count(self, method="GET"):
        return sum(request[0] == method for request in self.requests)


class Handler(http.server.BaseHTTPRequestHandler):
    faulty: FaultyServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        server = self.faulty
        number = len(server.requests)
        server.requests.append((self.command, self.path, dict(self.headers)))
        fault = server.fault(self.command, self.path, number)
        with contextlib.suppress(ConnectionError, BrokenPipeError):
            self.answer_with(fault)

    def answer_with(self, fault):
        server = self.faulty
        path = self.path.strip("/")
        contents = server.files.get(path)
        if fault == "stall":
            server.released.wait(60)
            self.close_connection = True
            return
        if fault == "reset":
            self.reset()
            return
        if isinstance(fault, int) or fault in ("503 wait", "429 wait"):
            status = fault if isinstance(fault, int) else int(fault.split()[0])
            self.send_response(status)
            if "wait" in str(fault):
                self.send_header("Retry-After", "1")
            if status == 301:
                self.send_header("Location", server.location)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        below = [name for name in server.files if name.startswith(path + "/")]
        if contents is None and path:
            # Directories are known, and not listed.
            self.send_response(404 if not below else 403 if self.path.endswith("/") else 301)
            if below and not self.path.endswith("/"):
                self.send_header("Location", self.path + "/")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if contents is None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_file(contents, fault)

    def send_file(self, contents, fault):
        first, last, total = 0, len(contents) - 1, len(contents)
        wanted = self.headers.get("Range")
        part = wanted is not None and fault != "whole"
        if part:
            begin, _, end = wanted.removeprefix("bytes=").partition("-")
            first, last = int(begin), min(int(end), total - 1)
        if fault == "shifted":  # right header, wrong place: noticed by checksums alone
            body = contents[first + 1:last + 2]
            body += b"\0" * (last - first + 1 - len(body))
        else:
            body = contents[first:last + 1]
        if fault == "flipped":
            body = bytes([body[0] ^ 1]) + body[1:]
        self.send_response(206 if part else 200)
        if self.faulty.etag:
            self.send_header("ETag", '"two"' if fault == "other etag" else self.faulty.etag)
        if self.faulty.modified:
            self.send_header("Last-Modified",
                             email.utils.formatdate(self.faulty.modified, usegmt=True))
        if part and fault != "no content-range":
            said = {"wrong range": (first + 1, last + 1, total + 1), "short range": (
                first, last - 1, total)}.get(fault, (first, last, total))
            self.send_header("Content-Range", "bytes {}-{}/{}".format(*said))
        if fault == "encoded":
            self.send_header("Content-Encoding", "gzip")
        if fault == "too long":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for chunk in (body, b"more than was asked for"):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.write(b"0\r\n\r\n")
            return
        if fault == "short":  # ends properly, too early
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body) - 1, body[:-1]))
            return
        if not (self.command == "HEAD" and fault == "no length"):
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault == "truncated":
            self.wfile.write(body[:len(body) // 2])
            self.close_connection = True
        elif fault == "reset in the middle":
            self.wfile.write(body[:len(body) // 2])
            self.reset()
        elif fault == "stall in the middle":
            self.wfile.write(body[:len(body) // 2])
            self.faulty.released.wait(60)
            self.close_connection = True
        elif fault == "trickle":
            for byte in body:
                self.wfile.write(bytes([byte]))
                if self.faulty.released.wait(0.2):
                    break
            self.close_connection = True
        else:
            self.wfile.write(body)

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
