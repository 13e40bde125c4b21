"""Where a killed training of the head goes on: the checkpoints of the two trainings, found by what decides their outcome."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from components.checkpoint import Checkpoints
from components.contract import code_digest, when_placed
from components.manifest import folder_digest
from components.objects import ObjectStore
from components.score.train import Lessons


class Resume(NamedTuple):
    """The last states of the training on the shared trunk, and of the one on its own."""

    shared: Checkpoints
    own: Checkpoints


def resume_from(store: ObjectStore, params: str, encoder: Path, photos: Iterable[bytes], lessons: Lessons) -> Resume:
    """Checkpoints of a run with the same code, params, encoder, photos and votes; they go once the stage's outs are in place."""
    digest = hashlib.sha256(f"{code_digest('score')}\n{params}\n{folder_digest(encoder)}\n".encode())
    for data in photos:
        digest.update(hashlib.sha256(data).digest())
    for votes_P2 in (lessons.train_P2, lessons.val_P2):
        digest.update(f"\n{len(votes_P2)}\n".encode() + votes_P2.tobytes())
    found = Resume(*(Checkpoints(store, f"score/{digest.hexdigest()}/{trunk}.checkpoint") for trunk in Resume._fields))
    for checkpoints in found:
        when_placed(checkpoints.forget)
    return found
