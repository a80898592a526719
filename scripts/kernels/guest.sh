#!/bin/sh
# The first process of the machine under QEMU, once it has this file system: prepares what tests need, runs them, switches the machine off.
#
#   scripts/kernels/guest.sh NODE 'TEST-FILE...' 'TEST-FILE...' [OPTION-OF-VITEST...]
#
# The files named first may run at once. The others follow: they change what the whole machine has.
# /dev/ttyS0 is the console, /dev/ttyS1 takes the report: one line of JSON a test file, and one at the end.
node=$1 shared=$2 alone=$3
shift 3
export PATH="$(dirname "$node"):/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" HOME=/root
cd "$(dirname "$0")/../.."

mount -t tmpfs -o mode=755 run /run
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
ip link set lo up
stty -F /dev/ttyS1 raw

# The kernel loads by itself what a request names: types of links, expressions of nf_tables. Not so what only registers a hook or a device.
for module in br_netfilter tun nf_conntrack_bridge; do
  modprobe "$module"
done

export NETMODE_TEST_LINES=/dev/ttyS1 NETMODE_OWN_MACHINE=1
status=0
suite() {
  "$node" node_modules/vitest/vitest.mjs run --reporter=dot --reporter=./test/setup/line-reporter.ts \
    --testTimeout=900000 --hookTimeout=900000 "$@" || status=$?
}
# shellcheck disable=SC2086 # several words
[ -z "$shared" ] || suite --maxWorkers="$(nproc)" $shared "$@"
# shellcheck disable=SC2086
[ -z "$alone" ] || suite --maxWorkers=1 $alone "$@"
taint=$(cat /proc/sys/kernel/tainted)
[ "$taint" = 0 ] || dmesg | tail -200
echo "{\"status\":$status,\"taint\":$taint}" >/dev/ttyS1
sync
echo o >/proc/sysrq-trigger
sleep 60
