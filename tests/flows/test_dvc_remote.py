"""DVC's remote on S3: what one machine pushed, a fresh clone takes; endpoint and credentials come from the environment alone."""

import re
import shutil

import pytest

from tests.flows.conftest import Shop
from tests.flows.shop_repository import Clone, commit


@pytest.fixture
def shop(lone_shop, s3, request):
    """A committed shop whose DVC remote is a prefix of the bucket; its environment names the server and the keys."""
    clone = Clone(lone_shop.folder)
    shop = Shop(lone_shop.folder, lone_shop.environment | s3.environment)
    assert shop.dvc("remote", "add", "-d", "store", f"{s3.url}/{request.node.name}")[0] == 0
    clone.write(".gitignore", "/.vitrine/\n/data/\n/reports/\n/knobs/\n/output.txt\n")
    clone.git("add", "-A")
    clone.git("commit", "-q", "-m", "a shop")
    return shop


def fresh(shop: Shop, folder, **environment: str) -> Shop:
    """A clone on another machine: no cache is shared."""
    Clone(shop.folder).git("clone", "-q", str(shop.folder), str(folder))
    for name in ("knobs", "reports", "data"):
        (folder / name).mkdir(exist_ok=True)
    return Shop(folder, shop.environment | {"DVC_SITE_CACHE_DIR": str(folder / "site")} | environment)


def test_a_fresh_clone_pulls_what_was_pushed_and_has_nothing_to_do(shop, s3, tmp_path, unkilled_digests, request):
    assert shop.dvc("repro")[0] == 0
    assert commit(Clone(shop.folder), Clone(shop.folder).head()).where == "local"
    status, output = shop.dvc("push")
    assert status == 0, output
    clone = fresh(shop, tmp_path / "clone")
    status, output = clone.dvc("pull")
    assert status == 0, output
    status, output = clone.dvc("repro")
    assert status == 0, output
    assert "Data and pipelines are up to date." in output
    assert "Running stage" not in output
    assert clone.digests() == unkilled_digests
    assert (clone.folder / "data/verdict").read_bytes() == (shop.folder / "data/verdict").read_bytes()
    assert len(list((s3.folder / request.node.name).rglob("*"))) > len(unkilled_digests)


def test_neither_the_endpoint_nor_a_key_is_in_any_file_of_the_workspace(shop, s3):
    shop.dvc("repro")
    assert shop.dvc("push")[0] == 0
    config = (shop.folder / ".dvc/config").read_text()
    assert re.search(r"url = s3://shop/", config)
    told = [s3.environment["AWS_SECRET_ACCESS_KEY"].encode(), s3.environment["AWS_ENDPOINT_URL_S3"].encode()]
    found = [path for path in shop.folder.rglob("*") if path.is_file() and any(word in path.read_bytes() for word in told)]
    assert found == []


def test_without_keys_and_without_a_server_dvc_says_so_and_loses_nothing(shop, tmp_path, unkilled_digests):
    shop.dvc("repro")
    for wrong in ({"AWS_SECRET_ACCESS_KEY": "wrong"}, {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}):
        status, output = Shop(shop.folder, shop.environment | wrong).dvc("push")
        assert status != 0
        assert "ERROR" in output
    assert shop.digests() == unkilled_digests
    assert shop.dvc("push")[0] == 0
    shutil.rmtree(shop.folder / ".dvc/cache")
    assert shop.dvc("pull")[0] == 0
