"""What can go wrong with images. None of it stops a device: it takes the rows instead."""

from server.runtime.errors import BusyError, NotFoundError, ProblemError


class ImageNotFoundError(NotFoundError):
    """There is no such image, or it holds something that is not the asker's."""

    code = "image_not_found"

    def __init__(self, digest: bytes) -> None:
        super().__init__(f"image {digest.hex()} is not there, or not this device's: ask for one, or pull rows")
        self.digest = digest


class RangeNotSatisfiableError(ProblemError):
    """The part that was asked for begins behind the end of the file."""

    status = 416
    title = "Range not satisfiable"
    code = "range_not_satisfiable"

    def __init__(self, size: int) -> None:
        super().__init__(f"Range: the image has {size} bytes; begin before its end")
        self.size = size


class ImageStorageDownError(BusyError):
    """The folder or the bucket that holds the images does not answer as it should."""

    code = "image_storage_down"

    def __init__(self, place: str, cause: str) -> None:
        super().__init__("the storage of images does not answer; try again in a minute, or pull rows")
        self.place = place
        self.cause = cause

    def __str__(self) -> str:
        return (
            f"ROADBOOK_IMAGES_URL: {self.place} does not answer: {self.cause.splitlines()[0] if self.cause else 'no reason given'}"
        )
