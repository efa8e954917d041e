"""The names of statuses, the newest among them."""

from enum import IntEnum
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    StatusCodes = HTTPStatus
else:
    # Names that only newer Pythons give to these codes (RFC 9110).
    _RENAMED = {
        "CONTENT_TOO_LARGE": 413,
        "URI_TOO_LONG": 414,
        "RANGE_NOT_SATISFIABLE": 416,
        "UNPROCESSABLE_CONTENT": 422,
    }
    StatusCodes = (
        HTTPStatus
        if _RENAMED.keys() <= HTTPStatus.__members__.keys()
        else IntEnum("StatusCodes", {**HTTPStatus.__members__, **_RENAMED}, module=__name__)
    )
