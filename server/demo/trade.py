"""The trade of the demo company: what a plumbing and heating wholesaler of the Low Countries sells, and to whom.

Every brand is invented. A range is a family of articles that differ in one measure; its first price is that of the
first label in cents of the euro, and each further label costs `growth_basis_points` of the one before it.
"""

from typing import Final, NamedTuple


class Axis(NamedTuple):
    """What the variants of a range differ in, from the cheapest to the dearest."""

    labels: tuple[str, ...]
    growth_basis_points: int


class Range(NamedTuple):
    """A family of articles: its category, its name, the brands that make it, and its variants."""

    category: str
    name: str
    brands: tuple[str, ...]
    axis: Axis
    first_cents: int
    unit: str = "PCE"
    pack: int = 1


class System(NamedTuple):
    """A piping system: each of its fittings is a range in each of its brands."""

    category: str
    name: str
    brands: tuple[str, ...]
    axis: Axis
    factor_basis_points: int
    kinds: str


def _measures(unit: str, numbers: str, growth: int) -> Axis:
    return Axis(tuple(f"{number} {unit}" for number in numbers.split()), growth)


def _words(text: str, growth: int) -> Axis:
    return Axis(tuple(word.strip() for word in text.split(",")), growth)


UNITS: Final = (
    ("PCE", "piece"),
    ("MTR", "metre"),
    ("BOX", "box"),
    ("RLL", "roll"),
    ("PAL", "pallet"),
    ("SET", "set"),
    ("KGM", "kilogram"),
)

CATEGORIES: Final = (
    ("PIP", "Pipe and fittings", None),
    ("PIP-CU", "Copper press", "PIP"),
    ("PIP-CS", "Copper solder", "PIP"),
    ("PIP-SS", "Stainless press", "PIP"),
    ("PIP-ST", "Carbon steel press", "PIP"),
    ("PIP-ML", "Multilayer", "PIP"),
    ("PIP-BR", "Brass compression", "PIP"),
    ("PIP-MI", "Malleable iron", "PIP"),
    ("DRN", "Drainage", None),
    ("DRN-PV", "PVC drainage", "DRN"),
    ("DRN-PE", "PE drainage", "DRN"),
    ("DRN-PP", "PP push-fit drainage", "DRN"),
    ("HEA", "Heating", None),
    ("HEA-RAD", "Panel radiators", "HEA"),
    ("HEA-DES", "Design and towel radiators", "HEA"),
    ("HEA-UFH", "Underfloor heating", "HEA"),
    ("HEA-GEN", "Boilers and heat pumps", "HEA"),
    ("HEA-PMP", "Circulators", "HEA"),
    ("HEA-TNK", "Cylinders and vessels", "HEA"),
    ("HEA-CTL", "Controls", "HEA"),
    ("VAL", "Valves", None),
    ("VAL-SHU", "Shut-off valves", "VAL"),
    ("VAL-RAD", "Radiator valves", "VAL"),
    ("VAL-SAF", "Safety and backflow", "VAL"),
    ("SAN", "Sanitary", None),
    ("SAN-TAP", "Taps and mixers", "SAN"),
    ("SAN-CER", "Ceramics", "SAN"),
    ("SAN-SHW", "Showers", "SAN"),
    ("SAN-FUR", "Bathroom furniture", "SAN"),
    ("VEN", "Ventilation", None),
    ("VEN-DUC", "Ducts and fittings", "VEN"),
    ("VEN-UNI", "Fans and units", "VEN"),
    ("INS", "Insulation", None),
    ("FIX", "Fixings and consumables", None),
    ("FIX-CLI", "Clips and hangers", "FIX"),
    ("FIX-SCR", "Screws and anchors", "FIX"),
    ("FIX-CON", "Sealants and consumables", "FIX"),
    ("TOO", "Tools", None),
)

_COPPER: Final = _measures("mm", "12 15 18 22 28 35 42 54", 14_200)
_SOLDER: Final = _measures("mm", "8 10 12 15 18 22 28 35 42 54", 13_400)
_STEEL: Final = _measures("mm", "15 18 22 28 35 42 54 76 89 108", 13_600)
_MULTILAYER: Final = _measures("mm", "14 16 18 20 26 32 40 50", 13_800)
_THREAD: Final = _words('1/4", 3/8", 1/2", 3/4", 1", 1 1/4", 1 1/2", 2"', 13_500)
_DRAIN: Final = _measures("mm", "32 40 50 75 90 110 125 160", 13_000)
_DUCT: Final = _measures("mm", "80 100 125 160 200 250 315 400", 12_600)

