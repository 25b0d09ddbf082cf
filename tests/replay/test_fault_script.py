"""Fault scripts: how they are written and which request takes which fault."""

from pathlib import Path

import pytest

from gateway.replay.faults import KINDS, Fault, FaultScript, FaultSyntaxError, Rule, parse_faults
from gateway.replay.script_file import load_script
from gateway.replay.server import ReplayUpstream
from tests.replay.raw_client import ask, message


def taken(script: FaultScript, *, path: str = "/v1/messages", streamed: bool = True, **who: str) -> list[str]:
    faults = script.take(path, who.get("model"), who.get("credential", ""), streamed=streamed)
    return [fault.kind for fault in faults]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("refuse", Fault("refuse")),
        ("status:529", Fault("status", status=529)),
        ("status:429;retry-after=3", Fault("status", status=429, retry_after="3")),
        ("status:429; retry-after=date:20", Fault("status", status=429, retry_after="date:20")),
        ("cut:event=4", Fault("cut", event=4)),
        ("cut:event=0", Fault("cut", event=0)),
        ("cut:byte=311;reset", Fault("cut", byte=311, reset=True)),
        ("cut:utf8", Fault("cut", at="utf8")),
        ("hang:head", Fault("hang", at="head")),
        ("hang:event=3;seconds=0.5", Fault("hang", event=3, seconds=0.5)),
        ("error-event:api_error;event=2;goes-on", Fault("error-event", type="api_error", event=2, goes_on=True)),
        (["header:X-A=b=c; d", "e"][0], Fault("header", name="X-A", value="b=c; d")),
        ("drip:2000", Fault("drip", rate=2000)),
        ("truncate:chunked;byte=5", Fault("truncate", chunked=True, byte=5)),
        ("status:500;should-retry=false", Fault("status", status=500, should_retry=False)),
    ],
)
def test_short_form_reads_as(text: str, fault: Fault) -> None:
    assert Fault.parse(text) == fault


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("explode", "no fault is called 'explode'"),
        ("cut", "cut needs one of: event, byte, at"),
        ("cut:head", "cut has no place 'head'"),
        ("cut:event=x", "invalid literal"),
        ("cut:event=-1", "event cannot be negative"),
        ("crlf:5", "crlf takes no argument"),
        ("crlf;event=5", "crlf has no option event"),
        ("status:529;colour=red", "extra fields found"),
        ("status:99", "not between 200 and 599"),
        ("drip:0", "more than 0 bytes"),
        ("status:500;should-retry=maybe", "true or false"),
    ],
)
def test_a_mistake_in_the_short_form_is_named(text: str, complaint: str) -> None:
    with pytest.raises(FaultSyntaxError, match=complaint):
        Fault.parse(text)


def test_several_faults_for_one_request_are_joined_by_bars() -> None:
    assert parse_faults("crlf | drip:10|cut:byte=3") == (
        Fault("crlf"),
        Fault("drip", rate=10),
        Fault("cut", byte=3),
    )


def test_every_kind_lists_only_options_that_exist() -> None:
    fields = set(Fault.__annotations__)
    for name, kind in KINDS.items():
        assert {*kind.options, *kind.needs} <= fields, name
        assert kind.bare is None or kind.bare in kind.options, name


def test_rules_are_used_in_order_and_used_up() -> None:
    script = FaultScript.of(
        ["refuse", "status:529;times=2", {"fault": "none"}, {"fault": "crlf", "times": "forever"}]
    )
    assert [taken(script) for _ in range(6)] == [["refuse"], ["status"], ["status"], ["none"], ["crlf"], ["crlf"]]


def test_a_rule_waits_for_a_request_that_it_matches() -> None:
    script = FaultScript()
    script.push("status:401", credential="*-second")
    script.push("status:404", model="claude-opus-*")
    script.push("status:500", path="/v1/oauth/token")
    assert taken(script, model="claude-haiku-5-5", credential="key-first") == []
    assert taken(script, path="/v1/oauth/token") == ["status"]
    assert taken(script, model="claude-haiku-5-5", credential="key-second") == ["status"]
    assert taken(script, model="claude-opus-5-5") == ["status"]
    assert script.rules == []


def test_faults_of_streams_wait_for_a_stream() -> None:
    script = FaultScript.of(["error-event:api_error", "cut:event=3", "cut:byte=3"])
    assert taken(script, streamed=False) == ["cut"]
    assert [taken(script), taken(script), taken(script)] == [["error-event"], ["cut"], []]


@pytest.mark.parametrize("times", ["often", "1.5", [1]])
def test_times_is_a_number_or_forever(times: object) -> None:
    with pytest.raises(FaultSyntaxError, match="times is a number"):
        Rule.of({"fault": "refuse", "times": times})


def test_a_rule_with_a_stray_member_is_refused() -> None:
    with pytest.raises(FaultSyntaxError, match="no member colour"):
        Rule.of({"fault": "refuse", "colour": "red"})
    with pytest.raises(FaultSyntaxError, match="has a member 'fault'"):
        Rule.of({"times": 3})


SCRIPTS = {
    "script.toml": """
[[rule]]
fault = "status:429;retry-after=3"
times = 2
[[rule]]
fault = ["crlf", "cut:event=1"]
""",
    "script.json": """[
  {"fault": {"kind": "status", "status": 429, "retry-after": "3"}, "times": 2},
  "crlf|cut:event=1"
]""",
    "script.txt": """# twice
status:429;retry-after=3;times=2

crlf|cut:event=1
""",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_file_reads_the_same_in_every_format(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(SCRIPTS[name])
    limited, broken = load_script(path).rules
    assert limited == Rule((Fault("status", status=429, retry_after="3"),), times=2)
    assert broken == Rule((Fault("crlf"), Fault("cut", event=1)))


@pytest.mark.parametrize(("name", "content"), [("a.toml", "[[rule"), ("a.json", "{"), ("a.txt", "explode")])
def test_a_script_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(FaultSyntaxError, match=name):
        load_script(tmp_path / name)


async def test_a_script_picks_the_account_that_fails(upstream: ReplayUpstream) -> None:
    upstream.faults.push("status:429;retry-after=5", credential="account-b", times="forever")
    version = ("anthropic-version", "2023-06-01")
    first = await ask(upstream, message(), usual=[version, ("x-api-key", "account-a")])
    second = await ask(upstream, message(), usual=[version, ("Authorization", "Bearer account-b")])
    assert (first.status, second.status) == (200, 429)


async def test_the_request_header_wins_over_the_script_and_leaves_it_alone(upstream: ReplayUpstream) -> None:
    upstream.faults.push("status:500")
    assert (await ask(upstream, message(), fault="status:529")).status == 529
    assert (await ask(upstream, message())).status == 500


def test_a_body_may_hold_any_of_the_signs_that_separate_options() -> None:
    assert Fault.parse('body:{"a": "b=c;d:e"}') == Fault("body", value='{"a": "b=c;d:e"}')
    assert Fault.parse("body:") == Fault("body", value="")
