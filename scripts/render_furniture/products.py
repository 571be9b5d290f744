"""Which models become products, how each is set up, and which come in several colours.

Left out of the 175 models: people, animals, vehicles, buildings, food, toys with a known
look, what copies or carries a brand (a phone, a stand mixer, two ovens), models that render
broken (a wardrobe, a handbag, a potty), and the two Winchester seats, whose own licence page
says CC-BY although the collection is CC0.
"""

# ruff: noqa: SIM905
from __future__ import annotations

# Where a product stands in a shopper's photo: on the floor, on a table top, against the wall
# above the floor, or hanging from the ceiling.
FLOOR = """
armchair plasticChair oakChair chair chairWithCushion chair2 osakaChair sillaBlanca designChair
antiqueChair thonet foldingChair deckChair modernArmchair armchair2 relaxChair
silla2 stool stool2 pianoBench bench
L_shaped_sofa sofa couch couch2 sofa2
bed1 bed2 bedWithTexture bed3 babyRockingBed
oakTable tableWithTablecloth table technicalTable1 technicalTable2 desk lbDesk
bedsideTable2 bookcase shelves verticalShelves cupboard
televisionCabinet drawersCabinet lowerCabinet glassDoorCabinet sinkCabinet lockedLocker
modernVanity
decorativePlant plant
refrigerator largeFridge speaker3
toiletsUnit bidet washbasin dustbin
crate box barrel stoneLantern lantern
""".split()
TABLE = """
desklamp wallLight JapaneseLantern
littlePlant augalas cactus orchids
tableFan riggedFan speaker2 coffeeBrewer
toiletBrush briefcase bootie slippers
plasticCup mamadeira yogurtBottle
""".split()
WALL = "upperCabinet smallUpperCabinet upperShelves cuckooClock radiator radiator3".split()
HANG = "lamp2 outdoorLamp".split()

# Colours of (seller photo 1, seller photo 2, user photo 1, user photo 2); None is the model's
# own colour. A marketplace lists colours of one product as one product, so all share an id.
# The colour goes on the material with the most surface and those that match it, unless
# PAINTED names the materials.
COLOURS: dict[str, tuple[str | None, str | None, str | None, str | None]] = {
    "armchair": (None, "#d9541e", "#2a5db0", None),
    "plasticChair": (None, "#e8e4da", "#c0202a", "#2f6b3a"),
    "chair2": (None, "#23408c", "#23408c", "#3b3b40"),
    "sofa2": (None, "#2f5d50", "#a33b2c", "#2f5d50"),
    "armchair2": (None, "#6b3e26", "#3d5a80", None),
    "couch2": (None, "#9c8a70", "#1f6f78", "#9c8a70"),
    "designChair": (None, "#c7352b", "#e0a526", None),
    "stool": (None, "#b5262c", "#e9e4d8", "#b5262c"),
    "bed3": (None, "#c98a9b", "#d8c27a", "#7c86a8"),
    "box": (None, "#c9252b", "#3d9a4b", "#c9252b"),
    "coffeeBrewer": (None, "#2f3e46", "#d8d2c4", "#2f3e46"),
    "foldingChair": (None, "#a8322d", "#a8322d", "#1f4e79"),
    "bootie": (None, "#7a4a2b", "#7a4a2b", "#8f1d2c"),
    "plasticCup": (None, "#c8202c", "#2d8a46", "#c8202c"),
    "dustbin": (None, "#2c6e49", "#b8322a", "#2a4d7a"),
}
PAINTED: dict[str, tuple[str, ...]] = {
    "plasticCup": ("Exterior",),
    "designChair": ("Cushion",),
    "stool": ("Plast",),
    "coffeeBrewer": ("Plastic_B",),
    "foldingChair": ("Fabric",),
}

# Models that may stand around a product (products may, too).
CLUTTER = """
osakaChair chair2 plasticChair stool2 bedsideTable2 sofa2 armchair2 couch2 shelves cupboard desk
bookcase umbrellaFolded dustbin foldingChair table wardrobeWithSlidingDoors verticalShelves
tableWithTablecloth littlePlant augalas plant decorativePlant crate box basketball thonet
chairWithCushion
caffe_final plasticCup mamadeira cosmeticsPot textMarker cissors_swap kalender flacon beerGlass
bread cactus briefcase slippers potty desklamp ruler butter woodToy teddyBear
""".split()


def placement(model: str) -> str:
    """Where this model stands: ``floor``, ``table``, ``wall`` or ``hang``."""
    for name, models in (("table", TABLE), ("wall", WALL), ("hang", HANG)):
        if model in models:
            return name
    return "floor"


PRODUCTS = FLOOR + TABLE + WALL + HANG
