"""Releases in a registry: published, listed, fetched and forgotten, in a folder and on S3."""

import dataclasses
import datetime as dt
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping

import pydantic
import pytest

from components.errors import BadBundle, BadParams, BadState, DiskFull, StoreFailed
from components.manifest import MANIFEST
from components.objects import FolderStore
from components.release import channel, provenance, published, sbom
from components.release.contents import KINDS, files_of
from components.release.registry import Registry
from tests import moto_s3
from tests.conftest import PROJECT
from tests.release import small_release
from tests.release.small_release import AT, bundle, laid, publish
from tests.small_disk import small_disk

NEVER = "f" * 64


@pytest.fixture(params=["folder", "s3"])
def registry(request, tmp_path, monkeypatch):
    if request.param == "folder":
        return Registry.open(str(tmp_path / "registry"))
    for name, value in request.getfixturevalue("moto").environment.items():
        monkeypatch.setenv(name, value)
    return Registry.open(f"s3://{moto_s3.BUCKET}/{tmp_path.name}")


@pytest.fixture
def in_folder(tmp_path):
    return Registry(FolderStore(tmp_path / "registry"))


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def keys(registry, prefix=""):
    return [one.key for one in registry.store.stored(prefix)]


def test_a_release_comes_back_as_it_was_published(registry, tmp_path):
    made = bundle(tmp_path / "made")
    before = files(made)
    release_id = publish(registry, made)
    folder = registry.fetch(release_id, tmp_path / "releases")
    assert folder == tmp_path / "releases" / release_id
    assert files(folder) == before == files(made)
    assert os.listdir(tmp_path / "releases") == [release_id]


def test_releases_are_listed_the_newest_first_with_what_is_known_of_them(registry, tmp_path):
    assert registry.releases() == []
    ids = [publish(registry, bundle(tmp_path / word, word)) for word in "abc"]
    found = registry.releases()
    assert [one.release_id for one in found] == ids[::-1]
    assert found[0].num_bytes == sum(map(len, files(tmp_path / "c").values()))
    assert json.loads(registry.document(found[0].provenance))["git_commit"] == "c" * 40
    assert json.loads(registry.document(found[0].sbom)) == {"of": ids[2]}


def test_what_is_there_is_not_published_again(registry, tmp_path):
    made = bundle(tmp_path / "made")
    release_id = publish(registry, made)
    before = {one.key: registry.store.get(one.key) for one in registry.store.stored()}
    later = small_release.provenance(git_commit="e" * 40)
    assert registry.publish(made, later, bill=small_release.no_bill) == release_id
    assert {one.key: registry.store.get(one.key) for one in registry.store.stored()} == before


@pytest.mark.parametrize("how", ["other bytes", "missing", "missing document", "other document"])
def test_an_altered_copy_is_told_when_it_is_published_again(registry, tmp_path, how):
    made = bundle(tmp_path / "made")
    release_id = publish(registry, made)
    key = registry.releases()[0].provenance.key if "document" in how else published.file_key(release_id, "image.onnx")
    registry.store.delete(key)
    if how.startswith("other"):
        registry.store.put(key, b"\x08other")
    says = "is missing" if how.startswith("missing") else "was altered"
    with pytest.raises(BadBundle, match=rf"{key}.* {says}|{key} {says}"):
        publish(registry, made)


def test_a_release_that_was_withdrawn_is_published_again_and_mended(registry, tmp_path):
    made = bundle(tmp_path / "made")
    release_id = publish(registry, made)
    registry.store.put(published.file_key(release_id, "image.onnx"), b"\x08other")
    registry.store.delete(published.record_key(release_id))
    assert publish(registry, made) == release_id
    assert files(registry.fetch(release_id, tmp_path / "releases")) == files(made)


def test_a_bundle_that_failed_its_own_evaluation_is_refused_with_its_reasons(registry, tmp_path):
    reasons = ["passed: ndcg", "failed: OPA 0.51, lower bound below 0.5", "not decided: no stable release"]
    for number, promote in enumerate([False, None, "yes", 1]):
        made = bundle(tmp_path / f"{number}", promote=promote, reasons=reasons)
        with pytest.raises(BadBundle, match=rf"promote: {promote}\): failed: OPA 0\.51, lower bound below 0\.5$"):
            publish(registry, made)
    assert keys(registry) == []


