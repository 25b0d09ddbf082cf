"""Who presents a key that was revoked is known for a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gateway.actors.keys import KeyRing, StoredKey, hash_key

PEPPER = b"p" * 32


def revoked(number: int, days_ago: float) -> StoredKey:
    at = (datetime.now(UTC) - timedelta(days=days_ago)).isoformat(timespec="milliseconds")
    return StoredKey(
        f"key_{number}", f"name {number}", hash_key(f"csg_{number}", PEPPER), "csg_", at, revoked_at=at
    )


def test_keys_are_known_for_thirty_days_after_they_were_revoked_and_never_valid() -> None:
    ring = KeyRing(PEPPER, [revoked(1, 29), revoked(2, 31)])
    late = ring.find_revoked("csg_1")
    assert late is not None
    assert (late.id, late.is_revoked) == ("key_1", True)
    assert [ring.find_revoked("csg_2"), ring.find("csg_1"), ring.find("csg_2")] == [None, None, None]


def test_of_very_many_revoked_keys_the_latest_are_known() -> None:
    ring = KeyRing(PEPPER, [revoked(number, number / 1000) for number in range(1500)])
    found = [ring.find_revoked(f"csg_{number}") is not None for number in range(1500)]
    assert found == [True] * 1000 + [False] * 500
