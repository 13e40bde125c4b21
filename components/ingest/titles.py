"""Titles and descriptions as sellers write them, in English and Japanese; no brands."""

from dataclasses import dataclass

import numpy as np

from components.ingest.drawing.kinds import Kind, Word
from components.ingest.drawing.patterns import Look

ENGLISH, JAPANESE = "en", "ja"
CONDITIONS: tuple[tuple[Word, float], ...] = (
    (("new", "新品"), 1.25),
    (("unused", "未使用"), 1.15),
    (("like new", "美品"), 1.0),
    (("used", "中古"), 0.8),
    (("worn", "使用感あり"), 0.65),
)
_PATTERN_WORDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "plain": (("plain",), ("無地",)),
    "stripes": (("striped",), ("ストライプ", "ボーダー")),
    "dots": (("polka-dot", "dotted"), ("ドット", "水玉")),
    "checks": (("checked", "plaid"), ("チェック", "チェック柄")),
    "gradient": (("gradient",), ("グラデーション",)),
}
_ADJECTIVES: tuple[Word, ...] = (
    ("cute", "かわいい"),
    ("vintage", "ヴィンテージ"),
    ("simple", "シンプル"),
    ("small", "小さめ"),
    ("large", "大きめ"),
    ("handmade", "ハンドメイド"),
    ("rare", "レア"),
    ("light", "軽量"),
)
_PRINTED: Word = ("with print", "ロゴ入り")
_NOTES: tuple[Word, ...] = (
    ("Please ask before you buy.", "購入前にコメントください。"),
    ("Ships within two days.", "2日以内に発送します。"),
    ("From a home without pets or smoke.", "ペットなし、禁煙の家です。"),
    ("Bought last year, hardly used.", "昨年購入し、ほとんど使っていません。"),
    ("Small marks, see the photo.", "小さな傷があります。写真をご確認ください。"),
)


@dataclass(frozen=True)
class Wording:
    """What the seller wrote. `price_factor` is what the stated condition does to the price."""

    title: str
    description: str
    price_factor: float


def wording(kind: Kind, look: Look, language: str, rng: np.random.Generator) -> Wording:
    """A title and description of the product; sellers leave words out, and order and choose them as they like."""
    condition, factor = CONDITIONS[int(rng.integers(len(CONDITIONS)))]
    side = 1 if language == JAPANESE else 0
    colours = look.colour.japanese if side else look.colour.english
    patterns = _PATTERN_WORDS[look.pattern][side]
    words = {
        "colour": _any(colours, rng) if rng.random() < 0.92 else "",
        "pattern": _any(patterns, rng) if rng.random() < (0.25 if look.pattern == "plain" else 0.85) else "",
        "material": _any(tuple(word[side] for word in kind.materials), rng) if rng.random() < 0.5 else "",
        "adjective": _any(tuple(word[side] for word in _ADJECTIVES), rng) if rng.random() < 0.4 else "",
        "printed": _PRINTED[side] if look.text and rng.random() < 0.7 else "",
        "condition": condition[side] if rng.random() < 0.6 else "",
        "kind": kind.word[side],
    }
    title = (_japanese if side else _english)(words, rng)
    notes = [_NOTES[int(n)][side] for n in sorted(rng.choice(len(_NOTES), size=2, replace=False))]
    return Wording(title, ("" if side else " ").join([_state(condition[side], side), *notes]), factor)


def _any(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _state(condition: str, side: int) -> str:
    return f"状態は{condition}です。" if side else f"Condition: {condition}."


def _joined(words: dict[str, str], *order: str) -> str:
    return " ".join(words[name] for name in order if words[name])


def _english(words: dict[str, str], rng: np.random.Generator) -> str:
    if rng.random() < 0.65:
        title = _joined(words, "adjective", "colour", "pattern", "material", "kind", "printed")
    else:
        parts = (_joined(words, "adjective", "kind"), words["colour"], words["pattern"], words["material"])
        title = ", ".join(part for part in parts if part)
    if words["condition"]:
        title += f" - {words['condition']}" if rng.random() < 0.5 else f" ({words['condition']})"
    return title[0].upper() + title[1:]


def _japanese(words: dict[str, str], rng: np.random.Generator) -> str:
    if rng.random() < 0.65:
        title = _joined(words, "adjective", "colour", "pattern", "kind", "printed", "material")
    else:
        title = _joined(words, "kind", "colour", "pattern", "material", "adjective", "printed")
    if not words["condition"]:
        return title
    return f"【{words['condition']}】{title}" if rng.random() < 0.5 else f"{title} {words['condition']}"
