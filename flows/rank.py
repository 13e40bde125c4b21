"""A rank of a training other than 0, in a process of its own: `python -m flows.rank`, which `vitrine train-node` starts.

Its code is that of the folder it stands in, as rank 0's is, and not that of an image, which may be older.
"""

import logging
import sys

from components.errors import VitrineError


def main() -> None:
    """Ends with 0 when the training has, with 1 and the error where it has not."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("vitrine").setLevel(logging.INFO)
    from components.finetune.component import take_part

    try:
        take_part()
    except VitrineError as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from None


if __name__ == "__main__":
    main()
