"""Who gets in, and to what: every route by itself, sessions, CSRF, host names, headers, the trusted proxy."""

import ipaddress
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from clearing.console.access import Front
from clearing.console.app import ROUTES
from clearing.console.sessions import TRIES
from tests.console.stage import ORIGIN, PASSWORD, PEOPLE, Browser, Stage
from tests.explain.town import Town

PUBLIC = {"/", "/index.html", "/web/{path:path}", "/api/session", "/api/login"}
NEEDS = {
    "preview": {"operator", "approver"},
    "act": {"operator"},
    "approve": {"approver"},
    "export": {"auditor"},
    "read": {"viewer", "operator", "approver", "auditor"},
}
ROLE_OF = {"vera": "viewer", "alice": "operator", "bob": "approver", "audrey": "auditor"}


def routes() -> list[tuple[str, str, Any]]:
    """(method, path, handler) of everything there is."""
    return [
        (method, path, handler)
        for handler in ROUTES
        for path in sorted(handler.paths)
        for method in sorted(handler.http_methods)
    ]


def filled(path: str) -> str:
    """A path with something in its place."""
    for name, value in {
        "{netting_set:str}": "hk",
        "{proposal:str}": "p-1",
        "{sequence:int}": "1",
        "{payment:str}": "00000000-0000-4000-8000-000000000001",
        "{participant:str}": "ALPHA",
        "{path:path}": "x.js",
    }.items():
        path = path.replace(name, value)
    assert "{" not in path, path
    return path


async def asked(browser: Browser, method: str, path: str) -> int:
    if method == "GET":
        reply = await browser.get(filled(path), netting_set="hk", q="x", asset="HKD")
    else:
        reply = await browser.post(filled(path), {})
    return reply.status_code


def test_every_route_says_who_may_and_only_these_are_public() -> None:
    public = {path for _, path, handler in routes() if handler.opt.get("public")}
    assert public == PUBLIC
    for method, path, handler in routes():
        right = handler.opt.get("right")
        assert (right in NEEDS) != (path in PUBLIC), f"{method} {path}"


async def test_without_a_session_every_route_refuses(stage: Stage) -> None:
    async with stage.client() as nobody:
        for method, path, _ in routes():
            if path not in PUBLIC and path != "/api/stream":
                assert await asked(nobody, method, path) == 401, f"{method} {path}"
        assert (await nobody.get("/api/stream")).status_code == 401


@pytest.mark.parametrize("user", sorted(ROLE_OF))
async def test_every_route_refuses_a_role_that_is_not_its_own(stage: Stage, user: str) -> None:
    async with stage.client() as browser:
        assert (await browser.login(user)).status_code == 200
        for method, path, handler in routes():
            if path in PUBLIC or path in ("/api/stream", "/api/logout"):
                continue
            status = await asked(browser, method, path)
            may = ROLE_OF[user] in NEEDS[handler.opt["right"]]
            assert (status == 403) != may or (may and path.endswith("withdraw")), (
                f"{user}: {method} {path} {status}"
            )
    assert stage.told == []


async def test_a_route_without_a_right_would_be_nobodys(stage: Stage) -> None:
    export = next(handler for _, path, handler in routes() if path == "/api/audit/export")
    right = export.opt.pop("right")
    try:
        async with stage.client() as browser:
            await browser.login("audrey")
            assert (await browser.get("/api/audit/export", netting_set="hk")).status_code == 403
    finally:
        export.opt["right"] = right


# --- sessions, CSRF --------------------------------------------------------------------------------------------


async def test_the_sessions_cookie_is_for_the_browser_alone(stage: Stage) -> None:
    async with stage.client() as browser:
        cookie = (await browser.login("alice")).headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "path=/" in cookie
        assert "domain" not in cookie
        assert browser.csrf not in cookie


async def test_over_https_the_cookie_is_this_hosts_alone(town: Town, tmp_path: Path) -> None:
    stage = Stage(town, tmp_path, Front(public_url="https://clearing.example"))
    async with stage.client() as browser:
        reply = await browser.post(
            "/api/login",
            {"user": "alice", "password": PASSWORD},
            Host="clearing.example",
            Origin="https://clearing.example",
        )
        assert reply.status_code == 200
        assert reply.headers["set-cookie"].startswith("__Host-clearing_session=")
        assert "secure" in reply.headers["set-cookie"].lower()
        assert "max-age=31536000" in reply.headers["strict-transport-security"]


