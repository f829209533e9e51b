"""Names of the people, companies and places of the demo company's market. All companies and persons are invented."""

from typing import Final, NamedTuple


class Place(NamedTuple):
    """A town, the first postal code of it and what follows the digits there."""

    city: str
    postal_code: int


class Market(NamedTuple):
    """How people and companies of a country are called, and how their addresses are written; each # of a phone is a digit."""

    country: str
    first_names: tuple[str, ...]
    surnames: tuple[str, ...]
    companies: tuple[str, ...]
    builders: tuple[str, ...]
    streets: tuple[str, ...]
    phone: str
    postal: str
    mail: str


def _list(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(","))


def _places(text: str) -> tuple[Place, ...]:
    return tuple(Place(city.strip(), int(number)) for city, _, number in (word.rpartition(" ") for word in text.split(",")))


MARKETS: Final = {
    "NL": Market(
        "NL",
        _list(
            "Anouk, Bart, Bram, Daan, Eline, Emma, Femke, Fleur, Gijs, Hanna, Iris, Jan, Jasper, Jeroen, Joost, Karin, Koen, Lars, "
            "Lotte, Maarten, Marieke, Mark, Mohammed, Niels, Noor, Pieter, Rik, Roos, Ruben, Sanne, Sven, Thijs, Tim, "
            "Wouter, Yasmin"
        ),
        _list(
            "Bakker, Bos, Brouwer, Dekker, De Boer, De Bruin, De Graaf, De Groot, De Haan, De Jong, De Wit, Dijkstra, "
            "Hendriks, Hoekstra, "
            "Jacobs, Kok, Kramer, Kuipers, Meijer, Mulder, Peters, Postma, Prins, Schouten, Smit, Smits, Van Beek, "
            "Van Dam, Van den Berg, "
            "Van der Heijden, Van der Linden, Van der Meer, Van der Veen, Van Dijk, Van Leeuwen, Veenstra, Verhoeven, "
            "Vermeulen, Visser, Vos"
        ),
        _list(
            "Installatiebedrijf {surname} B.V., {surname} Loodgieters, {surname} Installatietechniek B.V., "
            "Loodgietersbedrijf {surname}, "
            "{surname} & Zn. Verwarming, {surname} Warmte & Water, {city} Verwarming B.V., {surname} Sanitair & CV, "
            "{surname} Klimaattechniek B.V."
        ),
        _list("Bouwbedrijf {surname} B.V., Aannemersbedrijf {surname}, Woningstichting {city}, {surname} Projecten B.V."),
        _list(
            "Ambachtsweg, Dorpsstraat, Energieweg, Handelskade, Havenstraat, Industrieweg, Kerkstraat, Koperslagerij, Molenweg, "
            "Nijverheidsweg, Parallelweg, Smidsweg, Spoorstraat, Stationsweg, Techniekweg, Veilingweg"
        ),
        "+31 6 #### ####",
        "{:04d} {}{}",
        "example.nl",
    ),
    "BE": Market(
        "BE",
        _list(
            "An, Arne, Bert, Dirk, Elke, Els, Griet, Hilde, Ilse, Jef, Joris, Katrien, Kris, Lien, Luc, Nele, Pieter-Jan, "
            "Sofie, Stijn, Wim"
        ),
        _list(
            "Aerts, Baert, Claes, Claeys, Cools, De Backer, De Clercq, De Smet, De Vos, Desmet, Goossens, Hermans, Jacobs, "
            "Janssens, Lambrecht, "
            "Maes, Martens, Mertens, Michiels, Pauwels, Peeters, Segers, Smeets, Stevens, Thys, Van Damme, Vandenberghe, "
            "Verbeke, Willems, Wouters"
        ),
        _list(
            "Sanitair {surname} BV, {surname} Centrale Verwarming, {surname} Technics BV, Loodgieterij {surname}, "
            "{surname} & Co Sanitair, {city} Warmte BV"
        ),
        _list("Algemene Bouw {surname} NV, {surname} Projectontwikkeling NV, Sociale Huisvesting {city}"),
        _list(
            "Ambachtenlaan, Brugsesteenweg, Fabrieksstraat, Industrielaan, Kortrijksesteenweg, Nijverheidsstraat, "
            "Noorderlaan, Stationsstraat"
        ),
        "+32 47# ## ## ##",
        "{:04d}",
        "example.be",
    ),
    "DE": Market(
        "DE",
        _list(
            "Andreas, Anja, Birgit, Christian, Claudia, Dirk, Frank, Heike, Holger, Jens, Julia, Jürgen, Katrin, Lukas, "
            "Markus, Martina, "
            "Nadine, Ralf, Sabine, Stefan, Thomas, Torsten, Uwe"
        ),
        _list(
            "Bauer, Becker, Braun, Fischer, Frings, Hoffmann, Hübner, Jansen, Klein, Koch, Krämer, Krüger, Lange, Lehmann, "
            "Meyer, Müller, "
            "Neumann, Peters, Richter, Schäfer, Schmitz, Schröder, Schulte, Terhorst, Vogel, Wagner, Weber, Werner, Wolf, "
            "Zimmermann"
        ),
        _list(
            "{surname} Haustechnik GmbH, Heizung-Sanitär {surname}, {surname} Gebäudetechnik GmbH, "
            "{surname} Bäder & Wärme, SHK {city} GmbH, Gebr. {surname} OHG"
        ),
        _list("Bauunternehmen {surname} GmbH, Wohnbau {city} eG, {surname} Projektbau GmbH"),
        _list(
            "Am Hafen, Bahnhofstraße, Dieselstraße, Gewerbering, Handwerkerstraße, Industriestraße, Kupferweg, "
            "Röntgenstraße, Siemensring"
        ),
        "+49 17# ### ## ###",
        "{:05d}",
        "example.de",
    ),
    "GB": Market(
        "GB",
        _list(
            "Adam, Amy, Callum, Claire, Daniel, Emma, Gareth, Hannah, Jack, James, Karen, Liam, Lucy, Michael, Olivia, "
            "Paul, Rachel, Simon, Tom"
        ),
        _list(
            "Baker, Barnes, Bennett, Carter, Clarke, Cooper, Ellis, Foster, Gibson, Harris, Hughes, Jackson, Knight, "
            "Marsh, Mitchell, Morris, "
            "Palmer, Parker, Reid, Shaw, Simmons, Taylor, Turner, Walker, Webb, Wood, Wright"
        ),
        _list(
            "{surname} & Sons Plumbing Ltd, {surname} Heating Ltd, {city} Heating Services Ltd, {surname} Bathrooms Ltd, "
            "{surname} Building Services Ltd"
        ),
        _list("{surname} Construction Ltd, {city} Homes Ltd, {surname} Developments Ltd"),
        _list(
            "Canal Street, Castle Road, Dover Road, Foundry Lane, Harbour Way, Industrial Estate Road, London Road, "
            "Mill Lane, Station Approach"
        ),
        "+44 7### ### ###",
        "{} {}{}{}",
        "example.co.uk",
    ),
}  # fmt: skip