@pytest.mark.parametrize("name", ["image.onnx", "model_card.md"])
def test_an_altered_bundle_is_refused(registry, tmp_path, name):
    made = bundle(tmp_path / "made")
    (made / name).write_bytes(b"\x08other")
    with pytest.raises(BadBundle, match=f"{name} was altered"):
        publish(registry, made)
    assert keys(registry) == []


def test_a_bundle_that_changes_while_it_is_sent_is_not_published(in_folder, tmp_path):
    made = bundle(tmp_path / "made")

    class Meddling(FolderStore):
        def upload(self, key, path, sha256):
            (made / "text.onnx").write_bytes(b"\x08other")
            super().upload(key, path, sha256)

    registry = Registry(Meddling(tmp_path / "registry"))
    with pytest.raises(BadBundle, match=r"text\.onnx was changed while it was sent"):
        publish(registry, made)
    assert registry.releases() == []
    (made / "text.onnx").write_bytes(small_release.FILES["text.onnx"])
    assert files(in_folder.fetch(publish(in_folder, made), tmp_path / "releases")) == files(made)


@pytest.mark.parametrize("text", [None, b"", b"[]", b"{}", b'{"format": 1}', b'{"format": 7, "files": {}}', b"\xff"])
def test_a_folder_that_is_no_bundle_is_refused(in_folder, tmp_path, text):
    (tmp_path / "made").mkdir()
    if text is not None:
        (tmp_path / "made" / MANIFEST).write_bytes(text)
    with pytest.raises(BadBundle, match=r"is no bundle|is no manifest of a bundle|has format 7"):
        publish(in_folder, tmp_path / "made")


# --- what a release may hold

BAD_NAMES = [
    "../../escaped.json",
    "/etc/escaped.json",
    "a/../escaped.json",
    "a//b.json",
    "./a.json",
    ".hidden.json",
    "a\\..\\b.json",
    "a\n.json",
]
BAD_NAMES += ["", "x/" * 9 + "deep.json", "l" * 101 + ".json", "caf\u00e9.json", "-rf.json"]
BAD_KINDS = ["model.pkl", "model.pt", "model.pth", "pytorch_model.bin", "data.npy", "run.py", "lib.so", "a.joblib", "noend", "a.ONNX"]
PICKLES = {"protocol 2": b"\x80\x02c", "protocol 5": b"\x80\x05\x95", "torch.save": b"PK\x03\x04", "gzip": b"\x1f\x8b\x08"}


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_leads_elsewhere_is_refused(in_folder, tmp_path, name):
    release_id = laid(in_folder.store, {name: b"{}"} if name and "\n" not in name else {}, **({} if name else {"files": {"": held(b"")}}))
    if "\n" in name:
        release_id = laid(in_folder.store, {}, files={name: held(b"{}")})
    with pytest.raises(BadBundle, match=r"stays in its folder|names other files"):
        in_folder.fetch(release_id, tmp_path / "releases")
    assert os.listdir(tmp_path / "releases") == []
    assert not list(tmp_path.rglob("escaped*"))


def held(data):
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


@pytest.mark.parametrize("name", BAD_KINDS)
def test_only_kinds_that_carry_data_are_published_or_fetched(in_folder, tmp_path, name):
    with pytest.raises(BadBundle, match=rf"names {name}: a release holds \.onnx, .* nothing that would have to be unpickled"):
        publish(in_folder, bundle(tmp_path / "made", files={name: b"data"}))
    with pytest.raises(BadBundle, match=f"names {name}"):
        in_folder.fetch(laid(in_folder.store, {name: b"data"}), tmp_path / "releases")


@pytest.mark.parametrize("start", PICKLES.values(), ids=PICKLES.keys())
@pytest.mark.parametrize("name", ["image.onnx", "notes.txt", "model_card.md", "index/index.faiss", "golden.parquet", "serving.json"])
def test_a_pickle_under_another_name_is_refused(in_folder, tmp_path, start, name):
    with pytest.raises(BadBundle, match="begins as a pickle or an archive does"):
        publish(in_folder, bundle(tmp_path / "made", files={"image.onnx": b"", name: start + b"..."}, word=""))
    with pytest.raises(BadBundle, match="begins as a pickle or an archive does"):
        in_folder.fetch(laid(in_folder.store, {name: start + b"..."}), tmp_path / "releases")
    assert os.listdir(tmp_path / "releases") == []