SYSTEMS: Final = (
    System("PIP-CU", "copper press", ("Kuprofit", "Norpress"), _COPPER, 10_000, "pressure"),
    System("PIP-CS", "copper solder", ("Soldera", "Kuprofit"), _SOLDER, 3_200, "pressure"),
    System("PIP-SS", "stainless press", ("Inoxal", "Norpress"), _STEEL, 21_000, "pressure"),
    System("PIP-ST", "carbon steel press", ("Norpress", "Ferropress"), _STEEL, 9_500, "pressure"),
    System("PIP-ML", "multilayer press", ("Triplex", "Alutherm"), _MULTILAYER, 12_500, "pressure"),
    System("PIP-BR", "brass compression", ("Messina", "Bronsveld"), _COPPER, 8_000, "pressure"),
    System("PIP-MI", "malleable iron, galvanised", ("Ferropress", "Gietwerk"), _THREAD, 5_400, "pressure"),
    System("DRN-PV", "PVC", ("Polderplast", "Dykaline"), _DRAIN, 4_800, "drainage"),
    System("DRN-PE", "PE", ("Duropipe", "Polderplast"), _DRAIN, 9_000, "drainage"),
    System("DRN-PP", "PP push-fit", ("Silenta", "Duropipe"), _DRAIN, 7_200, "drainage"),
    System("VEN-DUC", "galvanised spiral duct", ("Luvent", "Aerolux"), _DUCT, 14_000, "duct"),
)

FITTINGS: Final = {
    "pressure": (
        ("Elbow 90°", 245, 10),
        ("Elbow 90° male/female", 268, 10),
        ("Elbow 45°", 262, 10),
        ("Bend 90° long radius", 338, 10),
        ("Tee equal", 415, 10),
        ("Tee reduced branch", 462, 10),
        ("Tee with female thread", 588, 5),
        ("Straight coupling", 178, 10),
        ("Slip coupling", 344, 10),
        ("Reducer", 236, 10),
        ("Male adapter", 318, 10),
        ("Female adapter", 362, 10),
        ("Union, flat seal", 845, 5),
        ("Wall plate elbow", 624, 5),
        ("End cap", 205, 10),
        ("Crossover bend", 690, 5),
        ("Tap connector", 395, 10),
    ),
    "drainage": (
        ("Bend 45°", 185, 20),
        ("Bend 87.5°", 198, 20),
        ("Bend 30°", 192, 20),
        ("Branch 45°", 342, 10),
        ("Branch 87.5°", 358, 10),
        ("Double branch 67.5°", 725, 5),
        ("Reducer, eccentric", 224, 20),
        ("Coupling", 165, 20),
        ("Repair coupling", 248, 10),
        ("Access piece with cap", 615, 5),
        ("End plug", 132, 20),
        ("Expansion socket", 436, 10),
    ),
    "duct": (
        ("Bend 90°", 590, 4),
        ("Bend 45°", 485, 4),
        ("T-piece", 875, 4),
        ("Coupling", 245, 10),
        ("Reducer", 525, 4),
        ("End cap", 285, 10),
        ("Damper, hand-operated", 1_640, 2),
        ("Silencer 600 mm", 5_950, 1),
        ("Backdraught shutter", 1_280, 4),
    ),
}

