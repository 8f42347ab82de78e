"""Free TCP ports on the loopback address."""

import random
import socket

# Below the ports that Linux gives to outgoing connections: one of those could take a port
# between its choice here and the start of its daemon.
_CANDIDATES = range(20000, 32000)


def choose_free_ports(num_ports: int) -> list[int]:
    """Different ports that nobody listens on now, at random so that test sessions differ."""
    # Not the global generator: a test session that seeds it would always get the same ports.
    candidates = random.SystemRandom().sample(_CANDIDATES, len(_CANDIDATES))
    free = (port for port in candidates if is_free(port))
    return [next(free) for _ in range(num_ports)]


def is_free(port: int) -> bool:
    """Whether a daemon could listen on the port."""
    with socket.socket() as probe:
        try:
            # On all addresses, so that a daemon that listens on another one is noticed too.
            probe.bind(("", port))
        except OSError:
            return False
        return True


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections to the port on the loopback address."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def own_name_is_loopback() -> bool:
    """Whether this machine's own name stands for 127.0.0.1 (on Debian it may be 127.0.1.1)."""
    try:
        return socket.gethostbyname(socket.gethostname()) == "127.0.0.1"
    except OSError:
        return False
