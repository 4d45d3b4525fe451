"""FAULTS 42, 44: flapping, redirecting, hanging, endless and lying services, and addresses that are not to be asked."""

import socket
import threading
import time
from contextlib import ExitStack
from ipaddress import ip_network

import pytest

from tagship.health import HttpCheck, Verdict
from tagship.health import asking as http
from tagship.health.http import JsonValue
from tagship.health.sampling import BUDGET_SECONDS
from tests.unit.health.servers import LOOPBACK, an_http_check, dripping, http_answer, saying, serving

PUBLIC = "93.184.215.14"


def asked(check, *, allowed=LOOPBACK, **given):
    return http.check(check, name="http it", allowed=allowed, **given)


def nobody_resolves(host, port):
    raise AssertionError(f"{host} was looked up")


def resolving_to(*addresses):
    return lambda host, port: list(addresses)


class TestAnswers:
    def test_the_right_status_text_and_speed_are_healthy(self):
        with serving(saying(http_answer(body=b"all is well"))) as server:
            result = asked(an_http_check(server.url(), contains="is well", requests=3, mustPass=3))
        assert result.verdict is Verdict.HEALTHY
        assert result.numbers["passed"] == 3
        assert result.numbers["lastStatus"] == 200
        assert "firstFailure" not in result.numbers
        assert result.check == "http it"

    def test_the_request_has_the_expected_headers_and_names_the_sender(self):
        with serving(saying(http_answer())) as server:
            asked(an_http_check(server.url("/deep/health?full=1#part")))
        lines = server.requests[0].decode().split("\r\n")
        assert lines[0] == "GET /deep/health?full=1 HTTP/1.1"
        assert f"Host: 127.0.0.1:{server.port}" in lines
        assert "User-Agent: tagship-health/1" in lines
        assert "Connection: close" in lines

    def test_an_empty_path_requests_the_root(self):
        with serving(saying(http_answer())) as server:
            asked(an_http_check(f"http://127.0.0.1:{server.port}"))
        assert server.requests[0].startswith(b"GET / HTTP/1.1\r\n")

    def test_another_status_is_unhealthy(self):
        with serving(saying(http_answer(503))) as server:
            result = asked(an_http_check(server.url()))
        assert result.verdict is Verdict.UNHEALTHY
        assert result.numbers["firstFailure"] == "status 503, not 200"
        assert result.numbers["lastStatus"] == 503

    def test_the_expected_status_can_differ_from_200(self):
        with serving(saying(http_answer(401))) as server:
            assert asked(an_http_check(server.url(), status=401)).verdict is Verdict.HEALTHY

    def test_the_right_status_with_the_wrong_body_is_unhealthy(self):
        """Fault 44."""
        with serving(saying(http_answer(body=b"database: down"))) as server:
            result = asked(an_http_check(server.url(), contains="database: up"))
        assert result.verdict is Verdict.UNHEALTHY
        assert result.numbers["firstFailure"] == "the body does not contain 'database: up'"

    def test_the_expected_text_ignores_case(self):
        with serving(saying(http_answer(body="état: prêt".encode()))) as server:
            assert asked(an_http_check(server.url(), contains="prêt")).verdict is Verdict.HEALTHY

    def test_a_chunked_response_is_joined(self):
        chunked = (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nall i\r\n6\r\ns well\r\n0\r\n\r\n"
        )
        with serving(saying(chunked)) as server:
            assert asked(an_http_check(server.url(), contains="all is well")).verdict is Verdict.HEALTHY

    def test_a_slow_response_is_unhealthy(self):
        server_time = ServerTime(0.15)
        with serving(server_time.answer) as server:
            result = asked(an_http_check(server.url(), maxLatencyMs=100), clock=server_time)
        assert result.verdict is Verdict.UNHEALTHY
        assert "the limit is 100 ms" in result.why
        assert result.numbers["slowestMs"] == 150

    def test_a_flapping_service_is_judged_by_n_of_m(self):
        """Fault 42."""
        flapping = saying(http_answer(), http_answer(500), http_answer(), http_answer(500), http_answer())
        with serving(flapping) as server:
            result = asked(an_http_check(server.url(), requests=5, mustPass=3))
        assert result.verdict is Verdict.HEALTHY
        assert result.numbers["passed"] == 3
        with serving(flapping) as server:
            result = asked(an_http_check(server.url(), requests=5, mustPass=4))
        assert result.verdict is Verdict.UNHEALTHY
        assert result.numbers["firstFailure"] == "status 500, not 200"

    def test_a_redirect_is_only_a_status_and_is_not_followed(self):
        """Fault 44."""
        with serving(saying(http_answer())) as elsewhere:
            for target in ("http://169.254.169.254/latest/meta-data/", elsewhere.url("/secret")):
                with serving(saying(http_answer(302, Location=target))) as server:
                    result = asked(an_http_check(server.url()))
                assert result.verdict is Verdict.UNHEALTHY
                assert (
                    result.numbers["firstFailure"] == "status 302, a redirect, which is not followed, not 200"
                )
                assert len(server.requests) == 1
            with serving(saying(http_answer(302, Location=elsewhere.url("/secret")))) as server:
                assert asked(an_http_check(server.url(), status=302)).verdict is Verdict.HEALTHY
        assert elsewhere.requests == []

    def test_proxies_from_the_environment_are_ignored(self, monkeypatch):
        with serving(saying(http_answer(502))) as proxy, serving(saying(http_answer())) as server:
            for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            assert asked(an_http_check(server.url())).verdict is Verdict.HEALTHY
        assert proxy.requests == []


