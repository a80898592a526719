#!/bin/sh
# Runs a command in a network and mount namespace of its own: lo is up, /run is an empty tmpfs, /sys shows the new namespace.
# Nothing that the command does to networking reaches the machine. Works as root and, through a user namespace, as anyone.
#
#   scripts/in-namespace.sh COMMAND [ARGUMENT...]
#
# NETMODE_TEST_BUILD=FOLDER   mounts FOLDER over build/Release: the tests run on another build of the addon.
# NETMODE_TEST_PRELOAD=FILE   becomes LD_PRELOAD of the command alone (a sanitizer's run-time library).
# NETMODE_PRIVATE=1           is set for the command: only then may a test change networking.
set -eu

if [ "${1-}" != --inside ]; then
  if [ "$(id -u)" = 0 ]; then
    unshare='unshare --net --mount --propagation private'
  else
    unshare='unshare --user --map-root-user --net --mount --propagation private'
  fi
  if ! $unshare true 2>/dev/null; then
    # Tests that need no privilege still run; the others see that NETMODE_PRIVATE is not set.
    unset NETMODE_PRIVATE
    exec "$@"
  fi
  exec $unshare "$0" --inside "$@"
fi
shift

mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/netns
mount -t sysfs sysfs /sys 2>/dev/null || true
ip link set lo up
if [ -n "${NETMODE_TEST_BUILD-}" ]; then
  mount --bind "$NETMODE_TEST_BUILD" "$(dirname "$0")/../build/Release"
  unset NETMODE_TEST_BUILD
fi
export NETMODE_PRIVATE=1
if [ -n "${NETMODE_TEST_PRELOAD-}" ]; then
  preload=$NETMODE_TEST_PRELOAD
  unset NETMODE_TEST_PRELOAD
  exec env LD_PRELOAD="$preload" "$@"
fi
exec "$@"