_RADIATOR_LENGTHS: Final = _measures("mm long", "400 500 600 700 800 900 1000 1200 1400 1600 1800 2000 2400 3000", 11_300)
_PORTS: Final = _measures("ports", "2 3 4 5 6 7 8 9 10 11 12", 11_500)
_LITRES_CYLINDER: Final = _measures("l", "80 120 150 200 300 400 500 800 1000", 12_100)
_LITRES_VESSEL: Final = _measures("l", "8 12 18 25 35 50 80 110 140 200 300", 12_700)
_KILOWATTS: Final = _measures("kW", "4 5 6 8 10 12 14 16", 11_100)
_BOILER: Final = _measures("kW", "18 24 28 35 45 65", 11_400)
_HEAD: Final = _measures("m head", "4 6 8 10 12", 12_200)
_FINISH: Final = _words("chrome, brushed nickel, matt black, brushed brass, gunmetal", 11_400)
_COLOUR: Final = _words("white, manhattan, light grey, anthracite, black", 10_500)
_WIDTHS: Final = _measures("cm", "45 55 60 80 100 120 140", 11_900)
_TRAYS: Final = _words(
    "80 x 80 cm, 90 x 90 cm, 100 x 80 cm, 100 x 100 cm, 120 x 80 cm, 120 x 90 cm, 140 x 90 cm, 160 x 90 cm", 11_100
)
_PIPE_OUTER: Final = _measures("mm", "12 15 18 22 28 35 42 48 54 60 76 89 108 114", 11_500)
_SCREWS: Final = _measures("mm", "16 20 25 30 35 40 50 60 70 80 100 120", 11_000)
_ANCHOR: Final = _measures("mm", "5 6 8 10 12 14", 13_000)
_SEALANT: Final = _words("transparent, white, pergamon, silver grey, manhattan, anthracite, black, beige", 10_000)
_BITS: Final = _measures("mm", "5 6 7 8 10 12 14 16 18 20 22 25", 11_600)
_SAWS: Final = _measures("mm", "19 22 25 29 32 35 38 44 51 57 68 76 83 102 127", 10_900)
_JAWS: Final = _measures("mm", "12 14 15 16 18 20 22 26 28 32 35 42 54", 10_300)
_FLOW: Final = _measures("m³/h", "150 225 300 350 450 600", 11_700)
_ROLL: Final = _measures("m", "100 120 200 240 500", 15_500)
_GRILLE: Final = _measures("mm", "80 100 125 150 160 200", 11_500)


def _pipes() -> list[Range]:
    return [
        Range("PIP-CU", "Copper pipe EN 1057 R250, length 5 m", ("Kuprofit", "Koperwal"), _SOLDER, 1_180, pack=10),
        Range("PIP-CU", "Copper pipe EN 1057 R220, soft roll 25 m", ("Kuprofit", "Koperwal"), _SOLDER, 6_950, "RLL"),
        Range("PIP-CU", "Copper pipe chrome-plated, length 3 m", ("Koperwal",), _SOLDER, 1_490, pack=5),
        Range("PIP-SS", "Stainless pipe 1.4401, length 6 m", ("Inoxal", "Norpress"), _STEEL, 3_950, pack=5),
        Range("PIP-ST", "Carbon steel pipe galvanised, length 6 m", ("Norpress", "Ferropress"), _STEEL, 1_640, pack=5),
        Range("PIP-ML", "Multilayer pipe, length 5 m", ("Triplex", "Alutherm"), _MULTILAYER, 695, pack=10),
        Range("PIP-ML", "Multilayer pipe, insulated 9 mm, per metre", ("Triplex", "Alutherm"), _MULTILAYER, 248, "MTR", 50),
        Range("PIP-MI", "Steel pipe threaded, length 6 m", ("Gietwerk",), _THREAD, 1_925, pack=5),
        Range("DRN-PV", "PVC drain pipe, length 4 m", ("Polderplast", "Dykaline"), _DRAIN, 640, pack=10),
        Range("DRN-PE", "PE drain pipe, length 5 m", ("Duropipe", "Polderplast"), _DRAIN, 1_060, pack=5),
        Range("DRN-PP", "PP sound-damping pipe, length 3 m", ("Silenta", "Duropipe"), _DRAIN, 1_275, pack=5),
        Range("VEN-DUC", "Spiral duct, length 3 m", ("Luvent", "Aerolux"), _DUCT, 1_395, pack=4),
        Range("VEN-DUC", "Flexible duct aluminium, box 10 m", ("Luvent", "Aerolux"), _DUCT, 1_120, "BOX"),
    ]


