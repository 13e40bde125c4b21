"""An S3 server for tests: rclone over a folder, on loopback, which checks signatures."""

import os
import secrets
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BUCKET = "shop"


@dataclass(frozen=True)
class S3Server:
    """Where it listens, the folder that holds the bucket's objects, and what a client's environment must say."""

    url: str
    folder: Path
    environment: dict[str, str]


@contextmanager
def serving(folder: Path) -> Iterator[S3Server]:
    """The server with one empty bucket, until the block ends."""
    (folder / BUCKET).mkdir(parents=True)
    key, secret, port = "tester", secrets.token_hex(8), _free_port()
    rclone = Path(sysconfig.get_path("scripts")) / "rclone"
    command = [rclone, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--vfs-cache-mode", "off", folder]
    # the secret goes by the environment: a command line can be read by every process of the machine
    env = {"PATH": os.environ["PATH"], "RCLONE_CONFIG": str(folder / "none.conf"), "RCLONE_AUTH_KEY": f'"{key},{secret}"'}
    server = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await(port, server)
        settings = {
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        yield S3Server(f"s3://{BUCKET}", folder / BUCKET, settings)
    finally:
        server.terminate()
        server.wait(10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(port: int, server: subprocess.Popen[bytes], limit_s: float = 20) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"rclone did not listen on 127.0.0.1:{port}")
