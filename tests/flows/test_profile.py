"""`vitrine profile`: what it shows and commits, and what it leaves alone; profiles hold what differs and nothing else."""

import re
import shutil

import pytest
import yaml

from components.errors import BadParams, BadWorkspace, Conflict, GitFailed
from flows.git import Git
from flows.knobs import differ, turned, value_of
from flows.profile import changes_of, commit, committed_text, given_by, knobs_in, plan, profile_text
from flows.sections import check
from tests.conftest import PROJECT, run
from tests.flows.shop_repository import SETTINGS, Clone, git

PARAMS = (PROJECT / "params.yaml").read_text(encoding="utf-8")
PROFILES = PROJECT / "profiles"
GIVEN = {"production": {"bucket": "my-shop"}, "demo": {}}


def knobs(name: str) -> dict[tuple[str, ...], object]:
    return knobs_in(profile_text(name, PROFILES), GIVEN[name], yaml.safe_load(PARAMS), name)


def applied(text: str, *names: str) -> str:
    for name in names:
        text = turned(text, knobs(name))
    return text


def test_a_profile_is_there_for_production_and_for_the_way_back_and_is_tested():
    assert {path.stem for path in PROFILES.iterdir()} == set(GIVEN)


def test_both_turn_the_same_knobs_and_each_of_them_differs():
    params, demo, production = yaml.safe_load(PARAMS), knobs("demo"), knobs("production")
    assert list(demo) == list(production)
    assert [knob for knob in demo if not differ(demo[knob], production[knob])] == []
    assert changes_of(demo, params) == [], "demo.yaml is what params.yaml says as it comes"


def test_production_and_back_gives_the_file_byte_for_byte():
    assert applied(PARAMS, "production") != PARAMS
    assert applied(PARAMS, "production", "demo") == PARAMS


def test_every_comment_and_every_other_line_stays_in_production():
    then = applied(PARAMS, "production")
    assert re.findall(r"(?:^|\s)(#.*)", then) == re.findall(r"(?:^|\s)(#.*)", PARAMS)
    old, new = yaml.safe_load(PARAMS), yaml.safe_load(then)
    moved = [knob for knob in _leaves(old) if differ(value_of(old, knob), value_of(new, knob))]
    assert set(moved) <= set(knobs("production"))


def _leaves(tree, above=()):
    for key, value in tree.items():
        yield from _leaves(value, (*above, key)) if isinstance(value, dict) else [(*above, key)]


@pytest.mark.parametrize("name", sorted(GIVEN))
def test_with_a_profile_every_section_is_one_that_its_readers_take(name):
    params = yaml.safe_load(applied(PARAMS, name))
    check(params, params, PROJECT)


def test_the_heads_layers_are_those_of_a_base_trunk():
    """A base SigLIP has twelve blocks; layer 0 is the stem."""
    layers = knobs("production")["score", "head", "layers"]
    assert isinstance(layers, list)
    assert max(layers) <= 12


def test_an_unknown_profile_is_told_with_the_nearest():
    with pytest.raises(BadParams, match="no profile 'prod'; did you mean 'production'"):
        profile_text("prod", PROFILES)
    with pytest.raises(BadParams, match="no profile"):
        profile_text("../params", PROFILES)


@pytest.mark.parametrize(
    ("text", "given", "told"),
    [
        ("finetune: {train: {epoch: 3}}", {}, r"has no finetune\.train\.epoch; did you mean 'epochs'"),
        ("finetune: {train: {epochs: {a: 1}}}", {}, None),
        ("fintune: {}", {}, "has no fintune; did you mean 'finetune'"),
        ("cache: {url: 's3://${bucket}/${shop}'}", {"bucket": "b"}, "needs shop: add --set shop=..."),
        (
            "cache: {url: 's3://${bucket}/'}",
            {"bucket": "b", "buckets": "c"},
            "--set buckets: .* asks for nothing of that name; did you mean 'bucket'",
        ),
        ("cache: [", {}, "not valid YAML"),
        ("- cache", {}, "must be a mapping"),
    ],
)
def test_what_a_profile_cannot_say_is_told(text, given, told):
    if told is None:
        assert knobs_in(text, given, yaml.safe_load(PARAMS), "p") == {("finetune", "train", "epochs"): {"a": 1}}
        return
    with pytest.raises(BadParams, match=told):
        knobs_in(text, given, yaml.safe_load(PARAMS), "p")


@pytest.mark.parametrize("option", ["bucket", "bucket=", "bucket=a b", "bucket=key:secret@host", "bucket=${x}", "=x", "a-b=c"])
def test_what_cannot_be_given_is_told(option):
    with pytest.raises(BadParams, match="write --set NAME=VALUE"):
        given_by([option])