class ServerTime:
    """A clock that only a server's answers move, by so many seconds each: a busy machine makes no answer slower."""

    def __init__(self, *seconds):
        self.now, self.seconds = 0.0, seconds

    def __call__(self):
        return self.now

    def answer(self, connection, number):
        self.now += self.seconds[min(number, len(self.seconds) - 1)]
        connection.sendall(http_answer())


def slowly(seconds, *answers):
    def answer(connection, number):
        threading.Event().wait(seconds)
        connection.sendall(answers[min(number, len(answers) - 1)])

    return answer


class TestJson:
    @pytest.mark.parametrize(
        "path, equals, found",
        [
            ("status", "ok", True),
            ("status", "OK", False),
            ("parts[0].queue", 0, True),
            ("parts[0].queue", False, False),
            ("parts[?name == 'till'].open | [0]", True, True),
            ("parts[?name == 'till'].open | [0]", 1, False),
            ("length(parts)", 2, True),
            ("ratio", 0.5, True),
            ("nowhere", "null", False),
            ("parts", "x", False),
        ],
    )
    def test_a_json_path_in_the_body_must_have_a_value(self, path, equals, found):
        body = b'{"status": "ok", "ratio": 0.5, "parts": [{"queue": 0}, {"name": "till", "open": true}]}'
        with serving(saying(http_answer(body=body))) as server:
            result = asked(an_http_check(server.url(), json=JsonValue(path=path, equals=equals)))
        assert (result.verdict is Verdict.HEALTHY) == found

    @pytest.mark.parametrize(
        "body, path, why",
        [
            (b'{"status": "<b>down</b>"}', "status", 'status is "<b>down</b>", not "ok"'),
            (b"{}", "status", 'status is null, not "ok"'),
            (b"all is well", "status", "the body is not JSON of at most 64 KiB"),
            (b"[" * 60_000, "status", "the body is not JSON of at most 64 KiB"),
            (b'"' + b"x" * 70_000 + b'"', "@", "the body is not JSON of at most 64 KiB"),
            (b'{"status": 1}', "length(status)", "length(status) cannot be evaluated"),
        ],
        ids=lambda value: str(value)[:30],
    )
    def test_the_actual_value_is_shown(self, body, path, why):
        with serving(saying(http_answer(body=body))) as server:
            result = asked(an_http_check(server.url(), json=JsonValue(path=path, equals="ok")))
        assert result.verdict is Verdict.UNHEALTHY
        assert result.numbers["firstFailure"].startswith(why)


