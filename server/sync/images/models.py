"""Which images there are. The file of each is in the image storage under the image's digest."""

from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from server.runtime.database import Base


class ImageModel(Base):
    """A file that holds `buckets` (names, sorted, one a line) as they were at `commit_seq` of the log `epoch`.

    A superseded image is offered to nobody and served to whoever is reading it already.
    """

    __tablename__ = "image"

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    image_format: Mapped[bytes]
    epoch: Mapped[UUID]
    commit_seq: Mapped[int]
    buckets: Mapped[str]
    size: Mapped[int]
    raw_size: Mapped[int]
    rows: Mapped[int]
    built_at_ms: Mapped[int]
    superseded_at_ms: Mapped[int | None]

    @property
    def bucket_names(self) -> tuple[str, ...]:
        """The buckets, sorted."""
        return tuple(self.buckets.split("\n"))
