# Virtual machines without a machine: each is a network namespace with a TAP of its own, and every frame is carried between that and the TAP of a
# sandbox, as a VMM would. Arguments: SANDBOX-NAMESPACE TAP GUEST-NAMESPACE, again and again. Says "ready" when frames flow.
import ctypes
import fcntl
import os
import selectors
import struct
import sys

TUNSETIFF, IFF_TAP, IFF_NO_PI, CLONE_NEWNET = 0x400454CA, 0x0002, 0x1000, 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def attach(namespace, name):
    """A descriptor of the TAP of that name; made where there is none."""
    with open(namespace) as place:
        if libc.setns(place.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns " + namespace)
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return device


selector = selectors.DefaultSelector()
arguments = sys.argv[1:]
for sandbox, tap, guest in zip(arguments[0::3], arguments[1::3], arguments[2::3]):
    ends = attach(sandbox, tap), attach(guest, "eth0")
    selector.register(ends[0], selectors.EVENT_READ, ends[1])
    selector.register(ends[1], selectors.EVENT_READ, ends[0])
print("ready", flush=True)
while True:
    for key, _ in selector.select():
        try:
            os.write(key.data, os.read(key.fd, 65536))
        except OSError:
            pass  # the other end is not up yet, or gone: the frame is lost, as on any wire
