"""The tables as they are now; `migrations` has how they came to be.

Times are Unix seconds of the database's clock, in double precision, unless said otherwise.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

__all__ = [
    "account_cooldowns",
    "account_limits",
    "accounts",
    "audit_log",
    "client_keys",
    "former_keys",
    "former_names",
    "key_reservations",
    "key_terms",
    "key_use",
    "limiting_processes",
    "meta",
    "metadata",
    "refresh_leases",
    "request_latencies",
    "request_timelines",
    "request_totals",
    "requests",
    "revisions",
    "session_pins",
    "user_links",
    "user_sessions",
    "users",
]

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

client_keys: Final = Table(
    "client_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("created_at", Text, nullable=False),  # ISO 8601, UTC
    Column("revoked_at", Text),
    Column("secret_id", Text),  # tells the secret key that it was hashed with from others
    UniqueConstraint("digest"),
)
"""Keys of clients, by their keyed hashes."""

accounts: Final = Table(
    "accounts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("base_url", Text),
    Column("owner", Text, nullable=False),
    Column("weight", Integer, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("max_concurrency", Integer),
    Column("created_at", Double, nullable=False),
    Column("paused_at", Double),
    Column("resumed_at", Double),
    Column("condition", Text, nullable=False),
    Column("condition_reason", Text, nullable=False),
    Column("condition_since", Double, nullable=False),
    Column("secret", LargeBinary),
    Column("secret_version", BigInteger, nullable=False),
    Column("expires_at", Double),
    Column("fingerprint", Text),  # of a secret that lives in the environment
    UniqueConstraint("name"),
)
"""Accounts, with their secrets encrypted."""

former_names: Final = Table(
    "former_names",
    metadata,
    Column("name", Text, primary_key=True),
    Column("until", Double, primary_key=True),  # not included; the year 10000 where nobody else has it since
    Column("since", Double, nullable=False),  # since when it was no other account's that is renamed, too
    Column("account_id", Text, nullable=False),
    Column("present", Text, nullable=False),  # what that account is called now, or was when it was removed
)
"""What accounts were called before, and when; gateway/store/former_names.py reads requests by it."""

account_cooldowns: Final = Table(
    "account_cooldowns",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("family", Text, primary_key=True),
    Column("until", Double, nullable=False),
    Column("since", Double, nullable=False),
    Column("fault", Text, nullable=False),
    Column("reason", Text, nullable=False),
)
"""Quota families of accounts that have a rest."""

account_limits: Final = Table(
    "account_limits",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("window_name", Text, primary_key=True),
    Column("family", Text, primary_key=True),
    Column("utilization", Double),
    Column("resets_at", Double),
    Column("status", Text, nullable=False),
    Column("observed_at", Double, nullable=False),
    Column("version", BigInteger, nullable=False),  # of the topic `limits`
)
"""How much of its limits an account has used, as its provider last said."""

refresh_leases: Final = Table(
    "refresh_leases",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("secret_version", BigInteger, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("sent_at", Double),
)
"""Who may use the single-use refresh token of which version of an account's secret, and whether it was sent."""