@pytest.mark.parametrize("name", ["a.json", "a.parquet", "a.faiss", "a.safetensors"])
def test_a_file_is_of_the_kind_that_its_name_says(in_folder, tmp_path, name):
    with pytest.raises(BadBundle, match=f"{name} is no {name[2:]} file: it begins with b'something'"):
        in_folder.fetch(laid(in_folder.store, {name: b"something else"}), tmp_path / "releases")


def test_safetensors_are_told_by_their_header_whatever_its_length_looks_like(in_folder, tmp_path):
    looks_pickled = (0x0280).to_bytes(8, "little")
    assert looks_pickled.startswith(b"\x80\x02")
    release_id = publish(in_folder, bundle(tmp_path / "made", files={"head.safetensors": looks_pickled + b'{"a":1}'.ljust(0x280)}))
    assert (in_folder.fetch(release_id, tmp_path / "releases") / "head.safetensors").is_file()
    with pytest.raises(BadBundle):
        in_folder.fetch(laid(in_folder.store, {"a.safetensors": b"\x80\x02}q\x00."}), tmp_path / "releases")


def test_what_the_line_makes_may_be_released(finished, in_folder, tmp_path):
    """But for the gates of evaluation, which a market this small need not pass."""
    made = tmp_path / "made"
    shutil.copytree(finished / "bundle", made)
    manifest = json.loads((made / MANIFEST).read_text())
    (made / MANIFEST).write_text(json.dumps({**manifest, "promote": True}))
    release_id = in_folder.publish(made, provenance.gathered(made, finished, AT))
    assert files(in_folder.fetch(release_id, tmp_path / "releases")) == files(made)
    about = json.loads(in_folder.document(in_folder.releases()[0].provenance))
    assert (about["data"], about["params"]) == (manifest["data"], manifest["params"])
    assert len(about["git_commit"]) == 40


# --- nothing that comes from a registry is believed


@pytest.mark.parametrize("name", sorted(small_release.FILES))
@pytest.mark.parametrize("how", ["other bytes", "longer", "shorter", "missing"])
def test_an_altered_release_is_not_fetched(in_folder, tmp_path, name, how):
    release_id = publish(in_folder, bundle(tmp_path / "made"))
    key = published.file_key(release_id, name)
    data = in_folder.store.get(key)
    altered = {"other bytes": data[:-1] + b"!", "longer": data + b"!", "shorter": data[:-1]}
    in_folder.store.delete(key) if how == "missing" else in_folder.store.put(key, altered[how])
    says = {"longer": "are read at most", "missing": "is missing in the registry"}.get(how, "was altered: sha256")
    with pytest.raises(BadBundle, match=f"{name} .*{says}"):
        in_folder.fetch(release_id, tmp_path / "releases")
    assert os.listdir(tmp_path / "releases") == []


def test_a_manifest_that_is_not_the_releases_own_is_not_believed(registry, tmp_path):
    release_id, other = (publish(registry, bundle(tmp_path / word, word)) for word in "ab")
    registry.store.put(published.file_key(release_id, MANIFEST), registry.store.get(published.file_key(other, MANIFEST)))
    with pytest.raises(BadBundle, match=r"manifest\.json was altered: sha256"):
        registry.fetch(release_id, tmp_path / "releases")


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda record: record["files"].pop("image.onnx"), BadBundle, "name other files"),
        (lambda record: record["files"].pop(MANIFEST), BadBundle, r"names no manifest\.json of this release"),
        (lambda record: record["files"][MANIFEST].update(sha256="0" * 64), BadBundle, r"names no manifest\.json of this release"),
        (lambda record: record["files"][MANIFEST].update(bytes=2**40), BadBundle, r"names no manifest\.json of this release"),
        (lambda record: record["files"]["image.onnx"].update(bytes=2**40), BadBundle, "name other files"),
        (lambda record: record.update(release_id="0" * 64), BadState, "is no document of this release"),
        (lambda record: record["provenance"].update(key="channel.json"), BadState, "is no document of this release"),
        (lambda record: record.update(colour="red"), BadState, "colour: Extra inputs"),
        (lambda record: record.update(format=2), BadState, "has format 2, this version reads 1"),
    ],
)
def test_a_releases_own_record_is_not_believed_either(in_folder, tmp_path, change, error, says):
    release_id = publish(in_folder, bundle(tmp_path / "made"))
    record = json.loads(in_folder.store.get(published.record_key(release_id)))
    change(record)
    in_folder.store.put(published.record_key(release_id), json.dumps(record).encode())
    with pytest.raises(error, match=says):
        in_folder.fetch(release_id, tmp_path / "releases")
    assert not (tmp_path / "releases" / release_id).exists()


