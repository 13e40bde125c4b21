"""Which bundle a gateway was last started with: started again with the same, it goes on with what answered; a new one is taken in."""

from dataclasses import dataclass
from pathlib import Path

from components.objects import FolderStore

FILE = "brought"


@dataclass(frozen=True)
class Brought:
    """A file in the gateway's state folder, replaced in one step."""

    state: Path

    def last(self) -> str | None:
        """The digest of the bundle; None where none was ever taken in."""
        path = self.state / FILE
        return path.read_text(encoding="utf-8").strip() if path.exists() else None

    def keep(self, release_id: str) -> None:
        """Writes it down."""
        FolderStore(self.state).put(FILE, f"{release_id}\n".encode())
