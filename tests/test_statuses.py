"""The names of statuses."""

from http import HTTPStatus

import sockets
from sockets.statuses import StatusCodes


def test_status_codes_are_the_http_status_and_the_names_of_newer_pythons():
    for status in HTTPStatus:
        assert StatusCodes[status.name] == status
    assert StatusCodes.CONTENT_TOO_LARGE == 413
    assert StatusCodes.URI_TOO_LONG == 414
    assert StatusCodes.RANGE_NOT_SATISFIABLE == 416
    assert StatusCodes.UNPROCESSABLE_CONTENT == 422
    assert StatusCodes(404) is StatusCodes.NOT_FOUND
    assert sockets.StatusCodes is StatusCodes
