"""In whose name a run's commits are made, and where they go: the section `writer:` of params.yaml."""

import os

from pydantic import Field

from components.contract import Config

NAME = r"^[^<>\n]+$"  # of these git would drop the others without a word


class WriterConfig(Config):
    """Where dvc.lock is committed to and in whose name. `branch` null: the one that is checked out. Times in seconds."""

    remote: str = Field(min_length=1)
    branch: str | None = Field(min_length=1)
    name: str = Field(pattern=NAME)
    email: str = Field(pattern=NAME)
    timeout_s: float = Field(gt=0)
    max_tries: int = Field(ge=1)
    retry_wait_s: float = Field(ge=0)


def identity(cfg: WriterConfig) -> dict[str, str]:
    """What git's environment must say; VITRINE_BOT_NAME and VITRINE_BOT_EMAIL win over params."""
    name, email = os.environ.get("VITRINE_BOT_NAME") or cfg.name, os.environ.get("VITRINE_BOT_EMAIL") or cfg.email
    return {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (("NAME", name), ("EMAIL", email))}
