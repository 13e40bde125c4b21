"""Secrets that are planted in the environment and in profiles are used, and turn up in nothing that a run leaves behind.

They are looked for in every file of workspaces, clones and the bucket, unpacked where packed, in Git's objects, in Prefect's database and
in all that was printed: after runs that went well, and after each kind of run that fails while it holds one of them.
"""

import base64
import gzip
import json
import re
import sqlite3
import subprocess
import threading
from contextlib import closing, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import moto_s3
from tests.conftest import environment, make_workspace
from tests.flows.conftest import VITRINE
from tests.flows.pool_house import GIT
from tests.flows.pool_shop import make_pool_shop
from tests.leaks import holds, in_bucket, in_folder
from tests.openai_server import OpenAiServer, likes_bright_photos
from tests.release.rehearsed import varied

pytestmark = pytest.mark.timeout(1800)
MARK = "Pl4nt3dQx7wZ"  # in every planted secret
SECRETS = [MARK]
GOOD_KEY = f"sk-good-{MARK}"
DEAD = "http://127.0.0.1:9"
PLANTED = {
    "VITRINE_API_KEYS": json.dumps({"version": 1, "keys": [{"id": "k", "hash": MARK}]}),
    "VITRINE_API_KEY": f"vk_{MARK}",
    "VITRINE_USER_SALT": f"salt-{MARK}-of-sixteen-characters",
    "VITRINE_POSTGRES_DSN": f"postgresql://shop:{MARK}@127.0.0.1:9/shop",
    "VITRINE_WEBHOOK_URL": f"{DEAD}/hooks/{MARK}",
    "VITRINE_REPOSITORY": f"https://bot:{MARK}@git.example/shop.git",
    "PREFECT_API_KEY": f"pnu_{MARK}",
    "OPENAI_API_KEY": f"sk-{MARK}",
}
AWS = {
    "AWS_ACCESS_KEY_ID": f"AKIA{MARK}",
    "AWS_SECRET_ACCESS_KEY": f"/{MARK}+secret=",
    "AWS_SESSION_TOKEN": f"FwoG{MARK}//token==",
}


@pytest.fixture(scope="module")
def moto():
    """An S3 server that takes any key, so that all of them can be planted."""
    with moto_s3.serving() as server:
        yield server


@pytest.fixture
def bucket(moto):
    """The bucket's objects, by a client of the test's own."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in moto.environment.items():
            patch.setenv(name, value)
        yield boto3.session.Session().client("s3")


class Told:
    """Commands whose output is kept in a folder that is searched too."""

    def __init__(self, folder, kept, settings):
        self.folder, self.kept, self.environment = folder, kept, settings
        kept.mkdir()

    def run(self, *command, status=0, **changes):
        """The command's output; it must end with that exit status."""
        env = self.environment | changes
        done = subprocess.run(command, cwd=self.folder, env=env, text=True, capture_output=True, timeout=900, check=False)
        said = f"{done.stdout}\n{done.stderr}"
        (self.kept / f"{len(list(self.kept.iterdir()))}.txt").write_text(said)
        assert done.returncode == status, said
        return said