async def test_logging_in_anew_ends_the_session_before_and_logging_out_the_last(
    stage: Stage,
) -> None:
    async with stage.client() as browser:
        await browser.login("alice")
        first = browser.client.cookies["clearing_session"]
        await browser.login("alice")
        assert browser.client.cookies["clearing_session"] != first
        assert stage.desk.sessions.find(first) is None
        second = browser.client.cookies["clearing_session"]
        assert (await browser.post("/api/logout", {})).status_code == 204
        assert stage.desk.sessions.find(second) is None
        assert (await browser.get("/api/overview")).status_code == 401


async def test_a_role_taken_away_is_gone_with_the_next_request(
    stage: Stage, alice: Browser
) -> None:
    assert "act" in (await alice.get("/api/session")).json()["may"]
    stage.desk.accounts.add("alice", ["viewer"], PASSWORD)
    assert (await alice.post("/api/actions", {})).status_code == 403
    stage.desk.accounts.remove("alice")
    assert (await alice.get("/api/overview")).status_code == 401
    assert (await alice.get("/api/session")).json()["user"] is None


@pytest.mark.parametrize(
    "headers",
    [
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "another"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
    ],
    ids=str,
)
async def test_a_page_of_somebody_else_changes_nothing(
    stage: Stage, alice: Browser, headers: dict[str, str]
) -> None:
    order = await _suspension(alice)
    reply = await alice.post("/api/actions", order, **headers)
    assert (reply.status_code, reply.json()["code"]) == (403, "CSRF")
    assert stage.told == []
    assert (await alice.post("/api/actions", order)).status_code == 200
    assert len(stage.told) == 1


async def test_nobody_is_logged_in_by_a_page_of_somebody_else(stage: Stage) -> None:
    async with stage.client() as browser:
        body = {"user": "alice", "password": PASSWORD}
        reply = await browser.post("/api/login", body, Origin="https://evil.example")
        assert (reply.status_code, "set-cookie" in reply.headers) == (403, False)


async def _suspension(browser: Browser) -> dict[str, Any]:
    wish = {"netting_set": "hk", "kind": "suspend", "fields": {"participant": "BRAVO"}}
    tried = await browser.posted("/api/actions/preview", wish)
    return {"netting_set": "hk", "command": tried["command"], "hash": tried["hash"]}


# --- log-in ----------------------------------------------------------------------------------------------------


async def test_a_wrong_password_and_an_unknown_name_are_told_alike(stage: Stage) -> None:
    async with stage.client() as browser:
        wrong = await browser.login("alice", PASSWORD + "x")
        unknown = await browser.login("mallory", PASSWORD)
        assert wrong.status_code == unknown.status_code == 401
        assert wrong.json() == unknown.json()


async def test_who_came_and_who_failed_is_in_the_log(stage: Stage) -> None:
    """By name and address; what is no name of ours is not repeated: it may be a password."""
    with capture_logs() as said:
        async with stage.client() as browser:
            await browser.login("hunter2-typed-here", PASSWORD)
            await browser.login("alice", PASSWORD + "x")
            await browser.login("alice", PASSWORD)
    told = [(line["event"], line["user"]) for line in said if str(line["event"]).startswith("log")]
    assert told == [("login_failed", "unknown"), ("login_failed", "alice"), ("logged_in", "alice")]
    assert "hunter2" not in str(said)


async def test_guessing_is_slowed_down(stage: Stage) -> None:
    async with stage.client() as browser:
        for _ in range(TRIES):
            assert (await browser.login("alice", "wrong password")).status_code == 401
        refused = await browser.login("alice", PASSWORD)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
        assert (await browser.login("bob")).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user": "alice"},
        {"user": "alice", "password": 1},
        {"user": "", "password": PASSWORD},
        {"user": "alice", "password": "x" * 257},
        {"user": "alice", "password": PASSWORD, "role": "approver"},
        [],
    ],
)
async def test_what_is_no_log_in(stage: Stage, body: Any) -> None:
    async with stage.client() as browser:
        reply = await browser.post("/api/login", body)
        assert (reply.status_code, reply.json()["code"]) == (400, "BAD_REQUEST")


# --- hosts, headers, proxy -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil:8780"]
)
async def test_another_host_name_is_not_answered(alice: Browser, host: str) -> None:
    """DNS rebinding: a page of evil.example, whose name has come to mean this host."""
    reply = await alice.client.get("/api/overview", headers={"Host": host})
    assert reply.status_code == 421
    assert "data" not in reply.json()