class TestPercentile:
    def test_a_share_of_the_responses_may_be_slow(self):
        server_time = ServerTime(0.01, 0.01, 0.3, 0.01, 0.01)
        with serving(server_time.answer) as server:
            fields = {"requests": 5, "mustPass": 5, "maxLatencyMs": 200}
            result = asked(an_http_check(server.url(), **fields), clock=server_time)
        assert result.verdict is Verdict.UNHEALTHY
        with serving(server_time.answer) as server:
            result = asked(an_http_check(server.url(), percentile=80, **fields), clock=server_time)
        assert result.verdict is Verdict.HEALTHY
        assert (result.numbers["p80Ms"], result.numbers["slowestMs"]) == (10, 300)
        with serving(server_time.answer) as server:
            result = asked(an_http_check(server.url(), percentile=81, **fields), clock=server_time)
        assert result.verdict is Verdict.UNHEALTHY
        assert result.numbers["p81Ms"] == 300
        assert "81 % of the answers took up to 3" in result.why


class TestRedirects:
    """FAULT 44: a redirect leads only where the check allows, and what it leads to is vetted as the first address was."""

    def asked(self, server, *, follow, **fields):
        def resolve(host, port):
            return ["10.0.0.7" if host == "inside.example.com" else "127.0.0.1"]

        return asked(
            an_http_check(server.url(host="shop.example.com"), followTo=follow, **fields), resolve=resolve
        )

    def test_a_redirect_is_followed_to_a_listed_host_and_to_the_same_host(self):
        with serving(saying(http_answer(body=b"here it is"))) as elsewhere:
            there = elsewhere.url("/new", host="www.example.com")
            with serving(
                saying(http_answer(301, Location="/again"), http_answer(302, Location=there))
            ) as server:
                result = self.asked(server, follow=("www.example.com",), contains="here it is")
        assert result.verdict is Verdict.HEALTHY
        assert [request.split(b" ")[1] for request in server.requests] == [b"/health", b"/again"]
        assert elsewhere.requests[0].startswith(b"GET /new HTTP/1.1\r\n")
        assert b"\r\nHost: www.example.com:" in elsewhere.requests[0]

    @pytest.mark.parametrize(
        "location, why",
        [
            ("http://other.example.com/", "other.example.com is not in followTo"),
            ("http://169.254.169.254/latest/meta-data/", "169.254.169.254 is not in followTo"),
            ("http://inside.example.com/", "inside.example.com resolves to 10.0.0.7, which is private"),
            ("ftp://www.example.com/", "only http and https are supported, not ftp"),
            ("http://ana:secret@www.example.com/", "the URL contains a user name or password"),
            ("//www.example.com:99999/", "the URL cannot be parsed"),
        ],
    )
    def test_a_redirect_is_not_followed_anywhere_else(self, location, why):
        """Fault 44."""
        with serving(saying(http_answer(302, Location=location))) as server:
            result = self.asked(server, follow=("www.example.com", "inside.example.com"))
        assert result.verdict is Verdict.UNHEALTHY
        assert f"a redirect leads to an address that is not allowed: {why}" in result.why
        assert "secret" not in result.why
        assert len(server.requests) == 1

    def test_a_redirect_loop_ends(self):
        with serving(saying(http_answer(302, Location="/health"))) as server:
            result = self.asked(server, follow=("www.example.com",))
        assert result.numbers["firstFailure"] == f"more than {http.MOST_REDIRECTS} redirects"
        assert len(server.requests) == http.MOST_REDIRECTS + 1

    def test_all_hops_share_one_deadline(self):
        with serving(slowly(0.4, http_answer(302, Location="/health"))) as server:
            result = self.asked(server, follow=("www.example.com",), timeoutSeconds=1)
        assert result.numbers["firstFailure"] == "no complete answer within 1 s"
        assert len(server.requests) < http.MOST_REDIRECTS

    def test_an_expected_redirect_is_not_followed(self):
        with serving(saying(http_answer(302, Location="/login"))) as server:
            assert self.asked(server, follow=("www.example.com",), status=302).verdict is Verdict.HEALTHY
        assert len(server.requests) == 1


