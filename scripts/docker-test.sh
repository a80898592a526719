#!/bin/sh
# Builds the image of Dockerfile.test and runs the test suite in it, without a network. Its status is that of the tests.
#
#   scripts/docker-test.sh [ARGUMENT OF docker build...]
#   scripts/docker-test.sh --build-arg NODE_VERSION=20
#   scripts/docker-test.sh --network=host --build-arg BASE=my-debian:12
#
# Any docker will do, whichever builder it has; DOCKER_HOST chooses the daemon, as always.
set -eu

tree=$(cd "$(dirname "$0")/.." && pwd)
image=netmode-test

docker build "$@" --file "$tree/Dockerfile.test" --tag "$image" "$tree"
exec docker run --rm --privileged --network=none "$image"
