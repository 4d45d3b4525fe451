"""The certificate must be for the name in the URL, although an address is what is connected to."""

import ipaddress
import ssl
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tagship.health import Given, Verdict
from tagship.health import asking as http
from tests.unit.builders import subject
from tests.unit.health.servers import LOOPBACK, an_http_check, dripping, http_answer, saying, serving

USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A certificate authority: `authority(name)` is a server's TLS context, `authority.trusted()` a client's."""
    return Authority(tmp_path_factory.mktemp("authority"))


class Authority:
    def __init__(self, folder):
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's authority")])
        self.certificate = (
            self._builder(self.name, self.key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(**{use: use == "key_cert_sign" for use in USES}), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )

    def __call__(self, name):
        key = ec.generate_private_key(ec.SECP256R1())
        try:
            alternative = x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            alternative = x509.DNSName(name)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        certificate = (
            self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")]), key)
            .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
            .add_extension(issuer, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        file = self.folder / "server.pem"
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def trusted(self):
        pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()
        return ssl.create_default_context(cadata=pem)

    def _builder(self, subject, key):
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
        )


def over_tls(context):
    def wrap(plain, server):
        context.sni_callback = lambda connection, name, _: server.names.append(name)
        return context.wrap_socket(plain, server_side=True)

    return wrap


def asked(url, *, authority=None, wall=time.time, **fields):
    given = {"tls": authority.trusted} if authority else {}
    given["wall"] = wall
    return http.check(
        an_http_check(url, **fields),
        name="https it",
        allowed=LOOPBACK,
        resolve=lambda host, port: ["127.0.0.1"],
        **given,
    )


def test_the_vetted_address_must_present_a_certificate_for_the_name(authority):
    with serving(saying(http_answer()), wrap=over_tls(authority("shop.example.com"))) as server:
        url = server.url(host="shop.example.com", scheme="https")
        result = asked(url, authority=authority, contains="well", requests=2, mustPass=2)
    assert result.verdict is Verdict.HEALTHY
    assert server.names == ["shop.example.com"] * 2
    assert all(f"Host: shop.example.com:{server.port}\r\n".encode() in got for got in server.requests)


def test_a_name_with_a_trailing_dot_is_the_same_name(authority):
    with serving(saying(http_answer()), wrap=over_tls(authority("shop.example.com"))) as server:
        url = server.url(host="shop.example.com.", scheme="https")
        assert asked(url, authority=authority).verdict is Verdict.HEALTHY


def test_an_ip_address_in_the_url_needs_a_certificate_for_the_address(authority):
    with serving(saying(http_answer()), wrap=over_tls(authority("127.0.0.1"))) as server:
        assert asked(server.url(scheme="https"), authority=authority).verdict is Verdict.HEALTHY


@pytest.mark.parametrize("name", ["other.example.com", "127.0.0.1"])
def test_a_certificate_for_another_name_or_only_for_the_address_is_unhealthy(authority, name):
    with serving(saying(http_answer()), wrap=over_tls(authority(name))) as server:
        result = asked(server.url(host="shop.example.com", scheme="https"), authority=authority)
    assert result.verdict is Verdict.UNHEALTHY
    assert "the certificate was rejected" in result.why
    assert "shop.example.com" in result.numbers["firstFailure"]
    assert server.requests == []


def test_an_untrusted_certificate_is_unhealthy_by_default(authority):
    with serving(saying(http_answer()), wrap=over_tls(authority("shop.example.com"))) as server:
        result = asked(server.url(host="shop.example.com", scheme="https"))
    assert result.verdict is Verdict.UNHEALTHY
    assert "the certificate was rejected" in result.why


def test_a_server_without_tls_is_unhealthy(authority):
    with serving(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"), whole=False) as server:
        result = asked(server.url(host="shop.example.com", scheme="https"), authority=authority)
    assert result.verdict is Verdict.UNHEALTHY
    assert "TLS failed" in result.why


def test_an_endlessly_slow_response_is_cut_off_inside_tls_too(authority):
    endless = dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"x")
    with serving(endless, wrap=over_tls(authority("shop.example.com"))) as server:
        url = server.url(host="shop.example.com", scheme="https")
        result = asked(url, authority=authority, timeoutSeconds=1)
    assert result.numbers["firstFailure"] == "no complete answer within 1 s"
    assert result.numbers["slowestMs"] < 2000


def test_an_endless_handshake_is_cut_off(authority):
    """The server accepts the handshake and sends an endless record slowly."""
    with serving(dripping(b"\x16\x03\x03\x40\x00", b"\x02"), whole=False) as server:
        result = asked(
            server.url(host="shop.example.com", scheme="https"), authority=authority, timeoutSeconds=1
        )
    assert result.numbers["firstFailure"] == "no complete answer within 1 s"
    assert result.numbers["slowestMs"] < 2000


@pytest.mark.parametrize(
    "hours, days, verdict", [(0, 0, "unhealthy"), (-24, 1, "healthy"), (-240, 10, "healthy")]
)
def test_a_certificate_must_be_valid_for_the_configured_number_of_days(authority, hours, days, verdict):
    """Those of these tests are valid for one day more; the clock is moved instead."""
    with serving(saying(http_answer()), wrap=over_tls(authority("shop.example.com"))) as server:
        url = server.url(host="shop.example.com", scheme="https")
        result = asked(url, authority=authority, tlsDaysLeft=1, wall=lambda: time.time() + hours * 3600)
    assert result.verdict == verdict
    assert result.numbers["tlsDaysLeft"] == days
    if verdict == "unhealthy":
        assert "the certificate is valid for only 0 more days; at least 1 are required" in result.why


def test_a_redirect_from_https_to_http_is_not_followed(authority):
    with serving(saying(http_answer())) as plain:
        away = http_answer(302, Location=plain.url(host="shop.example.com"))
        with serving(saying(away), wrap=over_tls(authority("shop.example.com"))) as server:
            url = server.url(host="shop.example.com", scheme="https")
            result = asked(url, authority=authority, followTo=("shop.example.com",))
    assert "from https to http (shop.example.com)" in result.why
    assert plain.requests == []


def test_after_a_rollback_the_certificates_remaining_days_are_not_checked(monkeypatch):
    """A rollback does not extend the certificate, so the baseline would be called unhealthy."""
    passed = []
    monkeypatch.setattr(http, "check", lambda check, **_: passed.append(check.tlsDaysLeft))
    for whom in ("candidate", "baseline"):
        given = Given(name="it", application="a", tag="v1", client=None, subject=whom, offers=subject())
        an_http_check("https://shop.example.com", tlsDaysLeft=14).run(given)
    assert passed == [14, None]
