"""The second factor: codes of an authenticator app (TOTP, RFC 6238), and recovery codes."""

import base64
import hashlib
import hmac
import logging
import secrets

import pyotp
import segno
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest

from outbox.api import audit
from outbox.db.clock import database_now
from outbox.models import AuditAction
from outbox.models.secrets import SecretUnreadableError
from signin import throttle
from signin.models import Authenticator, RecoveryCode
from signin.notices import notify

logger = logging.getLogger(__name__)

STEP = 30  # seconds
_DRIFT = 1  # steps that the clock of a phone may differ
RECOVERY_CODES = 10
_CODE_BYTES = 10
_ISSUER = "Outbox"


def is_on(user: User) -> bool:
    """Return whether the user has confirmed an authenticator."""
    return Authenticator.objects.filter(user=user).exclude(confirmed_at=None).exists()


def is_required(user: User) -> bool:
    """Return whether the site requires a second factor of this user."""
    wanted = settings.SECOND_FACTOR
    return wanted == "all" or (wanted == "staff" and user.is_staff)


def propose(user: User) -> Authenticator:
    """Return the authenticator that the user may confirm; a new one without any."""
    new = Authenticator(user=user)
    new.key = pyotp.random_base32()
    found, _ = Authenticator.objects.get_or_create(
        user=user, defaults={"key_encrypted": new.key_encrypted}
    )
    if found.confirmed_at is None and not _key(found):
        unreadable = Authenticator.objects.filter(pk=found.pk, key_encrypted=found.key_encrypted)
        unreadable.update(key_encrypted=new.key_encrypted)
        found.refresh_from_db()
    return found


def picture(authenticator: Authenticator) -> str:
    """Return the QR code that an authenticator app reads, as a data: URL."""
    user = authenticator.user
    totp = pyotp.TOTP(authenticator.key)
    uri = totp.provisioning_uri(name=user.get_username(), issuer_name=_ISSUER)
    return segno.make_qr(uri).svg_data_uri(scale=4, dark="#000", light="#fff")


def confirm(user: User, code: str) -> list[str] | None:
    """Turn the proposed authenticator on. Return recovery codes, or None if the code is wrong."""
    authenticator = propose(user)
    with transaction.atomic():
        if authenticator.confirmed_at is not None or not _accepts(authenticator, code):
            return None
        Authenticator.objects.filter(pk=authenticator.pk).update(confirmed_at=database_now())
        codes = renew_recovery_codes(user)
    audit.record(AuditAction.SECOND_FACTOR_ADDED, target=user)
    notify(user, "second_factor_added")
    return codes


def turn_off(user: User) -> None:
    """Delete the authenticator and the recovery codes."""
    Authenticator.objects.filter(user=user).delete()
    RecoveryCode.objects.filter(user=user).delete()
    audit.record(AuditAction.SECOND_FACTOR_REMOVED, target=user)
    notify(user, "second_factor_removed")


def renew_recovery_codes(user: User) -> list[str]:
    """Replace the recovery codes, and return the new ones, which are shown once."""
    codes = [_new_code() for _ in range(RECOVERY_CODES)]
    with transaction.atomic():
        # Two requests at once would otherwise leave the codes of both.
        Authenticator.objects.select_for_update().filter(user=user).first()
        RecoveryCode.objects.filter(user=user).delete()
        RecoveryCode.objects.bulk_create(
            [RecoveryCode(user=user, digest=_digest(code)) for code in codes]
        )
    return codes


def codes_left(user: User) -> int:
    """Return how many recovery codes are unused."""
    return RecoveryCode.objects.filter(user=user, used_at=None).count()


def verify(request: HttpRequest, user: User, code: str) -> bool:
    """Return whether the code is right, which uses it up. Attempts are limited as for passwords."""
    counted = throttle.of_name("code", str(user.pk), request)
    if wait := throttle.reserve(counted):
        throttle.block(request, wait)
        if throttle.is_recorded(counted):
            audit.record(
                AuditAction.SIGN_IN_BLOCKED, target=user, request=request, wait=round(wait)
            )
        return False
    authenticator = Authenticator.objects.filter(user=user).exclude(confirmed_at=None).first()
    if authenticator is not None and _accepts(authenticator, code):
        throttle.succeed(counted)
        return True
    used = RecoveryCode.objects.filter(user=user, digest=_digest(code), used_at=None)
    if used.update(used_at=database_now()):
        throttle.succeed(counted)
        audit.record(AuditAction.RECOVERY_CODE_USED, target=user, request=request)
        notify(user, "recovery_code_used")
        return True
    audit.record(AuditAction.SIGN_IN_FAILED, target=user, request=request, factor="code")
    return False


def _accepts(authenticator: Authenticator, code: str) -> bool:
    """Return whether it is a code of this time that was not used before (RFC 6238 5.2)."""
    wanted = "".join(code.split())
    if not (key := _key(authenticator)):
        return False
    totp = pyotp.TOTP(key)
    step = int(database_now().timestamp()) // STEP
    for candidate in range(step - _DRIFT, step + _DRIFT + 1):
        if hmac.compare_digest(totp.generate_otp(candidate).encode(), wanted.encode()):
            unused = Authenticator.objects.filter(pk=authenticator.pk, last_step__lt=candidate)
            return bool(unused.update(last_step=candidate))
    return False


def _key(authenticator: Authenticator) -> str:
    """Return the key; empty if no secret key decrypts it, while recovery codes still work."""
    try:
        return authenticator.key
    except SecretUnreadableError:
        logger.exception("The %s cannot be read.", authenticator)
        return ""


def _new_code() -> str:
    text = base64.b32encode(secrets.token_bytes(_CODE_BYTES)).decode().lower()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def _digest(code: str) -> str:
    normal = code.lower().replace("-", "").replace(" ", "")
    return hashlib.sha256(normal.encode(errors="replace")).hexdigest()
