"""Secrets: passwords as Argon2id hashes, tokens and codes as SHA-256 digests. None is ever stored or logged as it is."""

import hashlib
import hmac
import secrets
from functools import cache
from typing import Final

from anyio import CapacityLimiter, to_thread
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

SESSION_PREFIX: Final = "rbs_"
DEVICE_PREFIX: Final = "rbd_"
CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_CHARACTERS: Final = 12
_CODE_GROUP: Final = 4
_LOOKS_LIKE: Final = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})

_hasher = PasswordHasher()
# A hash takes 64 MiB for a fifth of a second: a few at once, however many people sign in.
_hashing = CapacityLimiter(4)


@cache
def _dummy_hash() -> str:
    """What an unknown login is checked against, so that it takes as long as a known one."""
    return _hasher.hash(secrets.token_urlsafe(16))


async def hash_password(password: str) -> str:
    """Hash a password, in a thread. Do this before a write session is opened: it is slow on purpose."""
    return await to_thread.run_sync(_hasher.hash, password, limiter=_hashing)


async def verify_password(password_hash: str | None, password: str) -> bool:
    """Whether the password fits, in the same time where there is no hash."""
    return await to_thread.run_sync(_verify, password_hash, password, limiter=_hashing)


def _verify(password_hash: str | None, password: str) -> bool:
    dummy = _dummy_hash()
    try:
        _hasher.verify(password_hash or dummy, password)
    except (Argon2Error, InvalidHashError):
        return False
    return password_hash is not None


def token_digest(token: str) -> bytes:
    """What is stored of a token or a code. They are random, so a fast digest is enough."""
    return hashlib.sha256(token.encode()).digest()


def same_digest(stored: bytes, given: bytes) -> bool:
    """Whether two digests are the same, in a time that tells nothing."""
    return hmac.compare_digest(stored, given)


def new_code() -> str:
    """A code of 60 bits that a person can type: `7K3M-92QF-XV0B`."""
    characters = "".join(secrets.choice(CROCKFORD) for _ in range(CODE_CHARACTERS))
    return "-".join(characters[start : start + _CODE_GROUP] for start in range(0, CODE_CHARACTERS, _CODE_GROUP))


def code_digest(code: str) -> bytes:
    """The digest of a code however it was typed: lower case, without hyphens, O for 0, I or L for 1."""
    return token_digest(code.upper().translate(_LOOKS_LIKE))
