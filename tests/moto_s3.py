"""An S3 server for tests that honours conditional writes: moto's, on loopback, in a process of its own.

It answers one request at a time, since moto looks at a condition and then writes, in two steps. It checks no signatures, which rclone's
server does (s3_server.py).
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BUCKET = "shop"


@dataclass(frozen=True)
class MotoServer:
    """Where it listens, and what a client's environment must say."""

    port: int

    @property
    def environment(self) -> dict[str, str]:
        """With credentials that it does not look at."""
        return environment_at(self.port)


def environment_at(port: int) -> dict[str, str]:
    """What the environment of an S3 client says for a server, or a proxy before it, on that port of loopback."""
    return {
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": "unused",
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def serving() -> Iterator[MotoServer]:
    """The server with one empty bucket, until the block ends."""
    command, project = [sys.executable, "-m", "tests.moto_s3"], Path(__file__).resolve().parents[1]
    server = subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line, "moto's server did not start"
        yield MotoServer(int(line))
    finally:
        server.terminate()
        server.wait(10)


def main() -> None:
    """Makes the bucket, says the port and serves until it is stopped."""
    from moto.s3.models import s3_backends
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    s3_backends["123456789012"]["aws"].create_bucket(BUCKET, "us-east-1")
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=False)
    print(server.port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