@pytest.fixture
def told(moto, tmp_path):
    """A workspace on S3. The AWS keys are in a profile of ~/.aws, Prefect's in one of its own; everything else is in the environment."""
    url, home = f"s3://{moto_s3.BUCKET}/{tmp_path.name}", tmp_path / "home"
    changes = {
        "label": {"judge": "openai", "model": "loopback"},
        "cache": {"url": f"{url}/cache"},
        "release": {"registry": f"{url}/registry"},
    }
    folder = make_workspace(tmp_path / "shop", changes)
    home.mkdir()
    (home / "credentials").write_text("[shop]\n" + "".join(f"{name.lower()} = {value}\n" for name, value in AWS.items()))
    (home / "profiles.toml").write_text(f'active = "shop"\n[profiles.shop]\nPREFECT_API_KEY = "{PLANTED["PREFECT_API_KEY"]}"\n')
    settings = {
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{moto.port}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_SHARED_CREDENTIALS_FILE": str(home / "credentials"),
        "AWS_PROFILE": "shop",
        "PREFECT_PROFILES_PATH": str(home / "profiles.toml"),
        "PREFECT_LOGGING_LEVEL": "DEBUG",
        "DVC_SITE_CACHE_DIR": str(folder / ".vitrine" / "dvc-site"),
        "DVC_GLOBAL_CONFIG_DIR": str(home / "dvc"),
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@shop.example",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@shop.example",
    }
    kept = {key: value for key, value in environment().items() if not key.startswith(("AWS_", "VITRINE_"))}
    told = Told(folder, tmp_path / "said", kept | PLANTED | settings)
    told.run("dvc", "remote", "add", "-q", "--default", "store", f"{url}/remote")
    return told


@pytest.mark.proof
def test_a_local_run_its_failures_and_the_release_of_its_bundle_keep_every_secret(told, bucket, monkeypatch):
    monkeypatch.setattr("tests.openai_server.KEY", GOOD_KEY)
    with OpenAiServer(likes_bright_photos).running() as judge:
        refused = told.run(VITRINE, "retrain", status=1, OPENAI_BASE_URL=judge.url)
        assert "refused the key (HTTP 401)" in refused, "the server says the key back"
        told.run(VITRINE, "retrain", OPENAI_BASE_URL=judge.url, OPENAI_API_KEY=GOOD_KEY)
    told.run("git", "commit", "-q", "-am", "what came of it")
    told.run("dvc", "push", "-v")
    good = str(varied(told.folder / "bundle", told.folder / "good"))  # a market of this size promotes nothing
    release_id = re.search(r"^[0-9a-f]{64}$", told.run(VITRINE, "release", "publish", good), re.MULTILINE)
    told.run(VITRINE, "release", "start", release_id[0])
    told.run(VITRINE, "release", "status")
    assert "StoreFailed" in told.run(VITRINE, "release", "publish", good, status=1, AWS_ENDPOINT_URL_S3=DEAD)
    told.run("dvc", "push", status=255, AWS_ENDPOINT_URL_S3=DEAD)
    assert (told.folder / ".vitrine" / "prefect" / "prefect.db").stat().st_size > 0
    assert (told.folder / "bundle" / "manifest.json").exists()
    assert in_folder(told.folder, SECRETS) + in_folder(told.kept, SECRETS) == []
    found, num = in_bucket(bucket, moto_s3.BUCKET, SECRETS)
    assert (found, num > 50) == ([], True)


@pytest.mark.parametrize(
    "given", [f"bucket={PLANTED['VITRINE_POSTGRES_DSN']}", f"secret={AWS['AWS_SECRET_ACCESS_KEY']}", f"bucket={MARK} {MARK}"]
)
def test_a_profile_takes_no_login_and_does_not_repeat_it(told, given):
    said = told.run(VITRINE, "profile", "production", "--set", given, status=1)
    assert "BadParams: --set" in said
    assert in_folder(told.folder, SECRETS) + in_folder(told.kept, SECRETS) == []


@contextmanager
def asking_for_a_login(folder: Path):
    """An HTTP server over a folder of bare repositories, which wants the user bot and the password MARK. Gives its address with them."""
    login = "Basic " + base64.b64encode(f"bot:{MARK}".encode()).decode()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            if self.headers.get("Authorization") == login:
                return super().do_GET()
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="shop"')
            self.send_header("Content-Length", "0")
            return self.end_headers()

        def log_message(self, *_):
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://bot:{MARK}@127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def pool_shop(deployed, moto, tmp_path):
    """A shop on work pools whose every process has the secrets in its environment; its origin can be served to who has a password."""
    kept = dict(deployed.environment)
    deployed.environment |= PLANTED | moto.environment | AWS
    shop = make_pool_shop(deployed, tmp_path, f"s3://{moto_s3.BUCKET}/{tmp_path.name}")
    hook = shop.origin / "hooks" / "post-update"
    hook.write_text("#!/bin/sh\nexec git update-server-info\n")
    hook.chmod(0o755)
    deployed.git(shop.origin, "update-server-info")
    deployed.environment |= {"TOY_KNOBS": str(shop.knobs)}
    yield shop
    deployed.end_workers()
    deployed.environment = kept


