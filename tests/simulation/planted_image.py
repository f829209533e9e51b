"""Bugs of images that the simulation must catch: what a replica that began with one lacks, or has beyond."""

from typing import Final

from tests.simulation.plan import DEVICE_FAULTS, SERVER_FAULTS, Swarm
from tests.simulation.planting import PlantedBug

_CALM: Final = dict.fromkeys((*DEVICE_FAULTS, *SERVER_FAULTS, "draft", "foreign_write"), 0)
_BEGUN: Final = Swarm(steps=_CALM | {"build_images": 10, "reinstall": 60, "price": 60, "product": 20}, has_images=True, length=15)
_BROKEN: Final = Swarm(steps=_CALM | {"reinstall": 80}, rates={"cut_off": 0.4}, has_images=True, length=20)
_GARBLED: Final = Swarm(steps=_CALM | {"reinstall": 80}, rates={"garbled": 0.5}, has_images=True, length=25)

IMAGE_BUGS: Final = (
    PlantedBug(
        "an image is adopted whatever its digest",
        "a replica has rows that the server never had",
        "client_sdk.image_file",
        "if self._hash.digest() != self._offer.digest:",
        "if False:",
        also=(
            (
                "server.sync.images.file",
                "zstd.CompressionParameter.checksum_flag: 1,",
                "zstd.CompressionParameter.checksum_flag: 0,",
            ),
        ),
        swarm=_GARBLED,
        in_template=True,
    ),
    PlantedBug(
        "an image is gone on with from its beginning",
        "what came over a bad link is fetched again and again",
        "client_sdk.images",
        "incarnation.present, offer.digest, unpacking.size)",
        "incarnation.present, offer.digest, 0)",
        swarm=_BROKEN,
    ),
    PlantedBug(
        "an image is gone on with behind a gap",
        "every image that broke off is thrown away",
        "client_sdk.images",
        "incarnation.present, offer.digest, unpacking.size)",
        "incarnation.present, offer.digest, unpacking.size + (unpacking.size > 0))",
        swarm=_BROKEN,
    ),
    PlantedBug(
        "the tail begins behind the first commit since the image",
        "what was committed next never comes",
        "client_sdk.image_file",
        "cursor=offer.commit_seq,",
        "cursor=offer.commit_seq + 1,",
        swarm=_BEGUN,
    ),
    PlantedBug(
        "a replica that began with an image is whole as it is",
        "what is private never comes",
        "client_sdk.replica",
        "gained = set() if begins_at_nothing else new - known",
        "gained = set[str]() if staging.afresh else new - known",
        swarm=_BEGUN,
    ),
    PlantedBug(
        "an image says of itself that it is of now",
        "what was committed while it was built never comes",
        "server.sync.images.building",
        'state = {"image_format": image_format(), "epoch": head.epoch, "commit_seq": head.head, "buckets": buckets}',
        "head = msgspec.structs.replace(head, head=head.head + 1)\n"
        '        state = {"image_format": image_format(), "epoch": head.epoch, "commit_seq": head.head, "buckets": buckets}',
        swarm=_BEGUN,
        in_template=True,
    ),
    PlantedBug(
        "an image lacks the rows of a bucket",
        "a replica that began with it never gets them",
        "server.sync.images.building",
        "                if not wanted:\n",
        '                if not wanted or synced.name == "stock_level":\n',
        swarm=_BEGUN,
        in_template=True,
    ),
)