session_pins: Final = Table(
    "session_pins",
    metadata,
    Column("session_key", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("used_at", Double, nullable=False, index=True),
    Column("moves", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False, index=True),  # of the topic `sessions`
)
"""Which account has a session's prompt cached; gateway/accounts/pins.py says what the columns mean."""

revisions: Final = Table(
    "revisions",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
)
"""A number per topic that rises with every change; see docs/decisions/0010-polling-a-revision-row.md."""

meta: Final = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""Facts about the database itself."""

requests: Final = Table(
    "requests",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", Double, nullable=False),  # of the gateway's own clock
    Column("route", Text, nullable=False),
    Column("provider", Text),
    Column("account", Text),
    Column("actor_id", Text),
    Column("actor", Text),
    Column("model", Text),
    Column("stream", Boolean, nullable=False),
    Column("outcome", Text),
    Column("status", Integer),
    Column("upstream_request_id", Text),
    Column("code", Text),
    Column("reason", Text),
    Column("stop_reason", Text),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("cache_read_tokens", BigInteger),
    Column("cache_write_tokens", BigInteger),
    Column("attempts", Text, nullable=False),  # JSON
    Column("switch", Text),  # JSON
    Column("events", BigInteger, nullable=False),
    Column("bytes_in", BigInteger, nullable=False),
    Column("bytes_out", BigInteger, nullable=False),
    Column("ms_to_content", BigInteger),
    Column("ms", BigInteger),
    Column("notes", Text),  # JSON
    Column("session", Text),
    Column("agent", Text),
    Column("client", Text),
    Column("request_class", Text),
    Column("model_served", Text),
    Column("api_version", Text),
    Column("iterations", Text),  # JSON
    Column("service_tier", Text),
    Column("inference_geo", Text),
    Column("speed", Text),
    Column("cost_note", Text),
    Column("trace_id", Text),
    Column("thinking_tokens", BigInteger),
    Column("cache_write_5m_tokens", BigInteger),
    Column("cache_write_1h_tokens", BigInteger),
    Column("web_searches", BigInteger),
    Column("web_fetches", BigInteger),
    Column("code_executions", BigInteger),
    Column("cost_nanousd", BigInteger),
    Column("ms_to_first_byte", BigInteger),
    Column("longest_gap_ms", BigInteger),
    Column("summed", Boolean, nullable=False, server_default=false()),  # whether it is in `request_totals`
    Column("ended_at", Double),  # of the gateway's own clock
)
"""What became of each request; gateway/ledger/row.py says what the columns mean."""


def _requests_index(name: str, *columns: str, where: str | None = None) -> None:
    clause = text(where) if where is not None else None
    Index(name, *(requests.c[column] for column in columns), sqlite_where=clause, postgresql_where=clause)


_requests_index("ix_requests_at_id", "at", "id")
_requests_index("ix_requests_actor_id_at_id", "actor_id", "at", "id")
_requests_index("ix_requests_account_at_id", "account", "at", "id")
_requests_index("ix_requests_model_at_id", "model", "at", "id")
_requests_index("ix_requests_model_served_at_id", "model_served", "at", "id", where="model_served IS NOT NULL")
_requests_index("ix_requests_session_at_id", "session", "at", "id", where="session IS NOT NULL")
_requests_index("ix_requests_outcome_at_id", "outcome", "at", "id", where="outcome <> 'complete'")
_requests_index("ix_requests_upstream_request_id", "upstream_request_id", where="upstream_request_id IS NOT NULL")
_requests_index("ix_requests_unsummed", "id", where="summed = false")
_requests_index("ix_requests_ended_at", "ended_at")
_requests_index("ix_requests_unpriced", "at", "id", where="cost_nanousd IS NULL")

request_totals: Final = Table(
    "request_totals",
    metadata,
    Column("span", Integer, primary_key=True, autoincrement=False),  # seconds: 300, 3600 or 86400
    Column("start", BigInteger, primary_key=True, autoincrement=False),  # Unix seconds, a multiple of the span
    *(
        Column(name, Text, primary_key=True)  # empty for none
        for name in ("provider", "route", "account", "actor_id", "model", "outcome", "stop_reason")
    ),
    *(
        Column(name, BigInteger, nullable=False)
        for name in (
            "requests",
            "partial",
            "unpriced",
            "input_tokens",
            "output_tokens",
            "thinking_tokens",
            "cache_read_tokens",
            "cache_write_5m_tokens",
            "cache_write_1h_tokens",
            "web_searches",
            "cost_nanousd",
            "ms",
            "attempts",
            "switches",
            "switch_nanousd",
        )
    ),
)
"""Sums of requests by time and what people ask by; they outlive the rows of `requests`."""

request_latencies: Final = Table(
    "request_latencies",
    metadata,
    Column("span", Integer, primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("measure", Text, primary_key=True),  # first_content, gap or duration
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    Column("bucket", Integer, primary_key=True, autoincrement=False),  # gateway/ledger/totals.py says of what
    Column("requests", BigInteger, nullable=False),
)
"""How many requests took how long, by time."""

request_timelines: Final = Table(
    "request_timelines",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", Double, nullable=False, index=True),  # as in `requests`
    Column("timeline", LargeBinary, nullable=False),
)
"""When events of which kind came, of streams that did not end well; gateway/ledger/timeline.py reads them."""

key_terms: Final = Table(
    "key_terms",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("expires_at", Double),
    Column("models", Text),  # JSON: a list of patterns
    *(
        Column(name, BigInteger)
        for name in (
            "requests_per_minute",
            "tokens_per_minute",
            "concurrent",
            "nanousd_day",
            "nanousd_week",
            "nanousd_month",
            "tokens_day",
            "tokens_week",
            "tokens_month",
        )
    ),
)
"""What client keys may do; one without a row may do everything."""

former_keys: Final = Table(
    "former_keys",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("valid_until", Double, nullable=False),
)
"""Client keys that others took the place of."""

key_use: Final = Table(
    "key_use",
    metadata,
    Column("key_id", Text, primary_key=True),
    *(Column(f"{period}_start", BigInteger, nullable=False) for period in ("day", "week", "month")),
    *(
        Column(f"{period}_{unit}", BigInteger, nullable=False)
        for period in ("day", "week", "month", "total")
        for unit in ("requests", "tokens", "nanousd")
    ),
    Column("running", BigInteger, nullable=False),
    Column("reserved_tokens", BigInteger, nullable=False),
    Column("reserved_nanousd", BigInteger, nullable=False),
    Column("requests_until", Double, nullable=False),
    Column("tokens_until", Double, nullable=False),
    Column("last_used_at", Double, nullable=False),
)
"""What client keys have used; gateway/actors/use.py says what the columns mean."""

key_reservations: Final = Table(
    "key_reservations",
    metadata,
    Column("id", Text, primary_key=True),  # of the request
    Column("key_id", Text, nullable=False),
    Column("owner", Text, nullable=False),  # the process that answers for it
    Column("at", Double, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("nanousd", BigInteger, nullable=False),
    Column("token_rate", BigInteger),
    Column("is_held", Boolean, nullable=False),  # whether it counts
)
"""What requests of keys with limits may use that are under way; each is there until it is settled."""

limiting_processes: Final = Table(
    "limiting_processes",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("seen_at", Double, nullable=False),
    Column("batch", BigInteger, nullable=False),  # the last one that was added to `key_use`
)
"""Processes that let requests of keys with limits in, and when they were last heard of."""

users: Final = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("name_key", Text, nullable=False),  # the name as it is compared
    Column("role", Text, nullable=False),
    Column("password", Text),  # hash; without one nobody can sign in by this name
    Column("totp", LargeBinary),  # secret, encrypted
    Column("totp_offered", LargeBinary),  # likewise, of one that is not confirmed yet
    Column("totp_step", BigInteger, nullable=False),  # the last one whose code was taken
    Column("recovery", Text, nullable=False),  # JSON: digests of the codes that are left
    Column("created_at", Double, nullable=False),
    UniqueConstraint("name_key"),
)
"""Who may sign in to the dashboard."""

user_sessions: Final = Table(
    "user_sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, nullable=False, index=True),
    Column("digest", Text, nullable=False),  # of the token
    Column("offered_digest", Text),  # of the token that is to take its place
    Column("offered_at", Double),
    Column("former_digest", Text),  # of the token whose place it took
    Column("former_until", Double),
    Column("created_at", Double, nullable=False),
    Column("used_at", Double, nullable=False),  # to the minute
    Column("rotated_at", Double, nullable=False),
    Column("address", Text, nullable=False),
    Column("client", Text, nullable=False),
    UniqueConstraint("digest"),
    UniqueConstraint("offered_digest"),
    UniqueConstraint("former_digest"),
)
"""Browsers that are signed in; gateway/controlplane/sign_in/sessions.py says how tokens follow one another."""

user_links: Final = Table(
    "user_links",
    metadata,
    Column("digest", Text, primary_key=True),  # of the token in the link
    Column("purpose", Text, nullable=False),
    Column("user_id", Text),  # none for a link that makes a user
    Column("role", Text, nullable=False),  # of the user it makes
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
)
"""Links that let somebody set a password or sign in, once."""

audit_log: Final = Table(
    "audit_log",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", Double, nullable=False),
    Column("who", Text, nullable=False),
    Column("how", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("before", Text),  # JSON
    Column("after", Text),  # JSON
    Index("ix_audit_log_at_id", "at", "id"),
    Index("ix_audit_log_who_at_id", "who", "at", "id"),
    Index("ix_audit_log_action_at_id", "action", "at", "id"),
    Index("ix_audit_log_target_at_id", "target", "at", "id"),
)
"""What people changed."""