PLACES: Final = {
    "RAN": _places(
        "Amsterdam 1010, Haarlem 2010, Leiden 2310, Den Haag 2510, Delft 2610, Rotterdam 3010, Dordrecht 3310, "
        "Utrecht 3510, Amersfoort 3810, "
        "Gouda 2800, Zaandam 1500, Hoofddorp 2130, Zoetermeer 2710, Alphen aan den Rijn 2400, Hilversum 1210, Almere 1310"
    ),
    "NOO": _places(
        "Zwolle 8010, Deventer 7410, Enschede 7510, Groningen 9710, Assen 9400, "
        "Emmen 7810, Leeuwarden 8910, Meppel 7940, Hengelo 7550"
    ),
    "ZUI": _places(
        "Eindhoven 5610, Tilburg 5010, Breda 4810, 's-Hertogenbosch 5210, Venlo 5910, "
        "Roermond 6040, Maastricht 6210, Helmond 5700"
    ),
    "VLA": _places(
        "Antwerpen 2000, Gent 9000, Brugge 8000, Leuven 3000, Mechelen 2800, "
        "Hasselt 3500, Kortrijk 8500, Aalst 9300, Turnhout 2300"
    ),
    "NRW": _places(
        "Duisburg 47051, Krefeld 47798, Düsseldorf 40210, Wesel 46483, Kleve 47533, "
        "Moers 47441, Mönchengladbach 41061, Bocholt 46395"
    ),
    "KEN": _places("Dover 16, Canterbury 1, Maidstone 14, Ashford 23, Folkestone 19, Chatham 4, Margate 9, Tonbridge 9"),
}  # fmt: skip

ROLES: Final = _list("owner, buyer, planner, fitter, foreman, site manager, administration, stores")
SITE_LABELS: Final = _list("Workshop, Site store, Depot, Building site, Second branch")
CUSTOMER_NOTES: Final = _list(
    "Deliver before 07:30, Ring before delivery, Wants one invoice a month, Gate code at the office, "
    "No deliveries on Friday afternoon, "
    "Asks for heat pump courses, Prefers Norpress, Always takes full boxes"
)
HOLD_NOTES: Final = _list("Two invoices past 60 days, Credit insurance withdrawn, Waiting for a signed payment plan")