def _heating() -> list[Range]:
    ranges = [
        Range(
            "HEA-RAD",
            f"Panel radiator type {kind}, {height} mm high",
            ("Thermika", "Radion"),
            _RADIATOR_LENGTHS,
            cents * height // 500,
        )
        for kind, cents in (("11", 5_450), ("21", 7_900), ("22", 9_350), ("33", 13_900))
        for height in (300, 400, 500, 600, 900)
    ]
    ranges += [
        Range("HEA-DES", f"{name}, {width} mm wide", ("Thermika", "Lineo"), _COLOUR, cents * width // 500)
        for name, cents in (
            ("Towel radiator 1200 mm", 14_900),
            ("Towel radiator 1800 mm", 21_500),
            ("Vertical radiator 1800 mm", 38_900),
        )
        for width in (400, 500, 600)
    ]
    ranges += [
        Range("HEA-UFH", "Underfloor manifold with flow meters", ("Vloerwarm", "Alutherm"), _PORTS, 11_900),
        Range("HEA-UFH", "Underfloor manifold with pump set", ("Vloerwarm", "Alutherm"), _PORTS, 34_900),
        Range("HEA-UFH", "Manifold cabinet, recessed", ("Vloerwarm",), _PORTS, 6_950),
        Range("HEA-UFH", "PE-RT underfloor pipe 16 x 2, roll", ("Vloerwarm", "Triplex"), _ROLL, 5_900, "RLL"),
        Range("HEA-UFH", "PE-RT underfloor pipe 20 x 2, roll", ("Vloerwarm", "Triplex"), _ROLL, 8_400, "RLL"),
        Range("HEA-GEN", "Condensing combi boiler", ("Calorex", "Vuurvast"), _BOILER, 118_500),
        Range("HEA-GEN", "Condensing system boiler", ("Calorex", "Vuurvast"), _BOILER, 109_000),
        Range("HEA-GEN", "Air/water heat pump, monobloc R290", ("Calorex", "Aerotherma"), _KILOWATTS, 329_000),
        Range("HEA-GEN", "Air/water heat pump, split R32", ("Calorex", "Aerotherma"), _KILOWATTS, 298_000),
        Range("HEA-GEN", "Hybrid heat pump", ("Vuurvast", "Aerotherma"), _KILOWATTS, 224_000),
        Range("HEA-GEN", "Brine/water heat pump", ("Aerotherma",), _KILOWATTS, 465_000),
        Range("HEA-PMP", "Circulator 25-180, high efficiency", ("Rotaflow", "Pompa"), _HEAD, 13_900),
        Range("HEA-PMP", "Circulator 32-180, high efficiency", ("Rotaflow", "Pompa"), _HEAD, 16_900),
        Range("HEA-PMP", "Hot water circulator, bronze", ("Rotaflow", "Pompa"), _HEAD, 15_400),
        Range("HEA-TNK", "Indirect hot water cylinder, enamelled", ("Boilerwerk", "Calorex"), _LITRES_CYLINDER, 46_500),
        Range("HEA-TNK", "Electric water heater", ("Boilerwerk", "Calorex"), _LITRES_CYLINDER, 27_900),
        Range("HEA-TNK", "Buffer vessel, insulated", ("Boilerwerk", "Aerotherma"), _LITRES_CYLINDER, 32_500),
        Range("HEA-TNK", "Expansion vessel heating, 1 bar", ("Membrano", "Vasoflex"), _LITRES_VESSEL, 2_150),
        Range("HEA-TNK", "Expansion vessel drinking water", ("Membrano", "Vasoflex"), _LITRES_VESSEL, 3_450),
        Range("HEA-CTL", "Room thermostat, modulating", ("Regula", "Calorex"), _COLOUR, 8_900),
        Range("HEA-CTL", "Smart thermostat, wireless", ("Regula", "Calorex"), _COLOUR, 16_900),
        Range("HEA-CTL", "Zone controller, wired 230 V", ("Regula", "Vloerwarm"), _PORTS, 9_400),
        Range("HEA-CTL", "Three-way motor valve", ("Regula", "Messina"), _THREAD, 7_450),
    ]
    return ranges


def _valves() -> list[Range]:
    shut_off = (
        ("Ball valve, lever", 545), ("Ball valve, butterfly handle", 590), ("Ball valve with drain", 865),
        ("Gate valve, brass", 780),
        ("Check valve, spring", 640), ("Strainer, Y-type", 715), ("Stop valve with union", 925), ("Gas ball valve, EN 331", 820),
        ("Balancing valve, static", 4_250),
    )  # fmt: skip
    safety = (
        ("Safety valve 3 bar", 1_150), ("Safety valve 6 bar", 1_320), ("Backflow preventer type EA", 1_980),
        ("Automatic air vent", 690),
        ("Dirt separator, magnetic", 6_950), ("Pressure reducing valve", 4_450), ("Thermostatic mixing valve", 5_800),
    )  # fmt: skip
    radiator = (
        ("Thermostatic valve body, angled", 985), ("Thermostatic valve body, straight", 985), ("Lockshield valve, angled", 645),
        ("Lockshield valve, straight", 645), ("H-block, angled", 1_780), ("Design valve set", 5_450),
    )  # fmt: skip
    ranges = [Range("VAL-SHU", name, ("Messina", "Bronsveld"), _THREAD, cents, pack=10) for name, cents in shut_off]
    ranges += [Range("VAL-SAF", name, ("Vasoflex", "Messina"), _THREAD, cents, pack=5) for name, cents in safety]
    ranges += [Range("VAL-RAD", name, ("Thermika", "Regula"), _FINISH, cents, pack=10) for name, cents in radiator]
    ranges.append(Range("VAL-RAD", "Thermostatic head M30", ("Thermika", "Regula"), _COLOUR, 1_240, pack=10))
    return ranges


def _sanitary() -> list[Range]:
    taps = (
        ("Basin mixer", 6_950), ("Basin mixer, high", 11_900), ("Wall-mounted basin mixer", 15_900), ("Cloakroom tap", 3_450),
        ("Kitchen mixer", 9_450), ("Kitchen mixer, pull-out", 17_900), ("Bath mixer, exposed", 10_900),
        ("Bath mixer, freestanding", 48_500),
        ("Shower mixer, thermostatic", 14_900), ("Shower column with rain head", 29_900), ("Concealed shower set", 37_500),
        ("Rain shower head 250 mm", 8_900), ("Hand shower set", 3_950), ("Bidet mixer", 7_900), ("Bottle trap, design", 4_250),
        ("Angle valve, design", 1_650),
    )  # fmt: skip
    ceramics = (
        ("Wall-hung WC, rimless", 15_900), ("Wall-hung WC, compact", 14_500), ("Floor-standing WC, back to wall", 18_500),
        ("Close-coupled WC", 16_900), ("WC seat, soft-close", 4_900), ("Urinal, concealed inlet", 17_500),
        ("Wall-hung bidet", 16_500),
        ("Flush plate, dual", 5_450),
    )  # fmt: skip
    ranges = [
        Range("SAN-TAP", f"{name} {series}", ("Aquaro",), _FINISH, cents) for name, cents in taps for series in ("Maas", "Schelde")
    ]
    ranges += [Range("SAN-TAP", f"{name} Rijn", ("Wellenberg",), _FINISH, cents * 13 // 10) for name, cents in taps]
    ranges += [Range("SAN-CER", name, ("Porcella", "Delftsan"), _COLOUR, cents) for name, cents in ceramics]
    ranges += [
        Range("SAN-CER", "Washbasin", ("Porcella", "Delftsan"), _WIDTHS, 7_450),
        Range("SAN-CER", "Furniture washbasin", ("Porcella", "Delftsan"), _WIDTHS, 11_900),
        Range("SAN-SHW", "Shower tray, acrylic", ("Delftsan", "Aquaro"), _TRAYS, 11_500),
        Range("SAN-SHW", "Shower tray, mineral cast, slate look", ("Delftsan", "Aquaro"), _TRAYS, 24_900),
        Range("SAN-SHW", "Walk-in glass 8 mm", ("Vitrado", "Aquaro"), _WIDTHS, 19_900),
        Range("SAN-SHW", "Hinged shower door", ("Vitrado", "Aquaro"), _WIDTHS, 26_900),
        Range("SAN-SHW", "Shower channel, stainless", ("Inoxal", "Vitrado"), _WIDTHS, 12_900),
        Range("SAN-FUR", "Vanity unit, two drawers", ("Houtgoed", "Lineo"), _WIDTHS, 29_900),
        Range("SAN-FUR", "Mirror with LED light", ("Lineo", "Vitrado"), _WIDTHS, 13_900),
        Range("SAN-FUR", "Mirror cabinet", ("Houtgoed", "Lineo"), _WIDTHS, 22_900),
    ]
    return ranges


def _everything_else() -> list[Range]:
    insulation = (
        ("Pipe insulation PE", 65),
        ("Pipe insulation synthetic rubber", 145),
        ("Pipe shell mineral wool, aluminium", 310),
    )
    ranges = [
        Range(
            "INS",
            f"{name}, {thickness} mm thick, per metre",
            ("Isolan", "Warmhoud"),
            _PIPE_OUTER,
            cents * (thickness + 10) // 19,
            "MTR",
            40,
        )
        for name, cents in insulation
        for thickness in (9, 13, 20, 30)
    ]
    ranges += [
        Range("VEN-UNI", "Heat recovery unit", ("Aerolux", "Luvent"), _FLOW, 164_000),
        Range("VEN-UNI", "Mechanical extract unit", ("Aerolux", "Luvent"), _FLOW, 23_900),
        Range("VEN-UNI", "Bathroom fan with timer", ("Luvent",), _GRILLE, 4_950),
        Range("VEN-UNI", "Air valve, supply", ("Luvent", "Aerolux"), _GRILLE, 595, pack=10),
        Range("VEN-UNI", "Air valve, extract", ("Luvent", "Aerolux"), _GRILLE, 565, pack=10),
        Range("FIX-CLI", "Pipe clip M8/M10, rubber lined", ("Ophang", "Vastzet"), _PIPE_OUTER, 48, pack=50),
        Range("FIX-CLI", "Pipe clip, plastic, single", ("Ophang", "Vastzet"), _PIPE_OUTER, 14, pack=100),
        Range("FIX-CLI", "Pipe clip, plastic, double", ("Ophang", "Vastzet"), _PIPE_OUTER, 21, pack=100),
        Range("FIX-CLI", "Sprinkler loop hanger", ("Ophang",), _PIPE_OUTER, 62, pack=50),
        Range("FIX-SCR", "Chipboard screw 4.5, box of 200", ("Vastzet", "Schroefgoed"), _SCREWS, 495, "BOX"),
        Range("FIX-SCR", "Chipboard screw 6.0, box of 100", ("Vastzet", "Schroefgoed"), _SCREWS, 560, "BOX"),
        Range("FIX-SCR", "Hanger bolt M8, box of 100", ("Vastzet", "Schroefgoed"), _SCREWS, 890, "BOX"),
        Range("FIX-SCR", "Drywall screw, box of 1000", ("Schroefgoed",), _SCREWS, 745, "BOX"),
        Range("FIX-SCR", "Nylon wall plug, box of 100", ("Vastzet", "Schroefgoed"), _ANCHOR, 420, "BOX"),
        Range("FIX-SCR", "Drop-in anchor, box of 50", ("Vastzet",), _ANCHOR, 980, "BOX"),
        Range("FIX-CON", "Sanitary silicone, 310 ml", ("Kitwerk", "Dichto"), _SEALANT, 495, pack=12),
        Range("FIX-CON", "Acrylic sealant, 310 ml", ("Kitwerk", "Dichto"), _SEALANT, 275, pack=12),
        Range("FIX-CON", "Hybrid polymer sealant, 290 ml", ("Kitwerk", "Dichto"), _SEALANT, 845, pack=12),
        Range("TOO", "Press jaw, M profile", ("Gereed", "Norpress"), _JAWS, 11_900),
        Range("TOO", "Press jaw, TH profile", ("Gereed", "Norpress"), _JAWS, 12_400),
        Range("TOO", "Press jaw, V profile", ("Gereed",), _JAWS, 12_100),
        Range("TOO", "SDS-plus drill bit", ("Gereed", "Boorman"), _BITS, 395, pack=5),
        Range("TOO", "Tile drill bit, diamond", ("Gereed", "Boorman"), _BITS, 1_190),
        Range("TOO", "Hole saw, bi-metal", ("Gereed", "Boorman"), _SAWS, 890),
        Range("TOO", "Hole saw, carbide", ("Boorman",), _SAWS, 1_690),
    ]  # fmt: skip
    return ranges


def ranges() -> list[Range]:
    """Every range of the catalogue, in the order of its article numbers."""
    fittings = [
        Range(
            system.category,
            f"{kind}, {system.name}",
            system.brands,
            system.axis,
            max(20, cents * system.factor_basis_points // 10_000),
            pack=pack,
        )
        for system in SYSTEMS
        for kind, cents, pack in FITTINGS[system.kinds]
    ]
    return [*_pipes(), *fittings, *_heating(), *_valves(), *_sanitary(), *_everything_else()]
