"""A controller without Prefect, for tests that kill it: `python -m tests.release.controller_child FOLDER` follows what is under test."""

import os
import sys
import time

from components.errors import Conflict, StoreFailed
from flows import standing
from flows.channel import Office


def main(folder: str) -> None:
    """Looks until the release has ended."""
    os.chdir(folder)
    office = Office.open()
    candidate = office.desk.read().candidate
    if candidate is None:
        return
    controller = office.controller(candidate.release_id)
    while True:
        try:
            look = controller.step()
        except (StoreFailed, Conflict) as error:
            print(error, flush=True)
        else:
            for entry in look.made:
                print(f"{time.monotonic():.3f} {standing.entry_line(entry)}", flush=True)
            if look.ended:
                print(look.ended, flush=True)
                return
        time.sleep(office.cfg.ladder.look_s)


if __name__ == "__main__":
    main(sys.argv[1])
