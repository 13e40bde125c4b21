"""What a release may hold: files of kinds that only carry data, under plain names, and no larger than its manifest says."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import Field, TypeAdapter, ValidationError

from components.contract import Config
from components.errors import BadBundle
from components.manifest import FORMAT, MANIFEST
from components.release.record import Digest

MAX_MANIFEST_BYTES = 16 << 20
MAX_RELEASE_BYTES = 64 << 30
MAX_FILES = 10_000
START_BYTES = 64

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}){0,7}")
RELEASE_ID = re.compile(r"[0-9a-f]{64}")
# What begins a pickle, an archive of them (torch.save) or a compressed one. Nobody here would unpickle it, and nobody gets to try.
PICKLED = re.compile(rb"\x80[\x02-\x05]|PK\x03\x04|\x1f\x8b|BZh|\xfd7zXZ")


class Held(Config):
    """A file as the manifest tells of it."""

    sha256: Digest
    bytes: int = Field(ge=0)


FILES = TypeAdapter(dict[str, Held])


def _anything(start: bytes) -> bool:
    return True


def _is_json(start: bytes) -> bool:
    return start.lstrip()[:1] in (b"{", b"[")


def _is_safetensors(start: bytes) -> bool:
    return start[8:9] == b"{"  # behind the length of its header, whose bytes may look like anything


def _is_parquet(start: bytes) -> bool:
    return start.startswith(b"PAR1")


def _is_faiss(start: bytes) -> bool:
    return start.startswith(b"I")  # IxFI, IxF2, IwFl: every index of the library


KINDS: Mapping[str, Callable[[bytes], bool]] = {
    ".onnx": _anything,
    ".safetensors": _is_safetensors,
    ".json": _is_json,
    ".parquet": _is_parquet,
    ".faiss": _is_faiss,
    ".md": _anything,
    ".txt": _anything,
}


def release_id_of(text: str) -> str:
    """The text, which is a release's digest. Raises BadBundle where it is none, before it gets into a path."""
    if not RELEASE_ID.fullmatch(text):
        raise BadBundle(f"{text[:80]!r} is no release: its id is the sha256 of its manifest, 64 hex digits")
    return text


def files_of(manifest: bytes, where: str) -> dict[str, Held]:
    """The files of a release by name, less the manifest itself. Raises BadBundle for a name, a kind or a size that no release may have."""
    try:
        whole = json.loads(manifest)
        if whole["format"] != FORMAT:
            raise BadBundle(f"{where} has format {whole['format']!r}, this version reads {FORMAT}")
        files = FILES.validate_python(whole["files"], strict=True)
    except (ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
        raise BadBundle(f"{where} is no manifest of a bundle: {str(error).splitlines()[0]}") from None
    for name in files:
        check_name(name, where)
    num_bytes = sum(file.bytes for file in files.values())
    if len(files) > MAX_FILES or num_bytes > MAX_RELEASE_BYTES:
        raise BadBundle(
            f"{where} names {len(files):,} files of {num_bytes:,} bytes; at most {MAX_FILES:,} of {MAX_RELEASE_BYTES:,} are taken"
        )
    return files


def check_name(name: str, where: str) -> None:
    """Raises BadBundle for a name that leads elsewhere or is of a kind that no release holds."""
    if name == MANIFEST or not NAME.fullmatch(name):
        raise BadBundle(f"{where} names the file {name[:120]!r}: a name is made of letters, digits, _ . - and /, and stays in its folder")
    if Path(name).suffix not in KINDS:
        raise BadBundle(f"{where} names {name}: a release holds {', '.join(KINDS)} only, nothing that would have to be unpickled")


def check_file(path: Path, name: str) -> None:
    """Raises BadBundle where the file is not of the kind that its name says. Reads its first bytes only."""
    with open(path, "rb") as file:
        start = file.read(START_BYTES)
    kind = Path(name).suffix
    fits = KINDS[kind](start)
    if kind != ".safetensors" and PICKLED.match(start):
        raise BadBundle(
            f"{name} begins as a pickle or an archive does ({start[:4]!r}): a release holds nothing that would have to be unpickled"
        )
    if not fits:
        raise BadBundle(f"{name} is no {kind.removeprefix('.')} file: it begins with {start[:9]!r}")
