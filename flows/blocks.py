"""Prefect blocks that tell people."""

import threading
from typing import Any

from prefect.blocks.core import Block

from components.errors import BadParams
from components.release.config import NotifyConfig
from components.release.notices import Notice, Sender


def blocks(cfg: NotifyConfig) -> list[Sender]:
    """The one that `release.notify.block` names; none where it names none."""
    return [_sender(cfg.block, cfg.timeout_s)] if cfg.block else []


def _sender(slug: str, timeout_s: float) -> Sender:
    """What tells a Prefect block that notifies, TYPE/NAME, and waits no longer than that for it."""

    def send(notice: Notice) -> None:
        failed: list[BaseException] = []

        def notify() -> None:
            try:
                block: Any = Block.load(slug)
                if not hasattr(block, "notify"):
                    raise BadParams(f"release.notify.block: {slug} is a Prefect block that does not notify")
                block.notify(notice.reason, notice.subject)
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=notify, daemon=True)
        thread.start()
        thread.join(timeout_s)
        if thread.is_alive():
            raise TimeoutError(f"{slug} took longer than {timeout_s:g} s")
        if failed:
            raise failed[0]

    return send
