"""Pictures that come as files of a form."""

from fastapi import Form, Request, UploadFile

from components.serve.gateway import gateway_of
from components.serve.problems import Refused

Multipart = Form(media_type="multipart/form-data")


async def bytes_of(request: Request, picture: UploadFile) -> bytes:
    """The file's bytes. Raises Refused where there are too many."""
    limit = gateway_of(request).cfg.queries.max_picture_mib
    data = await picture.read(limit * 2**20 + 1)
    if len(data) > limit * 2**20:
        raise Refused("picture_too_many_bytes", f"the file holds more than {limit} MiB")
    return data
