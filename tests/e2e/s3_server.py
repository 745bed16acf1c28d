"""An S3 service (moto) on a loopback port that holds the files of a directory and checks signatures:

    s3_server.py PORT BUCKET PREFIX DIRECTORY

Prints one line of JSON with the keys by which requests are to be signed, then serves until it is
killed. Run again, it holds what the directory holds then."""

import json
import os
import pathlib
import sys

os.environ["MOTO_S3_CUSTOM_ENDPOINTS"] = ""
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "0"

from moto.iam import iam_backends  # noqa: E402  (the settings above are read when it is imported)
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: E402
from moto.s3 import s3_backends  # noqa: E402
from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: E402

ACCOUNT = "123456789012"


class QuietHandler(WSGIRequestHandler):
    def log_request(self, *_):
        pass


def main():
    port, bucket, prefix, directory = sys.argv[1:]
    iam = iam_backends[ACCOUNT]["aws"]
    iam.create_user("us-east-1", "reader")
    iam.put_user_policy("reader", "all", json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}))
    key = iam.create_access_key("reader")

    s3 = s3_backends[ACCOUNT]["aws"]
    s3.create_bucket(bucket, "us-east-1")
    root = pathlib.Path(directory)
    for path in sorted(root.rglob("*")):
        if path.is_file():
            s3.put_object(bucket, prefix + str(path.relative_to(root)), path.read_bytes())
    server = make_server("127.0.0.1", int(port), DomainDispatcherApplication(create_backend_app),
                         threaded=True, request_handler=QuietHandler)
    print(json.dumps({"AWS_ACCESS_KEY_ID": key.access_key_id,
                      "AWS_SECRET_ACCESS_KEY": key.secret_access_key}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
