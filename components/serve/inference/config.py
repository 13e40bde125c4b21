"""What the section `serve.inference` of params.yaml holds."""

from typing import Literal

from pydantic import Field

from components.contract import Config


class InferenceConfig(Config):
    """Batches are bounded by rows and by pixels, and so is what waits for them. `threads` 0 has the machine measured on start.

    `memory_mib` is what the process may take while it runs batches, 0 for 80 % of its limit. What begins with triton_ counts for that
    backend alone.
    """

    backend: Literal["onnxruntime", "triton"]
    threads: int = Field(ge=0)
    max_rows: int = Field(ge=1)
    max_pixels: int = Field(ge=1)
    max_wait_ms: float = Field(ge=0)
    max_queued_rows: int = Field(ge=1)
    max_queued_pixels: int = Field(ge=1)
    memory_mib: int = Field(ge=0)
    measure_s: float = Field(gt=0)
    triton_url: str = Field(min_length=1)
    triton_max_in_flight: int = Field(ge=1)
    triton_timeout_s: float = Field(gt=0)
    triton_check_s: float = Field(gt=0)
