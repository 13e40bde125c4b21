"""Names by which rows point at photos. Pure."""

import re

from components.errors import BadPicture

MAX_KEY_BYTES = 1024  # S3 has no longer ones
DRIVE_OR_SCHEME = re.compile(r"[A-Za-z]:[\\/]|[A-Za-z][A-Za-z0-9+.-]*://")
NO_KEY = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


def check_key(key: str) -> None:
    """Raises BadPicture for a key that could not be one below the source: it is told what it is, and nothing is looked up."""
    if key.startswith(("/", "\\\\")) or DRIVE_OR_SCHEME.match(key):
        raise BadPicture("picture_outside_folder", f"{key[:200]!r} is an absolute path or an address; keys are relative to the source")
    if ".." in key.replace("\\", "/").split("/"):
        raise BadPicture("picture_outside_folder", f"{key[:200]!r} climbs out of its folder")
    if "\\" in key:
        raise BadPicture("picture_key_invalid", f"{key[:200]!r} is a Windows path: write / between its parts")
    if NO_KEY.search(key):
        raise BadPicture("picture_key_invalid", f"{key[:200]!r} holds a character that no key has")
    if len(key.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
        raise BadPicture("picture_key_invalid", f"{len(key)} characters, limit {MAX_KEY_BYTES} bytes")