def test_a_record_of_another_release_is_told(in_folder, tmp_path):
    first, second = (publish(in_folder, bundle(tmp_path / word, word)) for word in "ab")
    in_folder.store.put(published.record_key(first), in_folder.store.get(published.record_key(second)))
    with pytest.raises(BadState, match=f"is the record of another release, {second[:12]}"):
        in_folder.fetch(first, tmp_path / "releases")


@pytest.mark.parametrize("files_", [{"a.json": {"sha256": "0" * 64, "bytes": 2**60}}, {f"{n}.json": held(b"{}") for n in range(10_001)}])
def test_a_release_past_all_bounds_is_refused_before_a_file_is_read(in_folder, tmp_path, files_):
    with pytest.raises(BadBundle, match=r"names [\d,]+ files of [\d,]+ bytes; at most"):
        in_folder.fetch(laid(in_folder.store, {}, files=files_), tmp_path / "releases")


@pytest.mark.parametrize(
    "files_", [[], {"a.json": {}}, {"a.json": {"sha256": "0" * 64, "bytes": -1}}, {"a.json": {"sha256": "x", "bytes": 1}}, None]
)
def test_a_manifest_that_is_none_is_refused(in_folder, tmp_path, files_):
    with pytest.raises(BadBundle, match="is no manifest of a bundle"):
        in_folder.fetch(laid(in_folder.store, {}, files=files_), tmp_path / "releases")


@pytest.mark.parametrize("text", ["", "../channel", "abc", NEVER.upper(), NEVER + "/x", NEVER[:-1] + "\n", "/etc/passwd"])
def test_what_is_no_digest_names_no_release(registry, tmp_path, text):
    with pytest.raises(BadBundle, match="is no release: its id is the sha256 of its manifest"):
        registry.fetch(text, tmp_path / "releases")


def test_an_unknown_release_is_told(registry, tmp_path):
    with pytest.raises(BadBundle, match=f"release {NEVER[:12]} is not in the registry"):
        registry.fetch(NEVER, tmp_path / "releases")


def test_a_registry_is_a_folder_or_a_bucket():
    with pytest.raises(BadParams, match="gs://x"):
        Registry.open("gs://x/y")


# --- fetching


class Unreachable(FolderStore):
    """Answers nothing."""

    def read(self, key, max_bytes=None):
        raise StoreFailed("unreachable")


def test_what_was_fetched_needs_the_registry_no_more(in_folder, tmp_path):
    release_id = publish(in_folder, bundle(tmp_path / "made"))
    folder = in_folder.fetch(release_id, tmp_path / "releases")
    gone = Registry(Unreachable(tmp_path / "registry"))
    assert gone.fetch(release_id, tmp_path / "releases") == folder
    (folder / "image.onnx").write_bytes(b"\x08other")
    with pytest.raises(StoreFailed):
        gone.fetch(release_id, tmp_path / "releases")


def test_a_fetched_copy_that_was_altered_is_fetched_again(registry, tmp_path):
    made = bundle(tmp_path / "made")
    release_id = publish(registry, made)
    for name in ("image.onnx", MANIFEST):
        folder = registry.fetch(release_id, tmp_path / "releases")
        (folder / name).write_bytes(b"{}")
        assert files(registry.fetch(release_id, tmp_path / "releases")) == files(made)


def test_what_a_killed_fetch_left_goes_after_a_day(in_folder, tmp_path):
    release_id = publish(in_folder, bundle(tmp_path / "made"))
    for name, at_s in (("old", 0), ("new", None)):
        (tmp_path / "releases" / f".partial-{name}" / "release").mkdir(parents=True)
        if at_s is not None:
            os.utime(tmp_path / "releases" / f".partial-{name}", (at_s, at_s))
    in_folder.fetch(release_id, tmp_path / "releases")
    assert sorted(os.listdir(tmp_path / "releases")) == [".partial-new", release_id]


# --- forgetting


def days(number):
    return dt.datetime.now(dt.UTC) + dt.timedelta(days=number)


def named(registry, stable, previous=(), candidate=None):
    """A channel record that names those."""
    record = channel.first(channel.EMPTY, stable)
    if candidate:
        record = channel.proposed(record, candidate, AT, 0.1, "new")
    registry.change(lambda _: dataclasses.replace(record, previous=tuple(previous)))


