import socket

import psutil

from dbproxy.net.interfaces import list_interfaces


def test_kernel_tells_what_psutil_tells() -> None:
    found = {str(address) for address, _ in list_interfaces()}
    families = (socket.AF_INET, socket.AF_INET6)
    known = {
        entry.address.partition("%")[0]
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in families
    }
    assert found == known


def test_loopback_is_a_network_of_eight_bits() -> None:
    assert ("127.0.0.1", 8) in [(str(address), bits) for address, bits in list_interfaces()]
