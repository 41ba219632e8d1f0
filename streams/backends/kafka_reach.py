"""Why a broker is not reached. Clients try for a while and then say that time is up, whatever stood in the way."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable

LOOK_SECONDS = 2.0
"""How long one broker is waited for."""
AFTERWARDS_SECONDS = 0.5
"""Within this a broker that wants a certificate hangs up on who has shown none."""


def why_not_reached(brokers: Iterable[str], context: ssl.SSLContext | None) -> str | None:
    """What stands in the way of the first of these (HOST:PORT) that cannot be spoken to, with TLS where a context is
    given; None where each could be. For who could not reach any: takes up to some seconds."""
    return next((why for broker in brokers if (why := _look(broker, context))), None)


def _look(broker: str, context: ssl.SSLContext | None) -> str | None:
    host, _, port = broker.rpartition(":")
    host = host.strip("[]")
    try:
        connection = socket.create_connection((host, int(port)), LOOK_SECONDS)
    except socket.gaierror:
        return f"no machine is known by the name of {broker}"
    except TimeoutError:
        return f"nobody answers at {broker}"
    except OSError as error:
        return f"nobody takes connections at {broker}: {error.strerror}"
    with connection:
        why = _look_in_the_clear(connection) if context is None else _look_by_tls(connection, host, context)
    return why and f"{broker} {why}"


def _look_in_the_clear(connection: socket.socket) -> str | None:
    unproven = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # nothing is sent but the greeting
    unproven.check_hostname, unproven.verify_mode = False, ssl.CERT_NONE
    try:
        with unproven.wrap_socket(connection):
            return "speaks TLS; set kafka_tls"
    except OSError:
        return None


def _look_by_tls(connection: socket.socket, host: str, context: ssl.SSLContext) -> str | None:
    try:
        secured = context.wrap_socket(connection, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        return f"shows a certificate that is not trusted ({error.verify_message}); look at kafka_ca"
    except TimeoutError:
        return "takes connections and does not answer"
    except OSError:
        return "does not speak TLS, or refuses the certificate it was shown; look at kafka_tls, kafka_certificate"
    with secured:
        secured.settimeout(AFTERWARDS_SECONDS)
        try:
            secured.recv(1)
        except ssl.SSLError as error:
            return (
                None if isinstance(error, TimeoutError) else "wants a certificate; look at kafka_certificate"
            )
        except OSError:
            return None
    return None