def test_only_what_is_old_and_named_nowhere_is_pruned(registry, tmp_path):
    stable, before, candidate, unnamed = (publish(registry, bundle(tmp_path / word, word)) for word in "abcd")
    named(registry, stable, [before], candidate)
    registry.store.put(f"decisions/{unnamed}/000001.json", b"{}")
    assert registry.prune(30, days(29)) == []
    assert registry.prune(30, days(31)) == [unnamed]
    assert {one.release_id for one in registry.releases()} == {stable, before, candidate}
    assert [key for key in keys(registry) if unnamed in key] == [f"decisions/{unnamed}/000001.json"]
    for release_id in (stable, before, candidate):
        registry.fetch(release_id, tmp_path / "releases")


def test_what_was_left_half_published_is_pruned_when_it_is_old(registry, tmp_path):
    release_id = publish(registry, bundle(tmp_path / "a"))
    registry.store.delete(published.record_key(release_id))
    registry.store.put("releases/readme.txt", b"not a release")
    assert registry.prune(1, days(0.9)) == []
    assert registry.prune(1, days(1.1)) == [release_id]
    assert keys(registry) == ["releases/readme.txt"]


def test_a_release_that_the_record_names_stays_though_it_lost_its_own_record(registry, tmp_path):
    release_id = publish(registry, bundle(tmp_path / "a"))
    named(registry, release_id)
    registry.store.delete(published.record_key(release_id))
    assert registry.prune(1, days(9)) == []
    assert published.file_key(release_id, "image.onnx") in keys(registry)


def test_publishing_again_makes_a_release_young(in_folder, tmp_path):
    release_id = publish(in_folder, bundle(tmp_path / "a"))
    for path in (tmp_path / "registry").rglob("*"):
        os.utime(path, (0, 0))
    publish(in_folder, tmp_path / "a")
    assert in_folder.prune(1, days(0.5)) == []
    assert in_folder.prune(1, days(1.5)) == [release_id]


class NamedMeanwhile(FolderStore):
    """A store in which another process proposes a release at the very moment that its record is deleted."""

    def delete(self, key):
        super().delete(key)
        if key.count("/") == 1 and self.act:
            self.act.pop()()

    act: list = []  # noqa: RUF012


@pytest.mark.parametrize("what", ["proposed", "unreadable"])
def test_a_release_that_is_named_while_it_is_pruned_stays(tmp_path, what):
    registry = Registry(NamedMeanwhile(tmp_path / "registry"))
    stable, release_id = (publish(registry, bundle(tmp_path / word, word)) for word in "ab")
    named(registry, stable)
    if what == "proposed":
        registry.store.act.append(lambda: registry.change(lambda record: channel.proposed(record, release_id, AT, 0.1, "new")))
        assert registry.prune(1, days(2)) == []
    else:
        registry.store.act.append(lambda: (tmp_path / "registry" / "channel.json").write_text("{}"))
        with pytest.raises(BadState):
            registry.prune(1, days(2))
    assert {one.release_id for one in registry.releases()} == {stable, release_id}
    registry.fetch(release_id, tmp_path / "releases")


def test_nothing_is_pruned_where_it_cannot_be_seen_what_is_named(registry, tmp_path):
    publish(registry, bundle(tmp_path / "a"))
    registry.store.put("channel.json", b"{")
    before = keys(registry)
    with pytest.raises(BadState):
        registry.prune(1, days(90))
    assert keys(registry) == before


def test_files_that_a_killed_publisher_left_half_written_are_pruned(in_folder, tmp_path):
    stable = publish(in_folder, bundle(tmp_path / "a"))
    named(in_folder, stable)
    half = tmp_path / "registry" / "releases" / stable / ".partial-half"
    half.write_bytes(b"half")
    in_folder.prune(1, days(0.5))
    assert half.exists()
    in_folder.prune(1, days(1.5))
    assert not half.exists()
    assert [one.release_id for one in in_folder.releases()] == [stable]


def test_a_release_for_which_there_is_no_room_is_not_begun(tmp_path):
    with small_disk(tmp_path / "disk", size_mib=4) as disk:
        registry = Registry(FolderStore(tmp_path / "registry"))
        release_id = publish(registry, bundle(tmp_path / "made", files={"large.parquet": b"PAR1" + bytes(3 << 20)}))
        disk.fill(leave_bytes=2 << 20)
        with pytest.raises(DiskFull, match=r"3\.1 MB, \d\.\d MB are free"):
            registry.fetch(release_id, disk.folder / "releases")
        assert os.listdir(disk.folder / "releases") == []
        disk.free()
        registry.fetch(release_id, disk.folder / "releases")