@pytest.mark.parametrize(
    "path", ["/", "/web/none.js", "/api/session", "/api/overview", "/nothing", "/web/../app.py"]
)
async def test_every_answer_has_its_headers(stage: Stage, path: str) -> None:
    async with stage.client() as browser:
        headers = (await browser.get(path)).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] in ("no-store", "no-cache")


async def test_only_the_pages_own_files_are_given_out(stage: Stage) -> None:
    async with stage.client() as browser:
        first = await browser.get("/")
        assert (first.status_code, first.text) == (200, "<!doctype html>")
        assert first.headers["content-type"] == "text/html; charset=utf-8"
        again = await browser.client.get("/", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.text) == (304, "")
        for path in ("/web/accounts.json", "/web/..%2Fapp.py", "/web//etc/passwd"):
            assert (await browser.get(path)).status_code == 404


def proxied(town: Town, folder: Path, proxies: str) -> Stage:
    networks = (ipaddress.ip_network(proxies),)
    return Stage(town, folder, Front(trusted_header="X-Auth-Request-User", proxies=networks))


async def test_a_trusted_proxy_says_who_has_logged_in(town: Town, tmp_path: Path) -> None:
    async with proxied(town, tmp_path, "127.0.0.0/8").client() as browser:
        browser.client.headers["X-Auth-Request-User"] = "alice"
        session = (await browser.get("/api/session")).json()
        assert (session["user"], session["login"]) == ("alice", "proxy")
        assert (await browser.get("/api/overview")).status_code == 200
        assert (await browser.login("bob")).status_code == 403
        # The proxy says somebody else, or nobody: the session is nobody's.
        browser.client.headers["X-Auth-Request-User"] = "bob"
        assert (await browser.get("/api/overview")).status_code == 401
        assert (await browser.get("/api/session")).json()["user"] == "bob"
        del browser.client.headers["X-Auth-Request-User"]
        assert (await browser.get("/api/overview")).status_code == 401


@pytest.mark.parametrize("user", ["mallory", "", "alice "])
async def test_whom_no_account_knows_is_nobody(town: Town, tmp_path: Path, user: str) -> None:
    async with proxied(town, tmp_path, "127.0.0.0/8").client() as browser:
        browser.client.headers["X-Auth-Request-User"] = user
        assert (await browser.get("/api/session")).json()["user"] is None or user == "alice "


async def test_groups_of_the_proxy_say_the_roles(town: Town, tmp_path: Path) -> None:
    """Nobody needs an account; a role that the proxy takes away is gone with the next request."""
    front = Front(
        trusted_header="X-Auth-Request-User",
        proxies=(ipaddress.ip_network("127.0.0.0/8"),),
        groups_header="X-Auth-Request-Groups",
        roles_of={"desk": "operator", "heads": "approver"},
    )
    async with Stage(town, tmp_path, front).client() as browser:
        said = browser.client.headers
        said["X-Auth-Request-User"], said["X-Auth-Request-Groups"] = "zoe", "staff, heads,desk"
        session = (await browser.get("/api/session")).json()
        assert (session["user"], session["roles"]) == ("zoe", ["operator", "approver"])
        said["X-Auth-Request-Groups"] = "staff"
        assert (await browser.get("/api/overview")).status_code == 401
        session = (await browser.get("/api/session")).json()
        assert (session["user"], session["named"]) == (None, "zoe")
        # An account here means nothing then, and what is no name stands in no log.
        for name, groups in (("alice", ""), ("zoe zoe", "desk"), ("", "desk")):
            said["X-Auth-Request-User"], said["X-Auth-Request-Groups"] = name, groups
            assert (await browser.get("/api/session")).json()["user"] is None


async def test_the_header_of_somebody_else_is_not_believed(town: Town, tmp_path: Path) -> None:
    async with proxied(town, tmp_path, "10.9.8.7").client() as browser:
        browser.client.headers["X-Auth-Request-User"] = "alice"
        assert (await browser.get("/api/session")).json()["user"] is None
        assert (await browser.get("/api/overview")).status_code == 401


async def test_without_a_proxy_the_header_means_nothing(stage: Stage) -> None:
    async with stage.client() as browser:
        browser.client.headers["X-Auth-Request-User"] = "alice"
        assert (await browser.get("/api/session")).json()["user"] is None


def test_everybody_of_these_tests_has_an_account() -> None:
    assert set(ROLE_OF) <= set(PEOPLE)
    assert ORIGIN.startswith("http://")
