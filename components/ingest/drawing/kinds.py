"""The product kinds of the simulated market: how each is drawn, where it is filed and what sellers call it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from components.ingest.drawing import fashion, hobby, home
from components.ingest.drawing.canvas import Canvas
from components.ingest.drawing.palette import COLOURS, jittered
from components.ingest.drawing.patterns import PATTERNS, Look

PRINTS = ("HELLO", "TOKYO", "WAVE", "MOON", "1987", "SUNNY", "NORTH", "COFFEE", "ROCKET", "LUCKY", "OCEAN", "JAZZ")
NUM_KNOBS = 6
PRINT_SHARE = 0.4
PLAIN_SHARE = 0.45

Word = tuple[str, str]


@dataclass(frozen=True)
class Kind:
    """A product kind. Words are (English, Japanese); `price` is the median in yen; `printed` kinds may carry lettering."""

    name: str
    draw: Callable[[Canvas, Look], None]
    category: tuple[str, ...]
    word: Word
    price: float
    materials: tuple[Word, ...]
    printed: bool = False


COTTON, LINEN, LEATHER, CANVAS = ("cotton", "コットン"), ("linen", "リネン"), ("leather", "レザー"), ("canvas", "キャンバス")
WOOL, STEEL, GLASS, OAK = ("wool", "ウール"), ("steel", "スチール"), ("glass", "ガラス"), ("oak", "オーク材")
CERAMIC, PLASTIC, NYLON, SILVER = ("ceramic", "陶器"), ("plastic", "プラスチック"), ("nylon", "ナイロン"), ("silver", "シルバー925")
HARDCOVER, PAPERBACK, RUBBER = ("hardcover", "ハードカバー"), ("paperback", "文庫"), ("rubber", "ゴム")
SPRUCE, MAPLE = ("spruce", "スプルース"), ("maple", "メイプル")

FASHION, HOME, ELECTRONICS, HOBBY = "Fashion", "Home & Kitchen", "Electronics", "Hobbies & Toys"

_ALL = (
    Kind("t-shirt", fashion.t_shirt, (FASHION, "Tops", "T-shirts"), ("t-shirt", "Tシャツ"), 1800, (COTTON, LINEN), True),
    Kind("dress", fashion.dress, (FASHION, "Dresses", "Casual dresses"), ("dress", "ワンピース"), 4200, (COTTON, LINEN, WOOL)),
    Kind("trousers", fashion.trousers, (FASHION, "Bottoms", "Trousers"), ("trousers", "パンツ"), 3200, (COTTON, LINEN, WOOL)),
    Kind("skirt", fashion.skirt, (FASHION, "Bottoms", "Skirts"), ("skirt", "スカート"), 2600, (COTTON, LINEN, WOOL)),
    Kind("sneaker", fashion.sneaker, (FASHION, "Shoes", "Sneakers"), ("sneakers", "スニーカー"), 5200, (LEATHER, CANVAS)),
    Kind("cap", fashion.cap, (FASHION, "Accessories", "Caps"), ("cap", "キャップ"), 1900, (COTTON, WOOL), True),
    Kind("handbag", fashion.handbag, (FASHION, "Bags", "Handbags"), ("handbag", "ハンドバッグ"), 7800, (LEATHER, CANVAS)),
    Kind("backpack", fashion.backpack, (FASHION, "Bags", "Backpacks"), ("backpack", "リュック"), 4800, (NYLON, CANVAS)),
    Kind("ring", fashion.ring, (FASHION, "Accessories", "Rings"), ("ring", "指輪"), 6400, (SILVER, STEEL)),
    Kind("sunglasses", fashion.sunglasses, (FASHION, "Accessories", "Sunglasses"), ("sunglasses", "サングラス"), 3600, (PLASTIC, STEEL)),
    Kind("mug", home.mug, (HOME, "Tableware", "Mugs"), ("mug", "マグカップ"), 1200, (CERAMIC, GLASS), True),
    Kind("bottle", home.bottle, (HOME, "Kitchen", "Water bottles"), ("water bottle", "水筒"), 2200, (STEEL, PLASTIC), True),
    Kind("lamp", home.lamp, (HOME, "Lighting", "Table lamps"), ("table lamp", "テーブルランプ"), 4500, (LINEN, GLASS)),
    Kind("chair", home.chair, (HOME, "Furniture", "Chairs"), ("chair", "椅子"), 8200, (OAK, PLASTIC)),
    Kind("clock", home.clock, (HOME, "Decor", "Wall clocks"), ("wall clock", "掛け時計"), 2900, (OAK, PLASTIC)),
    Kind("plant-pot", home.plant_pot, (HOME, "Garden", "Plant pots"), ("plant pot", "植木鉢"), 1600, (CERAMIC, PLASTIC)),
    Kind("headphones", hobby.headphones, (ELECTRONICS, "Audio", "Headphones"), ("headphones", "ヘッドホン"), 9200, (PLASTIC, STEEL)),
    Kind("phone", hobby.phone, (ELECTRONICS, "Phones", "Smartphones"), ("smartphone", "スマートフォン"), 28000, (GLASS, STEEL)),
    Kind("camera", hobby.camera, (ELECTRONICS, "Cameras", "Compact cameras"), ("camera", "カメラ"), 16500, (STEEL, PLASTIC)),
    Kind("book", hobby.book, (HOBBY, "Books", "Novels"), ("book", "小説"), 700, (HARDCOVER, PAPERBACK), True),
    Kind("guitar", hobby.guitar, (HOBBY, "Music", "Guitars"), ("guitar", "ギター"), 18500, (SPRUCE, OAK)),
    Kind("drum", hobby.drum, (HOBBY, "Music", "Drums"), ("drum", "ドラム"), 9800, (STEEL, MAPLE)),
    Kind("toy-car", hobby.toy_car, (HOBBY, "Toys", "Toy cars"), ("toy car", "ミニカー"), 900, (STEEL, PLASTIC)),
    Kind("ball", hobby.ball, (HOBBY, "Sports", "Balls"), ("ball", "ボール"), 1500, (LEATHER, RUBBER)),
)
KINDS = {kind.name: kind for kind in _ALL}


def new_look(kind: Kind, rng: np.random.Generator) -> Look:
    """A product of the kind that was not there before."""
    first, second = rng.choice(len(COLOURS), size=2, replace=False)
    return Look(
        colour=COLOURS[first],
        second=COLOURS[second],
        rgb=jittered(COLOURS[first].rgb, rng, 9.0),
        second_rgb=jittered(COLOURS[second].rgb, rng, 9.0),
        pattern="plain" if rng.random() < PLAIN_SHARE else PATTERNS[1 + int(rng.integers(len(PATTERNS) - 1))],
        pattern_scale=float(rng.uniform(2.2, 5.0)),
        pattern_angle=float(rng.choice([0.0, np.pi / 2, np.pi / 4, -np.pi / 4])),
        text=PRINTS[int(rng.integers(len(PRINTS)))] if kind.printed and rng.random() < PRINT_SHARE else "",
        knobs=tuple(rng.random(NUM_KNOBS).tolist()),
    )