@pytest.mark.parametrize("keep_days", [0, 0.99, -1, float("nan")])
def test_a_release_is_kept_for_a_day_at_least(registry, keep_days):
    with pytest.raises(BadParams, match="kept for 1 day at least"):
        registry.prune(keep_days)


# --- where it comes from


def git(folder, *command):
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *identity, *command], cwd=folder, check=True, capture_output=True)


def test_provenance_names_the_commit_and_whether_it_holds_everything(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    made, workspace = bundle(tmp_path / "made"), tmp_path / "workspace"
    workspace.mkdir()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert gathered(made, workspace, "git_commit", "git_dirty") == (None, None)
    git(workspace, "init", "-q")
    assert gathered(made, workspace, "git_commit", "git_dirty") == (None, None)
    (workspace / "params.yaml").write_text("a: 1")
    git(workspace, "add", "-A")
    git(workspace, "commit", "-q", "-m", "one")
    commit, dirty = gathered(made, workspace, "git_commit", "git_dirty")
    assert (len(commit), dirty) == (40, False)
    (workspace / "params.yaml").write_text("a: 2")
    assert gathered(made, workspace, "git_commit", "git_dirty") == (commit, True)


def gathered(made, workspace, *names):
    found = provenance.gathered(made, workspace, AT)
    return tuple(getattr(found, name) for name in names)


def test_provenance_names_data_params_and_software(tmp_path):
    found = provenance.gathered(bundle(tmp_path / "made"), tmp_path, AT, {})
    again = provenance.gathered(bundle(tmp_path / "other", data={"listings": "2" * 64}), tmp_path, AT, {})
    assert found.data == {"listings": "1" * 64}
    assert found.data_digest != again.data_digest
    assert found.params == {"export": {"dim": 16}}
    assert found.python == sys.version.split()[0]
    assert found.packages["pydantic"] == pydantic.VERSION
    assert "@" in found.builder
    written = json.loads(found.encode())
    assert written["gathered_at"] == "2026-01-31T12:00:00+00:00"
    assert set(written) == {field.name for field in dataclasses.fields(provenance.Provenance)}


@pytest.mark.parametrize(
    ("environment", "builder"),
    [
        ({"GITHUB_SERVER_URL": "https://g", "GITHUB_REPOSITORY": "o/r", "GITHUB_RUN_ID": "7"}, "https://g/o/r/actions/runs/7"),
        ({"CI_JOB_URL": "https://ci/jobs/7"}, "https://ci/jobs/7"),
    ],
)
def test_a_ci_run_is_the_builder(environment, builder):
    assert provenance.builder(environment) == builder


def test_the_bill_of_materials_is_sound_cyclonedx_and_lists_files_and_software(tmp_path):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    files: Mapping = files_of((bundle(tmp_path / "made") / MANIFEST).read_bytes(), "made")
    data = sbom.bill(NEVER, files, AT)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode()) is None
    parts = {part["bom-ref"]: part for part in json.loads(data)["components"]}
    assert {ref.removeprefix("file:") for ref in parts if ref.startswith("file:")} == set(small_release.FILES)
    assert parts["file:image.onnx"]["type"] == "machine-learning-model"
    assert parts["file:image.onnx"]["hashes"] == [{"alg": "SHA-256", "content": files["image.onnx"].sha256}]
    assert parts["pydantic"]["purl"] == f"pkg:pypi/pydantic@{pydantic.VERSION}"
    needs = {one["ref"]: one.get("dependsOn", []) for one in json.loads(data)["dependencies"]}
    assert "pydantic-core" in needs["pydantic"]
    assert sbom.bill(NEVER, files, AT) == data


def test_the_registry_loads_nothing_heavy():
    code = "import sys; import components.release.registry; print(*[m for m in sys.argv[1:] if m in sys.modules])"
    heavy = ["torch", "prefect", "dvc", "great_expectations", "evidently", "boto3", "cyclonedx", "faiss", "flows"]
    done = subprocess.run([sys.executable, "-c", code, *heavy], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_every_kind_is_told_in_the_docs():
    text = (PROJECT / "docs" / "release.md").read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f"`{kind}`" not in text] == []
