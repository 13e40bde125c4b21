"""The edge of `vitrine similar`: a query in, a table in the terminal and a picture out, both from the bundle."""

from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from components.bundle import Bundle
from components.contact_sheet import contact_sheet
from components.contract import path_of, read_params
from components.errors import BadParams
from components.serve.similar import Find, listing_of, photo_of, similar_to_item, similar_to_photo, similar_to_text


def show(item_id: str | None, text: str | None, photo: Path | None, sheet: Path | None, num: int, bundle_folder: Path | None) -> None:
    """Prints the finds, and draws them where `sheet` is given. Raises BadParams unless there is just one query."""
    params = read_params()
    bundle = Bundle.open(bundle_folder or path_of("bundle", params))
    finds = _search(bundle, item_id, text, photo)(num)
    listings, images = path_of("listings", params), path_of("images", params)
    rows = {find.item_id: listing_of(listings, find.item_id) for find in finds}
    table = Table("item", "title", "category", "cosine", title=f"Most similar to {item_id or text or photo}")
    for find in finds:
        row = rows[find.item_id]
        table.add_row(find.item_id, str(row["title"]), " > ".join(row["category"]), f"{find.cosine:.3f}")  # type: ignore[arg-type]
    Console().print(table)
    if sheet:
        pictures = [
            (photo_of(images, f.item_id, str(row["image_id"])), f"{f.cosine:.2f} {row['title']}")
            for f, row in zip(finds, rows.values(), strict=True)
        ]
        if item_id:
            query = listing_of(listings, item_id)
            pictures.insert(0, (photo_of(images, item_id, str(query["image_id"])), f"query: {query['title']}"))
        if photo:
            pictures.insert(0, (photo.read_bytes(), "query"))
        sheet.write_bytes(contact_sheet(pictures, columns=6, cell_px=160))
        Console().print(f"wrote {sheet}")


def _search(bundle: Bundle, item_id: str | None, text: str | None, photo: Path | None) -> Callable[[int], list[Find]]:
    given = [name for name, value in (("ITEM_ID", item_id), ("--text", text), ("--photo", photo)) if value is not None]
    if len(given) != 1:
        raise BadParams(f"give one query: ITEM_ID, --text or --photo; found {' and '.join(given) or 'none'}")
    if item_id is not None:
        return lambda k: similar_to_item(bundle, item_id, k)
    if text is not None:
        return lambda k: similar_to_text(bundle, text, k)
    assert photo is not None
    if not photo.is_file():
        raise BadParams(f"--photo {photo}: no such file")
    return lambda k: similar_to_photo(bundle, photo.read_bytes(), k)
