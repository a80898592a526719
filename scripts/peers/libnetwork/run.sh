#!/bin/sh
# Runs libnetwork's own cases for bridge networks (test/integration/dnet/bridge.bats, from Debian's sources of docker.io) on netmode: its
# file as it is, with helpers.bash of ours in the place of theirs, which start Docker and dnet.
#
#   scripts/peers/libnetwork/run.sh [OPTION-OF-BATS...]    as root, on Debian 12; the cases and bats are fetched through apt, once
#
# Which of them can't pass, and why: RELIABILITY.md.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
folder=$root/build-peers/libnetwork

fetch() {
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  cd "$work"
  mkdir -p lists/partial cache
  # From where this machine has its packages.
  site=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' | awk '$1 == "bookworm" { print $2; exit }')
  echo "deb-src $site bookworm main" >sources.list
  set -- -q -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root
  apt-get "$@" update >/dev/null
  apt-get "$@" source --download-only docker.io >/dev/null
  apt-get download -q bats >/dev/null 2>&1
  mkdir -p unpacked
  tar -xf docker.io_*.orig-libnetwork.tar.* -C unpacked ./libnetwork/test/integration/dnet/bridge.bats
  dpkg-deb --extract bats_*.deb unpacked
  mkdir -p "$root/build-peers"
  mv unpacked "$folder"
  cd "$root"
}

[ -d "$folder" ] || (fetch)
node "$root/scripts/setup.mjs" --dist
cases=$(mktemp -d)
trap 'rm -rf "$cases"' EXIT
cp "$folder/libnetwork/test/integration/dnet/bridge.bats" "$here/helpers.bash" "$cases"
NETMODE_MAIN=$root/dist/cli/main.js PATH=$folder/usr/bin:$PATH "$root/scripts/in-namespace.sh" "$here/stage.sh" bats "$@" "$cases/bridge.bats"