class TestManyAddresses:
    def of(self, urls, **fields):
        return asked(
            HttpCheck(type="http", url=None, urls=tuple(urls), **{"requests": 1, "mustPass": 1} | fields)
        )

    def test_every_address_must_be_healthy_and_the_others_are_named(self):
        with serving(saying(http_answer())) as good, serving(saying(http_answer(500))) as bad:
            result = self.of([good.url("/a"), good.url("/b")])
            assert result.verdict is Verdict.HEALTHY
            assert result.why == "2 of 2 addresses are healthy."
            result = self.of([good.url("/a"), bad.url("/sick"), good.url("/b")])
        assert result.verdict is Verdict.UNHEALTHY
        assert result.why.startswith(
            f"1 of 3 addresses are unhealthy: {bad.url('/sick')}: 0 of 1 requests passed"
        )
        assert (result.numbers["addresses"], result.numbers["unhealthy"]) == (3, 1)

    def test_a_forbidden_address_does_not_hide_an_unhealthy_one(self):
        with serving(saying(http_answer(500))) as bad:
            assert self.of(["http://10.0.0.1/", bad.url()]).verdict is Verdict.UNHEALTHY
        with serving(saying(http_answer())) as good:
            assert self.of(["http://10.0.0.1/", good.url()]).verdict is Verdict.ERROR

    def test_a_hundred_addresses_are_requested_at_the_same_time(self):
        """Each server answers only when all of them have been asked."""
        all_asked = threading.Barrier(100)

        def answer(connection, number):
            all_asked.wait(timeout=30)
            connection.sendall(http_answer())

        servers = [serving(answer) for _ in range(100)]
        with ExitStack() as stack:
            result = self.of(
                [stack.enter_context(server).url() for server in servers],
                timeoutSeconds=10,
                maxLatencyMs=10_000,
            )
        assert result.verdict is Verdict.HEALTHY, result.why

    def test_many_hanging_addresses_end_together(self):
        def hanging(connection, number):
            threading.Event().wait(2)

        with ExitStack() as stack:
            urls = [stack.enter_context(serving(hanging)).url() for _ in range(10)]
            begun = time.monotonic()
            result = self.of(urls, timeoutSeconds=1)
            took = time.monotonic() - begun
        assert result.verdict is Verdict.UNHEALTHY
        assert took < 8, "one after the other would take 10 s"
        assert "; and 5 more." in result.why


