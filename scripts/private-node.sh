#!/bin/sh
# Node in a namespace of its own: vitest starts its workers with this in the place of node (see vitest.config.ts).
exec "$(dirname "$0")/in-namespace.sh" "${NETMODE_TEST_NODE:-node}" "$@"
