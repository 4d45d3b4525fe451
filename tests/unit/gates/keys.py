"""KMS with true cryptography in memory: a digest is signed as it is, and refusals have AWS's names."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from tests.unit.tables import aws_error

_SHA256 = utils.Prehashed(hashes.SHA256())
_PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)


@cache
def private_key(name: str) -> Any:
    """The same key for the same name, in every test; `rsa …` for one of RSA, `p384 …` for another curve."""
    if name.startswith("rsa"):
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP384R1() if name.startswith("p384") else ec.SECP256R1())


@dataclass
class FakeKms:
    """Aliases and their keys."""

    keys: dict[str, str]
    fails_with: Exception | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)

    def sign(self, *, KeyId: str, Message: bytes, MessageType: str, SigningAlgorithm: str) -> Any:
        assert MessageType == "DIGEST" and len(Message) == 32
        key = self._key(KeyId, SigningAlgorithm)
        if SigningAlgorithm.startswith("RSA"):
            return {"Signature": key.sign(Message, _PSS, _SHA256)}
        return {"Signature": key.sign(Message, ec.ECDSA(_SHA256))}

    def verify(self, *, Signature: bytes, **said: Any) -> Any:
        self.asked.append(said)
        if self.fails_with:
            raise self.fails_with
        assert said["MessageType"] == "DIGEST" and len(said["Message"]) == 32
        algorithm = said["SigningAlgorithm"]
        public = self._key(said["KeyId"], algorithm).public_key()
        try:
            if algorithm.startswith("RSA"):
                public.verify(Signature, said["Message"], _PSS, _SHA256)
            else:
                public.verify(Signature, said["Message"], ec.ECDSA(_SHA256))
        except InvalidSignature as error:
            raise aws_error("KMSInvalidSignatureException", message="") from error
        return {"SignatureValid": True, "SigningAlgorithm": algorithm}

    def _key(self, alias: str, algorithm: str) -> Any:
        if alias not in self.keys:
            raise aws_error("NotFoundException", message=f"Alias {alias} is not found.")
        name = self.keys[alias]
        if name == "disabled":
            raise aws_error("DisabledException", message=f"{alias} is disabled.")
        if name.startswith("rsa") != algorithm.startswith("RSA") or name.startswith("p384"):
            raise aws_error(
                "InvalidKeyUsageException", message=f"{algorithm} is not valid for this key spec."
            )
        return private_key(name)


def signature(key: str, digest: str) -> bytes:
    """Signs a SHA-256 with the key of this name."""
    algorithm = "RSASSA_PSS_SHA_256" if key.startswith("rsa") else "ECDSA_SHA_256"
    kms = FakeKms(keys={"alias/it": key})
    answer = kms.sign(
        KeyId="alias/it", Message=bytes.fromhex(digest), MessageType="DIGEST", SigningAlgorithm=algorithm
    )
    return bytes(answer["Signature"])