class TestServicesThatMisbehave:
    @pytest.mark.parametrize(
        "first,drop",
        [
            (b"", b"H"),
            (b"HTTP/1.1 200 OK\r\n", b"X-Drip: x\r\n"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b"x"),
            (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
            (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        ],
        ids=["status line", "headers", "body", "body without a length", "chunks", "100 Continue"],
    )
    def test_an_endlessly_slow_response_is_cut_off(self, first, drop):
        """Fault 44."""
        with serving(dripping(first, drop)) as server:
            begun = time.monotonic()
            result = asked(an_http_check(server.url(), timeoutSeconds=1))
            took = time.monotonic() - begun
        assert result.verdict is Verdict.UNHEALTHY
        assert result.numbers["firstFailure"] == "no complete answer within 1 s"
        assert 0.9 < took < 10

    def test_a_service_that_accepts_and_sends_nothing_is_cut_off(self):
        """Fault 44."""
        released = threading.Event()
        with serving(lambda connection, number: released.wait(5) and None) as server:
            result = asked(an_http_check(server.url(), timeoutSeconds=1))
            released.set()
        assert result.numbers["firstFailure"] == "no complete answer within 1 s"

    def test_many_hanging_requests_stay_far_below_the_states_timeout(self):
        """With a clock that says that every request took its whole time-out."""
        now = [0.0]

        def answer(connection, number):
            now[0] += 10

        with serving(answer) as server:
            check = an_http_check(server.url(), requests=20, mustPass=1, timeoutSeconds=10)
            result = asked(check, clock=lambda: now[0])
        assert now[0] <= BUDGET_SECONDS
        assert result.verdict is not Verdict.HEALTHY

    def test_only_the_beginning_of_a_huge_body_is_read(self):
        """Fault 44."""
        sent = []

        def answer(connection, number):
            connection.sendall(http_answer(body=b"ready", Content_Length=str(10**12)))
            piece = b"x" * 65536
            while len(sent) < 10_000:
                connection.sendall(piece)
                sent.append(len(piece))

        with serving(answer) as server:
            result = asked(an_http_check(server.url(), contains="ready"))
        assert result.verdict is Verdict.HEALTHY
        assert sum(sent) < 64 * 1024 * 1024

    def test_text_after_the_first_64_kib_is_not_found(self):
        with serving(saying(http_answer(body=b"x" * 65536 + b"ready"))) as server:
            result = asked(an_http_check(server.url(), contains="ready"))
        assert result.verdict is Verdict.UNHEALTHY

    def test_a_chunk_with_a_negative_size_does_not_read_endlessly(self):
        sent = []

        def answer(connection, number):
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n")
            piece = b"x" * 65536
            while len(sent) < 10_000:
                connection.sendall(piece)
                sent.append(len(piece))

        with serving(answer) as server:
            result = asked(an_http_check(server.url(), contains="ready"))
        assert result.verdict is Verdict.UNHEALTHY
        assert sum(sent) < 64 * 1024 * 1024

    @pytest.mark.parametrize(
        "answer,why",
        [
            (b"", "the connection was closed without an answer"),
            (b"SSH-2.0-OpenSSH_9.6\r\n", "the answer is not HTTP: BadStatusLine"),
            (http_answer(body=b"half", Content_Length="100"), "the answer ended too early"),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf",
                "the answer ended too early",
            ),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nless than nothing",
                "the answer is not HTTP: ValueError",
            ),
            (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "the answer is not HTTP: HTTPException"),
        ],
        ids=[
            "nothing",
            "another protocol",
            "half a body",
            "half a chunk",
            "a negative chunk",
            "too many headers",
        ],
    )
    def test_an_incomplete_response_is_unhealthy(self, answer, why):
        with serving(saying(answer)) as server:
            result = asked(an_http_check(server.url()))
        assert result.verdict is Verdict.UNHEALTHY
        assert result.numbers["firstFailure"] == why

    def test_a_refused_connection_is_unhealthy(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        result = asked(an_http_check(f"http://127.0.0.1:{port}/", requests=3, mustPass=2))
        assert result.verdict is Verdict.UNHEALTHY
        assert result.numbers["firstFailure"] == "the connection failed: Connection refused"
        assert "lastStatus" not in result.numbers


class TestWhatIsNotAsked:
    @pytest.mark.parametrize(
        "url",
        [
            "ftp://shop.example.com/",
            "file:///etc/passwd",
            "gopher://shop.example.com/",
            "//shop.example.com/",
            "shop.example.com",
            "http:///health",
            "http://user:secret@shop.example.com/",
            "http://user@shop.example.com/",
            "http://@shop.example.com/",
            "http://public.example.com\\@shop.example.com/",
            "http://shop.example.com:0/",
            "http://shop.example.com:99999/",
            "http://shop.example.com:http/",
            "http://[::1/",
            "http://[fe80::1%25eth0]/",
            "http://shop.example.com/a b",
            "http://shop.example.com/\r\nX-Injected: 1",
            "http://shop.exa\tmple.com/",
            "http://bücher.example/",
            "http://shop%2eexample.com/",
            "",
        ],
    )
    def test_a_non_http_url_is_refused_without_resolving_it(self, url):
        result = asked(an_http_check(url), resolve=nobody_resolves)
        assert result.verdict is Verdict.ERROR
        assert result.why.startswith("Not checked: ")
        assert "secret" not in result.why

    @pytest.mark.parametrize(
        "address,reason",
        [
            ("169.254.169.254", "a metadata address"),
            ("fd00:ec2::254", "a metadata address"),
            ("::ffff:169.254.169.254", "a metadata address"),
            ("10.0.0.5", "private"),
            ("127.0.0.1", "loopback"),
            ("100.64.1.1", "shared address space"),
        ],
    )
    def test_a_name_that_resolves_to_an_internal_address_is_refused_with_name_and_reason(
        self, address, reason
    ):
        """Fault 44."""
        result = asked(an_http_check("http://shop.example.com/"), allowed=(), resolve=resolving_to(address))
        assert result.verdict is Verdict.ERROR
        assert f"shop.example.com resolves to {address}, which is {reason}" in result.why

    @pytest.mark.parametrize(
        "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]", "[::ffff:127.0.0.1]"]
    )
    def test_loopback_is_refused_in_every_notation(self, host):
        with serving(saying(http_answer())) as server:
            result = asked(an_http_check(server.url(host=host)), allowed=())
        assert result.verdict is Verdict.ERROR
        assert "loopback" in result.why
        assert server.requests == []

    @pytest.mark.parametrize("host", ["169.254.169.254", "[fd00:ec2::254]", "[::ffff:169.254.169.254]"])
    def test_the_metadata_address_is_refused_even_if_every_network_is_allowed(self, host):
        """Fault 44."""
        result = asked(
            an_http_check(f"http://{host}/latest/meta-data/"),
            allowed=(ip_network("0.0.0.0/0"), ip_network("::/0")),
        )
        assert result.verdict is Verdict.ERROR
        assert "a metadata address" in result.why

    @pytest.mark.parametrize("addresses", [(PUBLIC, "10.0.0.5"), ("10.0.0.5", PUBLIC)])
    def test_a_name_that_resolves_to_external_and_internal_addresses_is_refused(self, addresses):
        result = asked(
            an_http_check("http://shop.example.com/"), allowed=(), resolve=resolving_to(*addresses)
        )
        assert result.verdict is Verdict.ERROR
        assert "10.0.0.5" in result.why

    def test_an_address_in_an_allowed_network_is_requested(self):
        with serving(saying(http_answer())) as server:
            result = asked(an_http_check(server.url()), allowed=(ip_network("127.0.0.1/32"),))
        assert result.verdict is Verdict.HEALTHY


