import pytest

from dstack_api_client import errors
from dstack_api_client.errors import Detail, details_of, from_answer

_SHAPES = [
    (b'{"detail": [{"msg": "No", "code": "error"}]}', [Detail("No", "error")]),
    (b'{"detail": {"msg": "Not found", "code": null}}', [Detail("Not found", None)]),
    (b'{"msg": "Access denied", "code": "x"}', [Detail("Access denied", "x")]),
    (b'{"detail": "Not authenticated"}', [Detail("Not authenticated", None)]),
    (
        b'{"detail": [{"type": "missing", "loc": ["body", "run_name"], "msg": "Field required"}]}',
        [Detail("run_name: Field required", None)],
    ),
    (b'{"detail": [{"msg": "a\\u001b[2Jb", "code": 7}]}', [Detail("a\ufffd[2Jb", None)]),
    (b"<html>502 Bad Gateway</html>", []),
    (b"", []),
    (b"\xff\xfe", []),
    (b"null", []),
    (b'{"detail": null}', []),
    (b'{"other": 1}', []),
]


@pytest.mark.parametrize(("body", "details"), _SHAPES)
def test_every_shape_of_an_error_is_read(body: bytes, details: list[Detail]) -> None:
    assert details_of(body) == details


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        (401, b'{"detail": "Not authenticated"}', errors.UnauthorisedError, "token"),
        (403, b'{"detail": {"msg": "Invalid token"}}', errors.UnauthorisedError, "token"),
        (403, b'{"detail": {"msg": "Access denied"}}', errors.ForbiddenError, "the fleets"),
        (403, b'{"msg": "Members only", "code": "c"}', errors.ForbiddenError, "Members only"),
        (404, b'{"detail": {"msg": "Not found"}}', errors.NotFoundError, "the fleets"),
        (404, b"<html>", errors.ForeignAnswerError, "Nothing at http://server"),
        (403, b"<html>", errors.ForeignAnswerError, "the fleets"),
        (
            400,
            b'{"detail": [{"msg": "Run not found", "code": "resource_not_exists"}]}',
            errors.NotFoundError,
            "Run not found",
        ),
        (400, b'{"detail": [{"msg": "Being processed."}]}', errors.RefusedError, "processed"),
        (422, b'{"detail": [{"loc": ["body", "x"], "msg": "extra"}]}', errors.WrongShapeError, "x"),
        (429, b"", errors.BusyError, "429"),
        (500, b"Internal Server Error", errors.ServerFailedError, "500"),
        (502, b"<html>", errors.BusyError, "502"),
        (503, b"", errors.BusyError, "503"),
        (504, b"", errors.BusyError, "504"),
        (302, b"", errors.ForeignAnswerError, "302"),
        (418, b"", errors.ForeignAnswerError, "418"),
    ],
)
def test_every_status_has_an_error_with_something_to_do(
    status: int, body: bytes, kind: type[errors.ApiError], says: str
) -> None:
    error = from_answer(status, body, what="the fleets", url="http://server")
    assert type(error) is kind
    assert says in error.message
    assert error.message.endswith(".")
    assert error.hint.endswith(".")
    assert str(error) == f"{error.message} {error.hint}"


def test_a_refusal_keeps_its_reasons_and_codes() -> None:
    body = b'{"detail": [{"msg": "a", "code": "error"}, {"msg": "b", "code": "gateway_error"}]}'
    error = from_answer(400, body, what="it", url="http://server")
    assert isinstance(error, errors.RefusedError)
    assert [detail.message for detail in error.details] == ["a", "b"]
    assert error.codes == {"error", "gateway_error"}


def test_a_long_text_of_the_server_is_cut() -> None:
    body = b'{"detail": [{"msg": "' + b"x" * 10_000 + b'"}]}'
    assert len(from_answer(400, body, what="it", url="http://server").message) < 500
