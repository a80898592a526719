# What libnetwork's bridge.bats calls, by netmode's command. dnet's containers are sandboxes; a service is an endpoint by its name.

netmode() { node "$NETMODE_MAIN" "$@"; }

# Something that lives and serves names, as dnet would. Its descriptors are not bats's, which waits for them.
start_dnet() {
  node "$NETMODE_MAIN" events >/dev/null 2>&1 </dev/null 3>&- 4>&- &
  echo $! >/run/dnet/pid
}
stop_dnet() {
  kill -KILL "$(cat /run/dnet/pid)"
  rm /run/dnet/pid
}

setup() { start_dnet; }

# What a case that failed has left is not the next one's matter.
teardown() {
  netmode rm --all --force
  netmode network prune --force
  stop_dnet
}

inst_id2port() { echo "$1"; }
dnet_container_name() { echo "dnet-$1-$2"; }
get_sbox_id() { echo "$2"; }
skip_for_circleci() { :; }
wait_for_dnet() { :; }

# The container that dnet runs in starts anew: its process dies at once, and with its namespace all links, rules and sandboxes; what is on disk stays.
docker() {
  case $1 in
    ps) netmode ps ;;
    restart)
      stop_dnet
      local name
      for name in $(ip netns list | cut -d' ' -f1 | grep -v '^outside$'); do ip netns delete "$name"; done
      for name in $(ip -o link show | sed 's/^[0-9]*: //; s/[@:].*//' | grep -vx -e lo -e eth0); do ip link delete "$name" || true; done
      nft flush ruleset
      start_dnet
      netmode recover
      ;;
  esac
}

# service publish [--alias=NAME] SERVICE.NETWORK; service attach [--alias=SERVICE:NAME] CONTAINER SERVICE.NETWORK
service() {
  local verb=$1 alias='' network service
  shift
  if [[ $1 == --alias=* ]]; then
    alias=${1#--alias=}
    shift
  fi
  case $verb in
    ls) netmode ps ;;
    publish) echo "$alias" >"/run/dnet/$1" ;;
    unpublish) rm "/run/dnet/$1" ;;
    attach)
      service=${2%.*} network=${2##*.}
      local names=()
      [ "$service" = "$1" ] || names+=(--alias "$service")
      [ -z "$(cat "/run/dnet/$2")" ] || names+=(--alias "$(cat "/run/dnet/$2")")
      netmode network connect "${names[@]}" "$network" "$1"
      ;;
    detach) netmode network disconnect "${2##*.}" "$1" ;;
  esac
}

dnet_cmd() {
  shift
  case "$1 $2" in
    service\ *) "$@" ;;
    'container create') netmode create --network none --add-host www.google.com:8.8.8.8 "$3" ;;
    'container rm') netmode rm "$3" ;;
    *) netmode "$@" ;;
  esac
}

net_connect() {
  dnet_cmd "$1" service publish ${5:+"--alias=$5"} "$2.$3"
  if [ "${4:-:}" = : ]; then dnet_cmd "$1" service attach "$2" "$2.$3"; else dnet_cmd "$1" service attach "--alias=$4" "$2" "$2.$3"; fi
}
net_disconnect() {
  dnet_cmd "$1" service detach "$2" "$2.$3"
  dnet_cmd "$1" service unpublish "$2.$3"
}

runc() { netmode exec "$2" env PATH="/run/applets:$PATH" sh -c "$3"; }
# Its status is in $status.
runc_nofail() {
  status=0
  runc "$@" || status=$?
}
