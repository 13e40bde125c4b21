"""A contact sheet: many pictures, small, in a grid, each with a caption."""

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

from components.errors import BadPicture
from components.images import decode

PAPER = (250, 250, 248)
EMPTY = (226, 224, 220)
TEXT = (52, 50, 56)
GAP_PX = 6
LINE_PX = 11
MAX_CAPTION_LINES = 2
SMALLEST_CELL_PX = 48


def contact_sheet(pictures: Sequence[tuple[bytes, str]], columns: int, *, cell_px: int = 104, max_bytes: int = 300 * 1024) -> bytes:
    """PNG of the (encoded picture, caption) pairs in reading order, at most `max_bytes` unless the cells are at their smallest.

    Pictures keep their shape inside a square cell; one that cannot be decoded is shown as an empty cell. Captions are Latin:
    other letters turn into "?". Dithering, then the size of cells, gives way until the file is small enough.
    """
    while True:
        sheet = _laid_out(pictures, columns, cell_px)
        for dither in (Image.Dither.FLOYDSTEINBERG, Image.Dither.NONE):
            data = _png(sheet, dither)
            if len(data) <= max_bytes:
                return data
        if cell_px <= SMALLEST_CELL_PX:
            return data
        cell_px = max(SMALLEST_CELL_PX, round(cell_px * 0.85))


def _laid_out(pictures: Sequence[tuple[bytes, str]], columns: int, cell_px: int) -> Image.Image:
    columns = max(1, min(columns, len(pictures)))
    rows = max(1, -(-len(pictures) // columns))
    across, down = cell_px + GAP_PX, cell_px + GAP_PX + MAX_CAPTION_LINES * LINE_PX
    sheet = Image.new("RGB", (columns * across + GAP_PX, rows * down + GAP_PX), PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (data, caption) in enumerate(pictures):
        left, top = GAP_PX + number % columns * across, GAP_PX + number // columns * down
        cell = _cell(data, cell_px)
        sheet.paste(cell, (left + (cell_px - cell.width) // 2, top + (cell_px - cell.height) // 2))
        for line, text in enumerate(_wrapped(caption, cell_px)):
            draw.text((left, top + cell_px + 1 + line * LINE_PX), text, fill=TEXT, font=_font())
    return sheet


def _cell(data: bytes, cell_px: int) -> Image.Image:
    try:
        return ImageOps.contain(decode(data, cell_px), (cell_px, cell_px), Image.Resampling.LANCZOS)
    except BadPicture:
        return Image.new("RGB", (cell_px, cell_px), EMPTY)


def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=LINE_PX - 1)


def _wrapped(caption: str, width_px: int) -> list[str]:
    """The caption in at most MAX_CAPTION_LINES lines; what does not fit is cut."""
    lines = [""]
    for word in caption.encode("latin-1", "replace").decode("latin-1").split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _font().getlength(longer) > width_px:
            lines.append(word)
        else:
            lines[-1] = longer
    return [_cut(line, width_px) for line in lines[:MAX_CAPTION_LINES]]


def _cut(line: str, width_px: int) -> str:
    while line and _font().getlength(line) > width_px:
        line = line[:-1]
    return line


def _png(sheet: Image.Image, dither: Image.Dither) -> bytes:
    palette = sheet.quantize(256, method=Image.Quantize.FASTOCTREE)
    sink = io.BytesIO()
    sheet.quantize(palette=palette, dither=dither).save(sink, "PNG", optimize=True)
    return sink.getvalue()
