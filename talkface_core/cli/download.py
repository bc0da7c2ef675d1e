"""Downloads of published files: to a temporary name, resumed where the server can, checked before they count.

Only `models --fetch` comes here, and only after its user has agreed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from .. import __version__
from ..errors import InputError
from .public_file import PublicFile
from .public_weights import size_text

CHUNK = 2**20
TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as lost."""

_RANGE_PAST_END = 416


def download(file: PublicFile, folder: Path, advance: Callable[[int], object]) -> Path:
    """Fetch a file into a folder and return its path; `advance` hears how many bytes have come.

    What came before a lost connection stays there as `<name>.part`, and the next call goes on behind it, if the server
    still has the same file. Raises InputError for a server that cannot be reached, a file that is not there or came cut
    off, and one of another size or hash, which is removed.
    """
    whole, part, mark = (folder / f"{file.name}{end}" for end in ("", ".part", ".etag"))
    if whole.is_file():
        advance(whole.stat().st_size)
        return whole
    with _opened(file, part, mark) as response:
        fresh = response.status != 206
        if fresh:
            mark.write_text(response.headers.get("ETag", ""), encoding="utf-8")
        begin = 0 if fresh else part.stat().st_size
        advance(begin)
        length = response.headers.get("Content-Length")
        end = begin + int(length) if length and length.isdigit() else None
        try:
            with part.open("wb" if fresh else "ab") as out:
                while chunk := response.read(CHUNK):
                    out.write(chunk)
                    advance(len(chunk))
        except (HTTPException, TimeoutError, ConnectionError) as error:
            raise _lost(file, part, error) from error
    size = part.stat().st_size
    if end is not None and size < end:
        raise _lost(file, part, f"{size} of {end} bytes came")
    _check(file, part)
    part.replace(whole)
    mark.unlink(missing_ok=True)
    return whole


def _opened(file: PublicFile, part: Path, mark: Path) -> HTTPResponse:
    """The server's answer, from where the part ends if it can be gone on with."""
    headers = {"User-Agent": f"TalkFace/{__version__}", "Accept-Encoding": "identity"}
    etag = mark.read_text(encoding="utf-8") if mark.is_file() else ""
    if part.is_file() and part.stat().st_size and etag:
        headers |= {"Range": f"bytes={part.stat().st_size}-", "If-Range": etag}
    try:
        response = urlopen(Request(file.url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == _RANGE_PAST_END and "Range" in headers:
            part.unlink()  # longer than the file is: it was of another one
            return _opened(file, part, mark)
        raise InputError(f"{file.url}: the server answers {error.code} ({error.reason}); it may have moved") from error
    except (URLError, TimeoutError, HTTPException, OSError) as error:
        reason = getattr(error, "reason", error)
        host = urlsplit(file.url).hostname
        raise InputError(f"{host} cannot be reached ({reason}): is this machine online?") from error
    if urlsplit(response.url).scheme != urlsplit(file.url).scheme:
        response.close()
        raise InputError(f"{file.url}: leads to {response.url[:80]}, which is not as safe; nothing was fetched")
    return response


def _check(file: PublicFile, part: Path) -> None:
    """Refuse, and remove, what is not the published file."""
    size = part.stat().st_size
    if file.exact and size != file.size:
        part.unlink()
        raise InputError(
            f"{file.url}: {size} bytes came, the published file has {file.size}; it was removed. Another file may lie "
            "there by now"
        )
    if not file.sha256:
        return
    with part.open("rb") as content:
        digest = hashlib.sha256()
        while chunk := content.read(CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != file.sha256:
        part.unlink()
        raise InputError(
            f"{file.url}: its sha256 is {digest.hexdigest()[:12]}…, not {file.sha256[:12]}… of the published file; it "
            "was removed. Try again; if it stays so, do not trust that file"
        )


def _lost(file: PublicFile, part: Path, reason: object) -> InputError:
    kept = size_text(part.stat().st_size, exact=True) if part.is_file() else "nothing"
    return InputError(
        f"{file.name}: the connection was lost ({reason}); {kept} of it is kept: run the same command again to go on"
    )
