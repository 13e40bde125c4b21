"""A toy shop for work pools: four stages of a second, two of which may run at once, behind a bare repository and a bucket."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML

from components.contract import read_params
from tests.conftest import PROJECT, merge
from tests.flows.pool_house import House, bare_origin

STAGES = {"pairs": ("cpu", ["seed.txt"]), "photos": ("gpu", ["film.txt"]), "label": ("gpu", ["data/pairs", "data/photos"])}
STAGES |= {"evaluate": ("cpu", ["data/label"])}
# Files in the folder TOY_KNOBS steer a stage without being deps: NAME.hold makes it wait, NAME.differs makes no two runs of it alike, and
# NAME.fails counts how often it is still to end with an error. Each run of a stage adds a line to NAME.ran.
TOY = """
import hashlib, json, os, pathlib, sys, time, uuid
from components.process import die_with_parent
die_with_parent()
name, sources = sys.argv[1], [pathlib.Path(path) for path in sys.argv[2:]]
knobs = pathlib.Path(os.environ["TOY_KNOBS"])
with open(knobs / f"{name}.ran", "a") as file:
    file.write(f"{time.time()}\\n")
print(f"{name} starts", flush=True)
while (knobs / f"{name}.hold").exists():
    print(f"{name} waits", flush=True)
    time.sleep(0.1)
left = int((knobs / f"{name}.fails").read_text()) if (knobs / f"{name}.fails").exists() else 0
(knobs / f"{name}.fails").write_text(str(max(0, left - 1)))
if left > 0:
    sys.exit(f"{name} has a bad day")
made = hashlib.sha256(b"".join(path.read_bytes() for path in sources) + name.encode()).hexdigest()
if (knobs / f"{name}.differs").exists():
    made = uuid.uuid4().hex
pathlib.Path("data", name).write_text(made)
report = {"rows_in": 3, "rows_out": 2, "rows_quarantined": 1}
if name == "evaluate":
    ndcg = int(made[:4], 16) / 65536
    row = {"model": {"ndcg_at_5": {"value": ndcg, "low": ndcg - 0.1, "high": ndcg + 0.1}}}
    report |= {"encoder": {"all": {"category": row}}, "promote": False, "reasons": ["ndcg_at_5 is below the histogram's"]}
pathlib.Path("reports").mkdir(exist_ok=True)
pathlib.Path("reports", f"{name}.json").write_text(json.dumps(report))
row = {"stage": name, "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "seconds": 0.1}
pathlib.Path("runs").mkdir(exist_ok=True)
with open("runs/stages.jsonl", "a") as file:
    file.write(json.dumps(row | {"cache": {"reused": 7, "recomputed": 5, "changed": []}}) + "\\n")
"""
# Patience for machines that are slow, impatience with runs that are gone.
POOLS: dict[str, Any] = {
    "poll_s": 0.5,
    "beat_s": 0.5,
    "lost_after_s": 30.0,
    "begun_within_s": 120.0,
    "taken_within_s": 120.0,
    "away_s": 30.0,
    "transfer_s": 60,
    "transfer_tries": 2,
    "retry_wait_s": 0.5,
}


@dataclass(frozen=True)
class PoolShop:
    """A checkout of the shop, the origin that its runs clone, and the folder of knobs."""

    folder: Path
    origin: Path
    knobs: Path
    house: House

    def knob(self, name: str) -> Path:
        return self.knobs / name

    def num_runs(self, stage: str) -> int:
        """How often the stage itself ran, wherever."""
        path = self.knob(f"{stage}.ran")
        return len(path.read_text().splitlines()) if path.exists() else 0

    def start_retrain(self, *options: str, output: str = "output.txt") -> subprocess.Popen[bytes]:
        """`vitrine retrain --work-pools`, started; its output goes to a file beside the checkout."""
        command = ["vitrine", "retrain", "--work-pools", *options]
        with open(self.folder.parent / output, "wb") as file:
            return subprocess.Popen(command, cwd=self.folder, env=self.house.environment, stdout=file, stderr=file)

    def output(self, name: str = "output.txt") -> str:
        return (self.folder.parent / name).read_text()

    def retrain(self, *options: str) -> tuple[int, str]:
        """Exit status and output of `vitrine retrain --work-pools`."""
        return self.house.run(self.folder, "vitrine", "retrain", "--work-pools", *options)

    def lock(self) -> dict[str, Any]:
        """The stages of the checkout's dvc.lock."""
        stages: dict[str, Any] = yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"]
        return stages

    def change(self, text: str) -> None:
        """Another seed, committed and pushed."""
        (self.folder / "seed.txt").write_text(text)
        self.house.git(self.folder, "commit", "-q", "-am", f"seed {text}")
        self.house.git(self.folder, "push", "-q")


def make_pool_shop(house: House, folder: Path, bucket: str, pools: dict[str, Any] | None = None) -> PoolShop:
    """A shop in `folder` whose remote and work cache lie below `bucket`, an s3:// address."""
    shop = PoolShop(folder / "shop", folder / "origin.git", folder / "knobs", house)
    for made in (shop.folder / "data", shop.knobs):
        made.mkdir(parents=True)
    write_params(shop.folder, {"cache": {"url": f"{bucket}/cache"}, "pools": POOLS | (pools or {})})
    stages = {
        name: {
            "cmd": " ".join(["python toy.py", name, *sources]),
            "deps": [*sources, "toy.py"],
            "outs": [f"data/{name}"],
            "metrics": [f"reports/{name}.json"],
            "meta": {"pool": pool, "gpu": int(pool == "gpu"), "retries": 1, "timeout_s": 1800},
        }
        for name, (pool, sources) in STAGES.items()
    }
    snapshot = {"source": {"kind": "simulate"}, "as_of": "2026-01-01T00:00:00Z", "stable_release": None}
    texts = {"dvc.yaml": yaml.safe_dump({"stages": stages}, sort_keys=False), "toy.py": TOY, "seed.txt": "1", "film.txt": "1"}
    texts |= {"data/snapshot.json": json.dumps(snapshot), ".gitignore": "/.vitrine/\n/runs/\n/reports/\n__pycache__/\n"}
    texts |= {"prefect.yaml": (PROJECT / "prefect.yaml").read_text(), ".dvcignore": "runs\n.vitrine\n"}
    for name, text in texts.items():
        (shop.folder / name).write_text(text)
    house.git(shop.folder, "init", "-q")
    house.must(shop.folder, "dvc", "init", "-q")
    house.must(shop.folder, "dvc", "remote", "add", "-q", "--default", "store", f"{bucket}/remote")
    house.git(shop.folder, "add", "-A")
    house.git(shop.folder, "commit", "-q", "-m", "shop")
    bare_origin(house, shop.folder, shop.origin)
    return shop


def write_params(folder: Path, changes: dict[str, Any]) -> None:
    """The project's params.yaml with other values."""
    params = read_params(PROJECT / "params.yaml")
    merge(params, changes)
    with open(folder / "params.yaml", "w") as file:
        YAML().dump(params, file)
