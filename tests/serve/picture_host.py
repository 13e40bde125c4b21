"""HTTP servers on loopback that say what a test wants, byte by byte, and note what they were asked; certificates for them."""

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Say = Callable[[asyncio.StreamWriter, str], Awaitable[None]]


@dataclass
class Host:
    """A server's port, the requests that it got (headers and all), and the names that TLS clients asked for."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    num_connections: int = 0
    names: list[str | None] = field(default_factory=list)


@asynccontextmanager
async def listening(say: Say, *, address: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[Host]:
    """A server that hands each request's path to `say`."""
    host = Host()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host.num_connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            host.asked.append(head)
            await say(writer, head.split(" ")[1])
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    if tls:
        tls.sni_callback = lambda _, name, __: host.names.append(name)
    server = await asyncio.start_server(connected, address, port, ssl=tls)
    host.port = server.sockets[0].getsockname()[1]
    try:
        yield host
    finally:
        server.close()


def saying(*pieces: bytes, pause_s: float = 0.0) -> Say:
    """Sends the pieces, one after the other."""

    async def say(writer: asyncio.StreamWriter, path: str) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return say


def ok(body: bytes, *headers: str) -> bytes:
    """A whole answer."""
    return "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers, "", ""]).encode() + body


def moved(location: str, status: int = 302) -> bytes:
    """A redirect."""
    return f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


def server_context(folder: Path, name: str, *, days: tuple[int, int] = (-1, 1)) -> tuple[ssl.SSLContext, Path]:
    """TLS for a server of that name, self-signed and valid between those days from now, and the certificate that a client may trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start, end = (dt.datetime.now(dt.UTC) + dt.timedelta(days=day) for day in days)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(end)
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    signed = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    certificate, secret = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, secret)
    return context, certificate
