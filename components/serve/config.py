"""The section `serve:` of params.yaml, joined from what each part of the gateway takes."""

from pydantic import Field

from components.contract import Config
from components.serve.access.config import AccessConfig
from components.serve.canary.config import ChannelConfig
from components.serve.index.config import IndexServeConfig
from components.serve.inference.config import InferenceConfig
from components.serve.log.config import LogConfig
from components.serve.pictures.config import PicturesConfig, UrlsConfig
from components.serve.queries import Queries
from components.serve.wire import Digest


class GoldenConfig(Config):
    """How close golden answers must come: cosine of vectors, and the Image Score's distance. Asked again every `every_s` seconds."""

    min_cosine: float = Field(gt=0, le=1)
    max_score_error: float = Field(ge=0, le=1)
    every_s: float = Field(gt=0)


class RehearsalConfig(Config):
    """The answers of `release` to users are `late_ms` late. For rehearsals alone: a shop leaves it null."""

    release: Digest | None
    late_ms: float = Field(ge=0)


class ServeConfig(Config):
    """Everything that a gateway is told. `store` is a folder or s3://bucket/prefix."""

    state: str
    store: str
    queries: Queries
    golden: GoldenConfig
    inference: InferenceConfig
    index: IndexServeConfig
    pictures: PicturesConfig
    urls: UrlsConfig
    log: LogConfig
    channel: ChannelConfig
    access: AccessConfig
    rehearsal: RehearsalConfig
