"""The options of `gateway accounts add`: which go together, and the secret that they describe."""

from __future__ import annotations

import argparse
from typing import Final

from attrs import evolve

from gateway.accounts.account import AccountKind
from gateway.accounts.secrets import ApiKeySecret, CommandSecret, Federation, OAuthSecret, Secret
from gateway.cli.account_input import read_secrets
from gateway.config import Settings

__all__ = ["read_secret_from", "refuse_contradictions"]

_TOKEN_PATH: Final = "/v1/oauth/token"  # noqa: S105 - where tokens come from
_FORM: Final = "form"
_FEDERATION: Final = ("federation_rule_id", "organization_id", "service_account_id", "workspace_id")


def refuse_contradictions(args: argparse.Namespace) -> None:
    """Refuse options of `add` that do not go together, as wrong usage."""
    kind = AccountKind(args.kind)
    given = {
        f"--{name.replace('_', '-')}": value
        for name, value in vars(args).items()
        if name not in {"json", "check"} and value not in (None, False)
    }
    oauth = {
        "--token-url",
        "--client-id",
        "--client-secret-stdin",
        "--scope",
        "--token-request",
        "--assertion-file",
    }
    oauth |= {f"--{name.replace('_', '-')}" for name in _FEDERATION}
    misplaced = [name for name in given if name in oauth and kind is not AccountKind.OAUTH]
    misplaced += ["--command"] if "--command" in given and kind is not AccountKind.COMMAND else []
    if misplaced:
        args.parser.error(f"{misplaced[0]} is for --kind {'command' if misplaced[0] == '--command' else 'oauth'}")
    if kind is AccountKind.COMMAND:
        if args.command is None:
            args.parser.error("--kind command needs --command NAME, one of [credential_commands] of the settings")
        if args.secret_stdin:
            args.parser.error(
                "--kind command has no secret of its own: the command prints it; leave --secret-stdin out"
            )
        return
    if args.assertion_file is not None:
        if args.secret_stdin:
            args.parser.error("--assertion-file takes the place of a refresh token; leave --secret-stdin out")
        return
    for name in _FEDERATION:
        if getattr(args, name) is not None:
            args.parser.error(f"--{name.replace('_', '-')} goes with --assertion-file")
    if not args.secret_stdin:
        args.parser.error("say --secret-stdin, and pipe the secret in or type it when asked; no option takes it")


def read_secret_from(
    args: argparse.Namespace, settings: Settings, base_url: str | None, known: Secret | None = None
) -> Secret:
    """Return the secret that the options of `add` describe; read from standard input what they say is there.

    Args:
        args: the options, which do not contradict each other.
        settings: for the provider's base URL.
        base_url: the account's own.
        known: the secret that it is to replace; what is not given stays as it is there.

    Raises:
        CommandError: what came in cannot be used.
    """
    kind = AccountKind(args.kind)
    if kind is AccountKind.COMMAND:
        return CommandSecret(args.command)
    if kind is AccountKind.API_KEY:
        return ApiKeySecret(read_secrets(["API key"])[0])
    before = known if isinstance(known, OAuthSecret) else OAuthSecret("", as_form=args.provider == "openai")
    token_url = args.token_url or before.token_url
    if not token_url:
        if args.provider != "anthropic":
            args.parser.error("--kind oauth of openai needs --token-url")
        token_url = (base_url or settings.anthropic_base_url.rstrip("/")) + _TOKEN_PATH
    fresh = OAuthSecret(
        token_url=token_url,
        client_id=_first(args.client_id, before.client_id),
        scope=_first(args.scope, before.scope),
        as_form=before.as_form if args.token_request is None else args.token_request == _FORM,
    )
    labels = [] if args.assertion_file is not None else ["refresh token"]
    labels += ["client secret"] if args.client_secret_stdin else []
    secrets = read_secrets(labels) if labels else []
    if args.assertion_file is not None:
        rule = before.federation or Federation("")
        ids = {name: _first(getattr(args, name), getattr(rule, name)) for name in _FEDERATION}
        fresh = evolve(fresh, federation=Federation(args.assertion_file, **ids))
    else:
        fresh = evolve(fresh, refresh_token=secrets.pop(0))
    if secrets:
        return evolve(fresh, client_secret=secrets.pop())
    # Another client has another secret, or none.
    return evolve(fresh, client_secret=before.client_secret if before.client_id == fresh.client_id else None)


def _first(given: str | None, known: str | None) -> str | None:
    return known if given is None else given
