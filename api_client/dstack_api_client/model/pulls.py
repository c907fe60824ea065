"""How far the image of a job is pulled."""

from __future__ import annotations

from dataclasses import dataclass

_GB, _MB = 2**30, 2**20


@dataclass(frozen=True, slots=True)
class Pull:
    """An image pull under way: bytes that the host did not have before.

    Attributes:
        downloaded: Bytes downloaded so far.
        extracted: Bytes extracted so far.
        total: Bytes to download and then to extract.
        is_final: Whether the total will not grow.
    """

    downloaded: int
    extracted: int
    total: int
    is_final: bool

    @property
    def moved(self) -> int:
        """What grows as long as the pull goes on."""
        return self.downloaded + self.extracted

    @property
    def is_done(self) -> bool:
        """Whether all was pulled: what the job waits for then is something else."""
        return self.is_final and self.extracted >= self.total

    def __str__(self) -> str:
        """`3.2 of 12.0 GB downloaded, 1.1 extracted`; `at least 12.0` where it may be more."""
        unit, name, digits = (_GB, "GB", 1) if self.total >= _GB else (_MB, "MB", 0)
        least = "" if self.is_final else "at least "
        downloaded, extracted, total = (
            f"{amount / unit:.{digits}f}"
            for amount in (self.downloaded, self.extracted, self.total)
        )
        return f"{downloaded} of {least}{total} {name} downloaded, {extracted} extracted"
