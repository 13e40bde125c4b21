"""Colours by name, as sellers write them and as they are drawn."""

from dataclasses import dataclass

import numpy as np

RGB = tuple[int, int, int]
WHITE: RGB = (250, 250, 248)
INK: RGB = (38, 36, 40)
STEEL: RGB = (188, 192, 198)
WOOD: RGB = (168, 120, 74)


@dataclass(frozen=True)
class Colour:
    """A colour with its words: the English name first in `english`, the usual Japanese words in `japanese`."""

    rgb: RGB
    english: tuple[str, ...]
    japanese: tuple[str, ...]

    @property
    def name(self) -> str:
        """The English name."""
        return self.english[0]


COLOURS = (
    Colour((44, 43, 48), ("black",), ("黒", "ブラック")),
    Colour((240, 239, 234), ("white",), ("白", "ホワイト")),
    Colour((140, 143, 148), ("grey", "gray"), ("グレー", "灰色")),
    Colour((200, 40, 44), ("red",), ("赤", "レッド")),
    Colour((238, 148, 178), ("pink",), ("ピンク",)),
    Colour((238, 130, 40), ("orange",), ("オレンジ",)),
    Colour((244, 204, 60), ("yellow",), ("黄色", "イエロー")),
    Colour((62, 150, 82), ("green",), ("緑", "グリーン")),
    Colour((104, 176, 224), ("blue", "light blue"), ("水色", "ブルー")),
    Colour((38, 56, 120), ("navy",), ("紺", "ネイビー")),
    Colour((126, 78, 164), ("purple",), ("紫", "パープル")),
    Colour((122, 78, 48), ("brown",), ("茶色", "ブラウン")),
    Colour((216, 192, 154), ("beige",), ("ベージュ",)),
)
COLOUR_OF_WORD = {word: colour.name for colour in COLOURS for word in (*colour.english, *colour.japanese)}


def scaled(colour: RGB, factor: float) -> RGB:
    """The colour with its light multiplied, cut off at white."""
    red, green, blue = (min(255, max(0, round(channel * factor))) for channel in colour)
    return red, green, blue


def mixed(first: RGB, second: RGB, share: float) -> RGB:
    """`share` of the second colour in the first."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def jittered(colour: RGB, rng: np.random.Generator, spread: float) -> RGB:
    """A shade near the colour: two products called red are not the same red."""
    light = rng.normal(0, spread)
    red, green, blue = (int(min(255, max(0, channel + light + rng.normal(0, spread / 3)))) for channel in colour)
    return red, green, blue


def luma(colour: RGB) -> float:
    """Brightness in [0, 1] (ITU-R BT.601)."""
    return (0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]) / 255