class TestNames:
    def test_the_name_is_resolved_once_and_the_vetted_address_is_used(self):
        """DNS rebinding: the second answer would lead elsewhere, and nobody asks for it."""
        answers = iter([["127.0.0.1"], ["169.254.169.254"]])
        looked_up = []

        def resolve(host, port):
            looked_up.append((host, port))
            return next(answers)

        with serving(saying(http_answer())) as server:
            check = an_http_check(server.url(host="shop.example.com"), requests=5, mustPass=5)
            result = asked(check, resolve=resolve)
        assert result.verdict is Verdict.HEALTHY
        assert looked_up == [("shop.example.com", server.port)]
        assert len(server.requests) == 5
        assert all(f"Host: shop.example.com:{server.port}\r\n".encode() in got for got in server.requests)

    def test_no_other_code_uses_the_systems_resolver(self, monkeypatch):
        def only_numbers(host, port, *rest, **options):
            assert host == "127.0.0.1", f"{host} was looked up behind the resolver's back"
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]

        with serving(saying(http_answer())) as server:
            monkeypatch.setattr(socket, "getaddrinfo", only_numbers)
            check = an_http_check(server.url(host="shop.example.com"))
            result = asked(check, resolve=resolving_to("127.0.0.1"))
        assert result.verdict is Verdict.HEALTHY

    def test_if_one_address_does_not_answer_the_next_is_tried(self):
        with serving(saying(http_answer())) as server:
            check = an_http_check(server.url(host="shop.example.com"))
            result = asked(check, resolve=resolving_to("127.0.0.9", "127.0.0.1"))
        assert result.verdict is Verdict.HEALTHY

    @pytest.mark.parametrize(
        "error",
        [socket.gaierror(socket.EAI_NONAME, "Name or service not known"), UnicodeError("label too long")],
    )
    def test_an_unresolvable_name_is_unhealthy(self, error):
        def resolve(host, port):
            raise error

        result = asked(an_http_check("https://shop.example.com/"), resolve=resolve)
        assert result.verdict is Verdict.UNHEALTHY
        assert "The name shop.example.com cannot be resolved" in result.why

    def test_a_name_without_an_address_is_unhealthy(self):
        result = asked(an_http_check("https://shop.example.com/"), resolve=resolving_to())
        assert result.verdict is Verdict.UNHEALTHY
        assert result.why == "The name shop.example.com cannot be resolved: it has no address."

    def test_the_systems_resolver_returns_every_address_once(self):
        assert http.resolve("127.0.0.1", 80) == ["127.0.0.1"]
        assert "127.0.0.1" in http.resolve("localhost", 80)
