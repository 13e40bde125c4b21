"""`serve.pictures` and `serve.urls` of params.yaml."""

from typing import Annotated

from pydantic import AfterValidator, Field

from components.contract import Config
from components.images import MAX_PICTURE_PIXELS
from components.serve.pictures.hosts import host_pattern

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class PicturesConfig(Config):
    """How pictures are decoded, and how much is kept of them. Times are wall clock; `memory_mib` is of each worker."""

    workers: Annotated[int, Field(ge=1, le=64)]
    timeout_s: Seconds
    memory_mib: Annotated[int, Field(ge=128)]
    max_pixels: Annotated[int, Field(ge=1, le=MAX_PICTURE_PIXELS)]
    max_queued: Count
    max_queued_mib: Count
    recycle_after: Count
    remembered: Annotated[int, Field(ge=0)]
    max_quarantined: Count
    max_kept: Annotated[int, Field(ge=0)]
    max_kept_mib: Annotated[int, Field(ge=0)]


class UrlsConfig(Config):
    """Which pictures may be fetched by URL. `hosts` are names or `*.suffix`; `ports` go beyond 443 and, with allow_http, 80."""

    enabled: bool
    hosts: list[Annotated[str, AfterValidator(host_pattern)]]
    allow_http: bool
    ports: list[Annotated[int, Field(ge=1, le=65535)]]
    max_redirects: Annotated[int, Field(ge=0, le=10)]
    timeout_s: Seconds
    idle_timeout_s: Seconds
    min_kib_per_s: Annotated[float, Field(ge=0)]
    max_at_once: Count
