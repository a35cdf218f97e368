"""Errors between this machine and a hub, as sentences with advice."""

import contextlib
import errno
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import httpx2
from huggingface_hub import get_token
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ..errors import ExportError
from .name import HubName

_Result = TypeVar("_Result")
_ADDRESS = re.compile(r"https?://[^\s'\"]+")
_PASSING = (429, 500, 502, 503, 504)
"""Temporary statuses."""
_LONGEST_WAIT = 60
WAITS = (1, 2, 4)
"""Seconds between attempts; a waiting time in the hub's answer takes precedence."""


@contextlib.contextmanager
def explained(name: HubName, page: str) -> Iterator[None]:
    """Converts the errors of the block, about the repository `name` whose page is `page`, to an `ExportError`."""
    try:
        yield
    except GatedRepoError:
        raise ExportError(_gated(name, page)) from None
    except HfHubHTTPError as error:
        raise ExportError(_status(name, page, error)) from None
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol):
        raise ExportError(f"{_host(page) or page} is not the address of a hub; set HF_ENDPOINT to one, or unset it") from None
    except httpx2.HTTPError as error:
        raise ExportError(_connection(page, error)) from None


def _gated(name: HubName, page: str) -> str:
    if get_token():
        return f"{name} is gated, and the account of your token (HF_TOKEN) has no access: ask for it at {page}, with that account, then try again"
    return f"{name} is gated: accept its terms at {page}, and set HF_TOKEN to a token of the same account (or run: hf auth login)"


def _status(name: HubName, page: str, error: HfHubHTTPError) -> str:
    status = error.response.status_code
    host = _host(page)
    if isinstance(error, RevisionNotFoundError):
        return f"{name.repository} has no revision {name.revision!r} on {host}; {page} lists its branches, tags and commits"
    if isinstance(error, RemoteEntryNotFoundError):
        return f"a file of {name} that {host} listed is not there any more; try again"
    if isinstance(error, DisabledRepoError):
        return f"{host} has disabled {name}; {page} may say why"
    if status == 401 and get_token() and not isinstance(error, RepositoryNotFoundError):
        return f"{host} refuses your token (HF_TOKEN, or the one that hf auth login kept): make a new one, or unset it for what is public"
    if isinstance(error, RepositoryNotFoundError) or status in (401, 404):
        private = "your token may not see it" if get_token() else "it is private, and no token was given: set HF_TOKEN"
        return f"{host} has no repository {name.repository}, or {private}; check the name. There is no folder of that name here, either"
    if status == 403:
        return f"{host} refuses access to {name} (403): your token's rights do not reach it; {page} names what is needed"
    if status == 429:
        seconds = _retry_after(error)
        return f"{host} answers that there were too many requests (429); try again in {seconds or 300} seconds{_with_a_token()}. {KEPT}"
    if status >= 500:
        return f"{host} fails with status {status}, {len(WAITS) + 1} times in a row; try again later. {KEPT}"
    return f"{host} answers with status {status} to a request about {name}; is HF_ENDPOINT the address of a hub?"


KEPT = "What was fetched is kept, and not fetched again"


def _with_a_token() -> str:
    return "" if get_token() else ", or set HF_TOKEN: who is logged in may ask more often"


def _connection(page: str, error: httpx2.HTTPError) -> str:
    what = {
        httpx2.ConnectTimeout: "it does not answer",
        httpx2.ReadTimeout: "it stopped answering",
        httpx2.ConnectError: "no connection",
        httpx2.ProxyError: "the proxy refuses",
        httpx2.RemoteProtocolError: "the connection broke",
        httpx2.ReadError: "the connection broke",
        httpx2.TooManyRedirects: "it redirects in a circle",
    }.get(type(error), type(error).__name__)
    return (
        f"{_host(page)} cannot be reached ({what}): check the network, the proxy (HTTPS_PROXY) and HF_ENDPOINT, then try again. {KEPT}; "
        "HF_HUB_OFFLINE=1 works with what was fetched before"
    )


def _host(page: str) -> str:
    return httpx2.URL(page).netloc.decode("ascii", "replace")


def damaged(file: str, page: str) -> ExportError:
    return ExportError(
        f"{file} from {_host(page)} does not have the sum that the hub lists; it was deleted. Try again; "
        "if it happens again, the hub, or what lies between, has a damaged copy"
    )


def sentence(folder: Path, file: str, error: OSError) -> ExportError | OSError:
    """Converts a full disk and a truncated file to sentences; returns any other error unchanged."""
    if error.errno is None:
        return ExportError(f"{file} was truncated repeatedly; try again later. {KEPT}")
    if error.errno not in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return error
    return ExportError(f"the disk of {folder} is full: make room, or set HF_HUB_CACHE to a folder on another one, then try again. {KEPT}")


def with_retries(work: Callable[[], _Result]) -> _Result:
    """Runs `work`, again if the hub answers with a temporary status."""
    for wait in WAITS:
        try:
            return work()
        except HfHubHTTPError as error:
            asked = _retry_after(error)
            if error.response.status_code not in _PASSING or (asked or 0) > _LONGEST_WAIT:
                raise
            wait = max(wait, asked or 0)
        print(f"note: the hub fails; the next attempt is in {wait} s", file=sys.stderr)
        time.sleep(wait)
    return work()


def _retry_after(error: HfHubHTTPError) -> int | None:
    seconds = error.response.headers.get("Retry-After", "")
    return int(seconds) if seconds.isascii() and seconds.isdigit() else None


def check_token() -> None:
    """Refuses a token that cannot be sent: the library's own error would show it."""
    token = get_token()
    if token is not None and not re.fullmatch(r"[!-~]+", token):
        raise ExportError("the token (HF_TOKEN, or the one that hf auth login stored) has invalid characters; set it again")


class Notes(logging.Handler):
    """Prints the library's warnings as notes, without the addresses, which may be signed."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"note: {_ADDRESS.sub('(address)', record.getMessage())}", file=sys.stderr)
