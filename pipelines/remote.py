"""Files at an fsspec URL (object storage, the hub, a folder): put whole or not at all, and hashed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from eval.files import InputError

# Seconds between the tries of what may be the network's fault; a tenth is drawn at random on top.
PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0)
# Stores without folders, where an object is there once all of it is: a put needs no move after it.
OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "hf", "oss"})
S3 = frozenset({"s3", "s3a"})
# What brings the packages of a protocol, where fsspec's own word for it is not the best one.
PACKAGES = {
    "s3": "'stepladder[s3]'",
    "s3a": "'stepladder[s3]'",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
}
CHUNK_BYTES = 8 * 2**20
_SECRET = re.compile(r"SECRET|TOKEN|PASSWORD|CREDENTIAL|_KEY")
# Errors that come again however often one tries; botocore's have no class that could be caught without it.
_FOR_GOOD = (PermissionError, FileNotFoundError, NotADirectoryError, IsADirectoryError, NotImplementedError)
_FOR_GOOD_NAMED = frozenset(
    {
        "NoCredentialsError",
        "PartialCredentialsError",
        "ParamValidationError",
        "InvalidRegionError",
        "ProfileNotFound",
    }
)
_FOR_GOOD_NUMBERS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG})

Value = TypeVar("Value")


class RemoteError(RuntimeError):
    """What a store answered, in one line and without secrets; `for_good`: trying again would not help."""

    def __init__(self, message: str, *, for_good: bool) -> None:
        super().__init__(message)
        self.for_good = for_good


class Remote:
    """The files below an address, named by their path from it, with `/`.

    Its methods raise RemoteError, after as many tries as there are `pauses` and one more; after a row of
    tries that came to nothing (`down`), one each until one succeeds. They may be called from several threads.
    """

    def __init__(self, url: str, *, pauses: tuple[float, ...] = PAUSES_S) -> None:
        """Raises InputError for an address that is none, and for a protocol whose package is not here."""
        self.url, self.pauses, self.down = url, pauses, False
        self.protocol, self.shown = _read(url)
        self.fs, self.root = _open(url, self.protocol, self.shown)
        self.root = self.root.rstrip("/")

    def sizes(self, below: str = "") -> dict[str, int]:
        """The files below a folder, by name, with their bytes; none where there is no such folder."""

        def find() -> dict[str, int]:
            try:
                found = self.fs.find(self._path(below), detail=True)
            except FileNotFoundError:
                return {}
            start = self.root + "/"
            named = {str(path): info for path, info in found.items() if str(path).startswith(start)}
            return {path[len(start) :]: int(info["size"]) for path, info in named.items()}

        return self._tried(below or "its files", find)

    def read(self, name: str, most: int) -> bytes | None:
        """The bytes of a small file; None where there is none. Raises RemoteError for more than `most`."""

        def fetch() -> bytes | None:
            try:
                with self.fs.open(self._path(name), "rb") as file:
                    return bytes(file.read(most + 1))
            except FileNotFoundError:
                return None

        data = self._tried(name, fetch)
        if data is not None and len(data) > most:
            raise RemoteError(f"{self.shown}/{name}: more than {most} bytes, so none of ours", for_good=True)
        return data

    def size(self, name: str) -> int | None:
        """The bytes of a file; None where there is none."""

        def look() -> int | None:
            try:
                return int(self.fs.info(self._path(name))["size"])
            except FileNotFoundError:
                return None

        return self._tried(name, look)

    def holds(self, name: str, sha256: str, *, trusted: bool = False, read: bool = False) -> bool:
        """Whether a file that is there has this hash: by the one that S3 stores beside it, else by its bytes.

        trusted: no bytes are read where the store keeps no hashes. read: they are read everywhere.
        """
        if self.protocol in S3 and not read:
            return self._tried(name, lambda: self._head(name)[1]) == sha256
        return (trusted and not read) or self._tried(name, lambda: self._hash_of_bytes(name)) == sha256

    def put(self, path: Path, name: str, sha256: str, *, verify: bool) -> None:
        """Store a file whose hash is known; at `name` there is the old one or this one, whole.

        Looked at afterwards: size and stored hash, or, with `verify`, the bytes, read back.
        """
        size = path.stat().st_size

        def upload() -> None:
            if self.protocol in OBJECT_STORES:
                extra = {"Metadata": {"sha256": sha256}} if self.protocol in S3 else {}
                self.fs.put_file(str(path), self._path(name), **extra)
                self._check(name, size, sha256, verify)
                return
            folder, _, last = name.rpartition("/")
            part = f"{folder}/.{last}.part" if folder else f".{last}.part"
            self.fs.makedirs(self._path(folder), exist_ok=True)
            self.fs.put_file(str(path), self._path(part))
            self._check(part, size, sha256, verify)
            self.fs.mv(self._path(part), self._path(name))

        self._tried(name, upload)

    def get(self, name: str, path: Path) -> None:
        """Fetch a file to `path`, which is not whole until this returns."""
        self._tried(name, lambda: self.fs.get_file(self._path(name), str(path)))

    def remove(self, name: str) -> None:
        """Take a file away; nothing where there is none."""

        def remove() -> None:
            with contextlib.suppress(FileNotFoundError):
                self.fs.rm_file(self._path(name))

        self._tried(name, remove)

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}" if name else self.root

    def _head(self, name: str) -> tuple[int, str | None]:
        """The bytes of an S3 object, and the hash it was stored with."""
        bucket, key, _ = self.fs.split_path(self._path(name))
        head = self.fs.call_s3("head_object", Bucket=bucket, Key=key)
        return int(head["ContentLength"]), head["Metadata"].get("sha256")

    def _hash_of_bytes(self, name: str) -> str:
        digest = hashlib.sha256()
        with self.fs.open(self._path(name), "rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()

    def _check(self, name: str, size: int, sha256: str, verify: bool) -> None:
        """Raises OSError, which is tried again, where what arrived is not what was sent."""
        stored: str | None = sha256
        try:
            if self.protocol in S3:
                arrived, stored = self._head(name)
            else:
                arrived = int(self.fs.info(self._path(name))["size"])
        except FileNotFoundError:  # a store that takes a moment to show what it took
            raise OSError("not there after it was sent") from None
        if arrived != size:
            raise OSError(f"{arrived} bytes arrived of {size}")
        if (self._hash_of_bytes(name) if verify else stored) != sha256:
            raise OSError("what arrived does not have the hash of what was sent")

    def _tried(self, what: str, call: Callable[[], Value]) -> Value:
        for pause in (*(() if self.down else self.pauses), None):
            try:
                value = call()
            except Exception as error:  # fsspec's clients raise classes of their own
                for_good = _comes_again(error)
                if pause is None or for_good:
                    self.down = self.down or not for_good
                    raise RemoteError(self._worded(what, error), for_good=for_good) from None
                time.sleep(pause * random.uniform(1.0, 1.1))
            else:
                self.down = False
                return value
        raise AssertionError("the last try returns or raises")

    def _worded(self, what: str, error: Exception) -> str:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        if isinstance(error, FileNotFoundError):
            reason = f"no such place ({reason}); make the bucket or folder first, or mend the address"
        return f"{self.shown}: {what}: {_without_secrets(reason, self.url)}"


def _comes_again(error: Exception) -> bool:
    return (
        isinstance(error, _FOR_GOOD)
        or type(error).__name__ in _FOR_GOOD_NAMED
        or (isinstance(error, OSError) and error.errno in _FOR_GOOD_NUMBERS)
    )


def _read(url: str) -> tuple[str, str]:
    """Protocol, and the address as it may be shown: without user, password and query."""
    protocol, found, rest = url.partition("://")
    if not found or not protocol or not rest.strip("/") or not url.isprintable() or "::" in url:
        wanted = "write s3://BUCKET/PREFIX, hf://datasets/OWNER/NAME/PREFIX or file:///FOLDER"
        raise InputError(f"{_shown(url)!r}: no address of a store; {wanted}")
    if protocol in S3 and "@" in rest.partition("/")[0]:
        raise InputError(
            f"{_shown(url)}: an s3 address holds no credentials; set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY"
        )
    return protocol, _shown(url)


def _shown(url: str) -> str:
    protocol, found, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    address = f"{protocol}{found}{place.rpartition('@')[2]}{slash}{path.partition('?')[0]}"
    return address.rstrip("/")


def _open(url: str, protocol: str, shown: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    # what somebody else put there meanwhile is seen
    extra: dict[str, Any] = {"use_listings_cache": False}
    if protocol in S3:  # tries are counted here
        extra |= {"config_kwargs": {"retries": {"mode": "standard", "max_attempts": 2}}}
    try:
        fs, root = url_to_fs(url, **extra)
    except ImportError as error:
        package = PACKAGES.get(protocol)
        remedy = f"pip install {package}" if package else " ".join(str(error).split())
        raise InputError(f"{shown}: the package for {protocol}:// is not installed: {remedy}") from None
    except Exception as error:  # an unknown protocol, or an address that its client does not read
        reason = _without_secrets(" ".join(str(error).split())[:200], url)
        raise InputError(f"{shown}: {reason or type(error).__name__}; mend the address") from None
    return fs, str(root)


def _without_secrets(text: str, url: str) -> str:
    """`text` without what of an address and of this process's environment nobody else should read."""
    parts = urlsplit(url)
    secrets = {parts.query, *(value for _, value in parse_qsl(parts.query))}
    if "@" in parts.netloc:
        user = parts.netloc.rpartition("@")[0]
        secrets |= {user, user.partition(":")[2]}
    secrets |= {
        value for name, value in os.environ.items() if _SECRET.search(name.upper()) and len(value) > 7
    }
    for secret in sorted(secrets | {unquote(secret) for secret in secrets}, key=len, reverse=True):
        if secret:
            text = text.replace(secret, "***")
    return text


def is_safe_name(name: object) -> bool:
    """Whether a name from elsewhere is a plain path downwards: no `..`, no root, nothing hidden."""
    if not isinstance(name, str) or not name.isprintable() or "\\" in name:
        return False
    return all(part and part[0] != "." and len(part.encode()) < 250 for part in name.split("/"))
