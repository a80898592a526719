"""Attaches with pyroute2, told what to do in lines of fields apart by tabs; answers nanoseconds.

make NAME LINK ADDRESS PREFIX GATEWAY BRIDGE
clear NAME LINK
"""
import sys
import time

from pyroute2 import IPRoute, NetNS, netns

host = IPRoute()


def make(name, link, address, prefix, gateway, bridge):
    netns.create(name)
    host.link('add', ifname=link, kind='veth', peer={'ifname': 'eth0', 'net_ns_fd': name})
    index = host.link_lookup(ifname=link)[0]
    host.link('set', index=index, master=host.link_lookup(ifname=bridge)[0], state='up')
    with NetNS(name) as inside:
        inside.link('set', index=inside.link_lookup(ifname='lo')[0], state='up')
        eth0 = inside.link_lookup(ifname='eth0')[0]
        inside.addr('add', index=eth0, address=address, prefixlen=int(prefix))
        inside.link('set', index=eth0, state='up')
        inside.route('add', dst='default', gateway=gateway)


def clear(name, link):
    host.link('del', index=host.link_lookup(ifname=link)[0])
    netns.remove(name)


for line in sys.stdin:
    command, *fields = line.rstrip('\n').split('\t')
    try:
        start = time.perf_counter_ns()
        {'make': make, 'clear': clear}[command](*fields)
        print(time.perf_counter_ns() - start, flush=True)
    except Exception as error:
        print(f'error {error!r}', flush=True)
