#!/bin/sh
# The first process in the private namespace: a host with a neighbour that answers to the address that the cases ping, and then the cases.
set -eu
ip netns add outside
ip link add eth0 type veth peer name eth0 netns outside
for command in 'link set eth0 up' 'address add 198.51.100.1/24 dev eth0' 'route add default via 198.51.100.2'; do
  # shellcheck disable=SC2086 # several words
  ip $command
done
for command in 'link set lo up' 'link set eth0 up' 'address add 198.51.100.2/24 dev eth0' 'address add 8.8.8.8/32 dev lo'; do
  # shellcheck disable=SC2086
  ip -n outside $command
done
# The ping whose words the cases read.
mkdir /run/applets /run/dnet
ln -s "$(command -v busybox)" /run/applets/ping
exec "$@"
