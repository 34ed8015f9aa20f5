# shellcheck shell=bash disable=SC2154
# The lab's cables and machines: bridges, hosts, legs, and ways to break them. Sourced by scripts/lab, whose path is $self.
#
# A host is a process that sleeps in its own network, mount and hostname namespaces; $LAB_DIR/HOST/pid
# names it. /run/netns/HOST names its network too, so `ip -n HOST` works. A leg ethN of HOST is a veth pair
# whose other end, HOST.N, sits in the world's namespace on a bridge; $LAB_DIR/.links/HOST.N holds the
# bridge's name, which `heal` reads.

valid_name() {
  [[ $1 =~ ^[a-z0-9][a-z0-9-]{0,9}$ ]] || fail "the name '$1' does not fit: at most 10 of a-z, 0-9 and -"
}

need_bridge() {
  [[ -e $LAB_DIR/.bridges/$1 ]] || fail "there is no bridge $1; say: lab bridge $1"
}

need_host() {
  [[ -e $LAB_DIR/${1:?lab: name a host}/pid ]] || fail "there is no host $1; say: lab host $1 BRIDGE"
}

# Port of a host's leg in the world's namespace: port HOST [ethN]
port() {
  local leg=${2-eth0}
  [[ -e $LAB_DIR/.links/$1.${leg#eth} ]] || fail "host or wire $1 has no leg $leg"
  echo "$1.${leg#eth}"
}

net_bridge() {
  valid_name "${1:?lab: name the bridge}"
  [[ ! -e $LAB_DIR/.bridges/$1 ]] || fail "the bridge $1 is already there"
  mkdir -p "$LAB_DIR/.bridges"
  ip link add name "$1" type bridge stp_state 0 forward_delay 0 mcast_snooping 0
  ip link set dev "$1" up
  : >"$LAB_DIR/.bridges/$1"
}

net_host() {
  local name=${1:?lab: name the host} pid
  valid_name "$name"
  [[ ! -e $LAB_DIR/$name ]] || fail "the host $name is already there"
  need_bridge "${2:?lab: name the bridge of host $name}"
  mkdir -p "$LAB_DIR/$name/run"
  # The new host says through the pipe that its files are in place.
  mkfifo "$LAB_DIR/$name/ready"
  setsid unshare --net --mount --uts --propagation private -- "$self" host-world "$name" \
    </dev/null >"$LAB_DIR/$name/log" 2>&1 &
  pid=$!
  read -r _ <"$LAB_DIR/$name/ready" || fail "host $name did not start: $(<"$LAB_DIR/$name/log")"
  rm "$LAB_DIR/$name/ready"
  echo "$pid" >"$LAB_DIR/$name/pid"
  : >"/run/netns/$name"
  mount --bind "/proc/$pid/ns/net" "/run/netns/$name"
  net_leg "$@"
}

# Runs in the host's own namespaces: its /run and its clients' files are its own, $LAB_DIR stays shared.
host_world() {
  local name=$1 folder mac_id
  exec 3>"$LAB_DIR/$name/ready"
  hostname "$name" 2>/dev/null || echo "$name" >/proc/sys/kernel/hostname
  mkdir -p "$LAB_DIR/$name/run/lab" "$LAB_DIR/$name/run/netns"
  mount --rbind "$LAB_DIR" "$LAB_DIR/$name/run/lab"
  mount --rbind /run/netns "$LAB_DIR/$name/run/netns"
  mount --rbind "$LAB_DIR/$name/run" /run
  for folder in /var/lib/dhcp /var/lib/dhcpcd /var/lib/misc /var/lib/systemd /etc/systemd/network; do
    [[ ! -d $folder ]] || mount -t tmpfs -o mode=755 tmpfs "$folder"
  done
  # Its own machine-id: systemd-networkd makes the client identifier from it.
  if [[ -e /etc/machine-id ]]; then
    mac_id=$(md5sum <<<"twinlease lab $name")
    echo "${mac_id%% *}" >"$LAB_DIR/$name/machine-id"
    mount --bind "$LAB_DIR/$name/machine-id" /etc/machine-id
  fi
  # A fresh sysfs shows this network's interfaces; read-only, it tells systemd that there is no udev.
  # A user namespace inside a container may not mount one: then the world's stays, and networkd is blind.
  mount -t sysfs -o ro sysfs /sys 2>/dev/null || true
  sysctl_all ipv6/conf disable_ipv6 1
  # A host with two legs answers on both, whatever its routes say (relays, multi-homed servers).
  sysctl_all ipv4/conf rp_filter 0
  # No ARP from the wrong leg when both lie on one segment.
  sysctl_all ipv4/conf arp_ignore 1
  sysctl_all ipv4/conf arp_announce 2
  # Any process of the lab may open ping sockets and low ports, also without root.
  echo "0 2147483647" >/proc/sys/net/ipv4/ping_group_range 2>/dev/null || true
  ip link set lo up
  echo ready >&3
  exec 3>&-
  exec sleep infinity
}

# leg HOST BRIDGE [ADDR/LEN] [mac=MAC]
net_leg() {
  local host=$1 bridge=${2:?lab: name the bridge} address='' mac='' word number=0
  need_host "$host"
  need_bridge "$bridge"
  shift 2
  for word in "$@"; do
    case $word in
      mac=*) mac=${word#mac=} ;;
      */*) address=$word ;;
      *) fail "leg $host: cannot read '$word'; expected ADDR/LEN or mac=MAC" ;;
    esac
  done
  while [[ -e $LAB_DIR/.links/$host.$number ]]; do number=$((number + 1)); done
  # A MAC made from the names: a capture of today compares with yesterday's.
  [[ -n $mac ]] || mac=$(md5sum <<<"$host $number" | sed -E 's/^(..)(..)(..)(..).*/02:00:\1:\2:\3:\4/')
  ip link add name "$host.$number" type veth peer name "eth$number" address "$mac" netns "$host"
  # Raw readers (dhclient, udhcpc) see UDP checksums that veth leaves to a card that is not there.
  nsenter --net="/run/netns/$host" ethtool -K "eth$number" tx off >/dev/null
  ethtool -K "$host.$number" tx off >/dev/null
  ip link set dev "$host.$number" master "$bridge" up
  echo "$bridge" >"$LAB_DIR/.links/$host.$number"
  ip -n "$host" link set dev "eth$number" up
  [[ -z $address ]] || ip -n "$host" address add "$address" brd + dev "eth$number"
}

net_wire() {
  local name=${1:?lab: name the wire} one=${2:?lab: name two bridges} two=${3:?lab: name two bridges}
  valid_name "$name"
  [[ ! -e $LAB_DIR/.links/$name.0 ]] || fail "the wire or host $name is already there"
  need_bridge "$one"
  need_bridge "$two"
  ip link add name "$name.0" type veth peer name "$name.x"
  ip link set dev "$name.x" master "$two" up
  ip link set dev "$name.0" master "$one" up
  echo "$one" >"$LAB_DIR/.links/$name.0"
}

net_route() {
  need_host "${1-}"
  net_exec "$1" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
}

net_exec() {
  local host=${1-}
  need_host "$host"
  shift
  [[ $# -gt 0 ]] || fail "exec $host: no command"
  # nsenter would otherwise leave the command in / of the mount namespace instead of here.
  exec_or_run nsenter --target "$(<"$LAB_DIR/$host/pid")" --net --mount --uts --wd="$PWD" -- "$@"
}

# The command line's own `lab exec` becomes the command, so that signals sent to it arrive there.
exec_or_run() {
  if [[ ${command-} == exec ]]; then exec "$@"; else "$@"; fi
}

net_mac() {
  need_host "${1-}"
  ip -n "$1" -json link show dev "${2-eth0}" | jq -r '.[0].address'
}

net_link_down() { ip link set dev "$(port "$@")" down; }
net_link_up() { ip link set dev "$(port "$@")" up; }

net_cut() { ip link set dev "$(port "$@")" nomaster; }
net_heal() {
  local name
  name=$(port "$@")
  ip link set dev "$name" master "$(<"$LAB_DIR/.links/$name")"
}

# The bridge still forwards what is sent to the host's own MAC, which it has learnt.
net_deafen() { bridge link set dev "$(port "$@")" bcast_flood off; }
net_hear() { bridge link set dev "$(port "$@")" bcast_flood on; }

# Two isolated ports of a bridge do not reach each other, but reach every other port.
net_part() { isolate "$1" "${2:?lab: part takes two hosts}" on; }
net_join() { isolate "$1" "${2:?lab: join takes two hosts}" off; }
isolate() {
  local host
  for host in "$1" "$2"; do bridge link set dev "$(port "$host")" isolated "$3"; done
}

net_remove() {
  local host=${1-} pid network
  need_host "$host"
  network=$(readlink "/proc/$(<"$LAB_DIR/$host/pid")/ns/net")
  for pid in /proc/[0-9]*; do
    [[ $(readlink "$pid/ns/net" 2>/dev/null) != "$network" ]] || kill -KILL "${pid#/proc/}" 2>/dev/null || true
  done
  umount "/run/netns/$host"
  rm -f "/run/netns/$host"
  # The kernel removes a dead network's veths a moment later; deleting our ends does it now.
  for pid in "$LAB_DIR/.links/$host".*; do
    ip link delete dev "${pid##*/}" 2>/dev/null || true
    rm -f "$pid"
  done
  rm -rf "${LAB_DIR:?}/$host"
}