def test_what_is_given_stands_in_strings_and_lists():
    params = {"release": {"registry": "x", "gateways": []}}
    text = "release: {registry: 's3://${b}/r', gateways: ['http://${b}.example']}"
    assert knobs_in(text, {"b": "shop"}, params, "p") == {
        ("release", "registry"): "s3://shop/r",
        ("release", "gateways"): ["http://shop.example"],
    }


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A repository with params.yaml, dvc.yaml and profiles, committed."""
    folder = tmp_path / "shop"
    folder.mkdir()
    for name in ("params.yaml", "dvc.yaml", "profiles"):
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy2
        copy(PROJECT / name, folder / name)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "a shop")
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    return Clone(folder)


def planned(text: str | None = None, name: str = "production", **given: str):
    return plan(name, given, committed_text(Git()) if text is None else text)


def write_profile(shop: Clone, text: str, name: str = "production") -> None:
    shop.write(f"profiles/{name}.yaml", text)


def test_the_result_is_committed_on_a_branch_and_the_checkout_stays(shop):
    shop.write("dvc.yaml", (shop.folder / "dvc.yaml").read_text() + "# half a thought\n")
    before = shop.head(), shop.status()
    write_profile(shop, "cache: {url: 's3://${bucket}/cache', max_gib: 500.0}\nworkspace: {wait_s: 5.0}\n")
    made = planned(bucket="my-shop")
    assert [(".".join(c.knob), c.now, c.then) for c in made.changes] == [
        ("cache.url", ".vitrine/cache", "s3://my-shop/cache"),
        ("cache.max_gib", 20.0, 500.0),
        ("workspace.wait_s", 600.0, 5.0),
    ]
    new = commit(Git(), made)
    assert shop.git("rev-parse", "profile/production") == new
    assert (shop.head(), (shop.folder / "params.yaml").read_text()) == (before[0], PARAMS)
    assert shop.git("diff", "--name-only", "main", "profile/production") == "params.yaml"
    assert shop.git("show", "profile/production:params.yaml") + "\n" == made.text
    assert shop.git("log", "-1", "--format=%an|%s", new) == "Ada|Use the production profile"


def test_values_of_the_wrong_kind_are_refused_before_anything_is_written(shop):
    for text, told in (
        (
            "workspace: {wait_s: soon}",
            r"profiles/production\.yaml: params\.yaml: workspace\.wait_s = 'soon': Input should be a valid number",
        ),
        ("workspace: {wait_s: -1.0}", "greater than or equal to 0"),
        ("serve: {index: {backend: oracle}}", r"serve\.index\.backend = 'oracle'"),
        ("cache: {url: {a: b}}", r"cache\.url"),
    ):
        write_profile(shop, text)
        with pytest.raises(BadParams, match=told):
            planned()
    assert shop.git("branch", "--list", "profile/*") == ""


def test_uncommitted_changes_of_params_are_never_gone_over(shop):
    shop.write("params.yaml", PARAMS.replace("wait_s: 600.0", "wait_s: 1.0"))
    with pytest.raises(BadWorkspace, match="commit or undo them first"):
        planned()
    shop.git("add", "params.yaml")
    with pytest.raises(BadWorkspace, match="commit or undo them first"):
        planned()


def test_a_second_time_nothing_is_new_and_a_branch_that_went_on_is_left_to_a_person(shop):
    write_profile(shop, "workspace: {wait_s: 5.0}\n")
    first = commit(Git(), planned())
    assert commit(Git(), planned()) == first
    shop.commit("README.md", "on main\n")
    with pytest.raises(Conflict, match="branch profile/production has commits that HEAD has not"):
        commit(Git(), planned())
    assert shop.git("rev-parse", "profile/production") == first
    shop.git("merge", "-q", "--no-edit", "profile/production")
    assert planned().changes == []
    write_profile(shop, "workspace: {wait_s: 7.0}\n")
    assert shop.git("rev-parse", f"{commit(Git(), planned())}^") == shop.head()


def test_on_its_own_branch_the_file_follows_and_nothing_else_is_touched(shop):
    shop.git("switch", "-q", "-c", "profile/production")
    write_profile(shop, "workspace: {wait_s: 5.0}\n")
    shop.write("dvc.yaml", (shop.folder / "dvc.yaml").read_text() + "# mine\n")
    before = shop.status()
    made = planned()
    assert commit(Git(), made) == shop.head()
    assert (shop.folder / "params.yaml").read_text() == made.text
    assert shop.status() == before


def test_without_a_name_to_commit_in_git_says_so(shop, monkeypatch):
    for name in SETTINGS:
        if "AUTHOR" in name or "COMMITTER" in name:
            monkeypatch.setenv(name, "")
    write_profile(shop, "workspace: {wait_s: 5.0}\n")
    with pytest.raises(GitFailed, match="git commit-tree failed"):
        commit(Git(), planned())
    assert shop.git("branch", "--list", "profile/*") == ""


def test_outside_of_git_it_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(GitFailed, match="not a git repository"):
        committed_text(Git())


def test_the_command_shows_a_table_and_commits_what_every_section_takes(shop, monkeypatch):
    """Once with the real profile: with the check of every section that it changes."""
    monkeypatch.setenv("COLUMNS", "160")
    shop.git("config", "user.name", "Ada")
    shop.git("config", "user.email", "ada@shop.example")
    done = run(shop.folder, "vitrine", "profile", "production", "--dry-run", check=False)
    assert (done.returncode, done.stderr.strip()) == (1, "BadParams: profiles/production.yaml needs bucket: add --set bucket=...")
    shown = run(shop.folder, "vitrine", "profile", "production", "--set", "bucket=my-shop").stdout
    for line in (
        r"finetune\.start +scratch +google/siglip-base-patch16-256-multilingual",
        r"serve\.inference\.backend +onnxruntime +triton",
        r"on branch profile/production; this checkout is as it was: `git switch profile/production`",
        r"`vitrine snapshot --commit` there",
    ):
        assert re.search(line, shown), shown
    params = yaml.safe_load(shop.git("show", "profile/production:params.yaml"))
    assert (params["cache"]["url"], params["ingest"]["source"]) == ("s3://my-shop/cache", "parquet")
    assert shop.status() == ""


def test_a_dry_run_shows_and_commits_nothing(shop):
    write_profile(shop, "workspace: {wait_s: 5.0}\n")
    shown = run(shop.folder, "vitrine", "profile", "production", "--dry-run").stdout
    assert re.search(r"workspace\.wait_s +600\.0 +5\.0", shown)
    assert "committed" not in shown
    assert shop.git("branch", "--list", "profile/*") == ""
    assert "says all that the demo profile does" in run(shop.folder, "vitrine", "profile", "demo").stdout