@pytest.mark.proof
def test_runs_on_work_pools_and_their_failures_keep_every_secret(pool_shop, bucket):
    house, parent = pool_shop.house, pool_shop.folder.parent
    said = parent / "said"
    said.mkdir()

    def retrain(name, status):
        ended, output = pool_shop.retrain()
        (said / name).write_text(output)
        assert ended == status, output

    with asking_for_a_login(parent) as address:
        for pool in ("cpu", "gpu"):
            house.start_worker(pool, pool_shop.origin, VITRINE_REPOSITORY=f"{address}/nothing.git")
        retrain("no repository", 1)
        house.end_workers()
        for pool in ("cpu", "gpu"):
            house.start_worker(pool, pool_shop.origin, VITRINE_REPOSITORY=f"{address}/{pool_shop.origin.name}")
        pool_shop.knob("label.fails").write_text("2")
        retrain("a failing stage", 1)
        assert pool_shop.num_runs("label") == 2
        retrain("well", 0)
        house.end_workers()
    assert (house.folder / "prefect" / "prefect.db").stat().st_size > 0
    assert in_folder(house.folder, SECRETS) + in_folder(parent, SECRETS) == []
    found, num = in_bucket(bucket, moto_s3.BUCKET, SECRETS)
    assert (found, num > 5) == ([], True)


def test_the_search_finds_a_secret_wherever_one_was_printed_on_purpose(tmp_path, bucket):
    secret = AWS["AWS_SECRET_ACCESS_KEY"]
    repository, table = tmp_path / "repository", pa.table({"note": ["none", f"it was {secret}"], "bytes": [b"", secret.encode()]})
    repository.mkdir()
    (tmp_path / "run.log").write_text(f"KeyError: {secret}\n")
    (tmp_path / "encoded.json").write_text(json.dumps({"auth": base64.b64encode(f"bot:{secret}".encode()).decode()}))
    (tmp_path / "packed.gz").write_bytes(gzip.compress(f"{secret}\n".encode()))
    (tmp_path / f"named-{MARK}").write_text("")
    pq.write_table(table, tmp_path / "table.parquet", compression="zstd")
    with closing(sqlite3.connect(tmp_path / "prefect.db")) as database:
        database.execute("create table log (message blob)")
        database.execute("insert into log values (?)", [secret.encode()])
        database.commit()
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", f"with {secret}"]):
        subprocess.run([*GIT, *command], cwd=repository, check=True)
    found = {Path(one.partition(":")[0]).name for one in in_folder(tmp_path, SECRETS)}
    assert found >= {"run.log", "encoded.json", "packed.gz", f"named-{MARK}", "table.parquet", "prefect.db", ".git"}
    bucket.put_object(Bucket=moto_s3.BUCKET, Key="self-check", Body=b"", Metadata={"note": secret})
    found_there, _ = in_bucket(bucket, moto_s3.BUCKET, SECRETS)
    bucket.delete_object(Bucket=moto_s3.BUCKET, Key="self-check")
    assert found_there == ["self-check"]


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
def test_base64_is_seen_through_wherever_the_secret_stands_in_it(before):
    assert holds(base64.b64encode(f"{before}{MARK}, and more".encode()), SECRETS)
    assert not holds(base64.b64encode(f"{before}{MARK[:-3]}".encode()), SECRETS)
