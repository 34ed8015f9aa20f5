# shellcheck shell=bash disable=SC2154
# How to drive systemd-networkd without systemd, udev and D-Bus. Sourced by lab.d/client.sh.
# The host's read-only /sys tells it that there is no udev; its /run/systemd is the host's own. It calls no
# script, so events are made from its lease file, which it writes anew at every ACK.

networkd_program() {
  local path
  for path in /usr/lib/systemd/systemd-networkd /lib/systemd/systemd-networkd; do
    [[ ! -x $path ]] || { echo "$path" && return; }
  done
  fail "the client systemd-networkd is not installed; run: scripts/packages lab"
}

kind_start() {
  [[ -z ${setting[client-id]} ]] || fail "networkd has no setting for a client-id of one's own; use another kind"
  on_host sh -c 'rm -rf /run/systemd && mkdir -p /run/systemd/network /run/systemd/netif/links /run/systemd/netif/leases'
  {
    printf '[Match]\nName=eth0\n\n'
    printf '[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n\n'
    printf '[DHCPv4]\nRequestOptions=42 119 121 138\nUseDomains=yes\nUseHostname=no\nSendRelease=yes\n'
    if [[ ${setting[hostname]} == none ]]; then
      printf 'SendHostname=no\n'
    else
      printf 'SendHostname=yes\nHostname=%s\n' "${setting[hostname]}"
    fi
    if [[ -n ${setting[lease-secs]} ]]; then printf 'RequestedLeaseTimeSec=%s\n' "${setting[lease-secs]}"; fi
    if [[ ${setting[arp]} != no ]]; then printf 'SendDecline=yes\n'; fi
  } | on_host tee /run/systemd/network/00-lab.network >/dev/null
  launch_networkd
}

launch_networkd() {
  launch env --unset=NOTIFY_SOCKET SYSTEMD_LOG_LEVEL=debug SYSTEMD_LOG_TARGET=console "$(networkd_program)"
}

# It asks again for an address that it finds on its link (KeepConfiguration is of no use: it was killed).
# A whole machine's reboot loses that address, and then networkd sends a DISCOVER.
kind_restart() {
  rm -f "$state/lease.env" "$state/lease.stamp"
  on_host sh -c 'rm -f /run/systemd/netif/leases/*'
  launch_networkd
}

kind_renew() { :; }

# It releases when it ends in order.
kind_release() { kill -TERM "$(<"$state/pid")"; }

kind_sync() {
  local lease stamp=gone before=gone
  lease=$(networkd_lease)
  [[ ! -e $lease ]] || stamp=$(stat -c '%i %y' "$lease" 2>/dev/null) || stamp=gone
  [[ ! -e $state/lease.stamp ]] || before=$(<"$state/lease.stamp")
  [[ $stamp != "$before" ]] || return 0
  echo "$stamp" >"$state/lease.stamp"
  if [[ $stamp == gone ]]; then
    rm -f "$state/lease.env"
    echo expire >>"$state/events"
  else
    tr '\n' '\0' <"$lease" >"$state/lease.env"
    if [[ $before == gone ]]; then echo bound; else echo renew; fi >>"$state/events"
  fi
}

# /run/systemd/netif/leases/IFINDEX, seen from outside the host.
networkd_lease() {
  local index
  index=$(ip -n "$host" -json link show dev eth0 | jq -r '.[0].ifindex')
  echo "$LAB_DIR/$host/run/systemd/netif/leases/$index"
}

kind_show() {
  read_lease
  option address "${got[ADDRESS]-}"
  option 1 "${got[NETMASK]-}"
  option 3 "${got[ROUTER]-}"
  option 6 "${got[DNS]-}"
  option 12 "${got[HOSTNAME]-}"
  option 15 "${got[DOMAINNAME]-}"
  option 42 "${got[NTP]-}"
  option 51 "${got[LIFETIME]-}"
  option 54 "${got[SERVER_ADDRESS]-}"
  option 119 "${got[DOMAIN_SEARCH_LIST]-}"
  option 121 "${got[ROUTES]-}"
  option t1 "${got[T1]-}"
  option t2 "${got[T2]-}"
}
