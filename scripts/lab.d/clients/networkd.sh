# shellcheck shell=bash disable=SC2154
# How to drive systemd-networkd without systemd, udev and D-Bus. Sourced by lab.d/client.sh.
# The host's read-only /sys tells it that there is no udev; its /run/systemd is the host's own. It calls no
# script, so events are made from its log. Its lease file is written at the first ACK, not at renewals.

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

# It has no saved lease, but asks again (INIT-REBOOT) for an address that it finds on its link, if told to keep
# it. A whole machine's reboot loses the address: that is `stop` and `start`.
kind_restart() {
  on_host sh -c 'rm -f /run/systemd/netif/leases/*
    grep -q KeepConfiguration /run/systemd/network/00-lab.network || sed -i "s/^DHCP=ipv4/&\\nKeepConfiguration=dhcp/" /run/systemd/network/00-lab.network'
  launch_networkd
}

kind_renew() { :; }

# It releases when it ends in order, unless it keeps its address.
kind_release() {
  ! on_host grep -q KeepConfiguration /run/systemd/network/00-lab.network ||
    fail "networkd on $host keeps its lease after a reboot and sends no RELEASE; say first: stop, start"
  kill -TERM "$(<"$state/pid")"
}

# An ACK gets the name of the REQUEST before it. It counts once the lease file and the link agree, because
# the log line comes first.
kind_sync() {
  local lease words
  rm -f "$state/lease.env"
  lease=$(networkd_lease)
  if running && [[ -e $lease ]]; then
    tr '\n' '\0' <"$lease" >"$state/lease.env"
  fi
  words=$(awk '
    match($0, /DHCPv4 client: REQUEST \([a-z-]+/) { asked = substr($0, RSTART + 24, RLENGTH - 24) }
    /DHCPv4 client: ACK/ { print asked == "renewing" ? "renew" : asked == "rebinding" ? "rebind" : asked ~ /reboot/ ? "reboot" : "bound" }
    /DHCPv4 client: NAK/ { print "nak" }
    /DHCP lease lost/ { print "expire" }' "$state/log" 2>/dev/null) || true
  if [[ $words =~ (^|$'\n')(bound|renew|rebind|reboot)$ ]] && ! settled "$lease"; then
    words=$(sed '$d' <<<"$words")
  fi
  echo -n "${words:+$words$'\n'}" >"$state/events"
}

settled() {
  local address
  address=$(sed -n 's/^ADDRESS=//p' "$1" 2>/dev/null)
  [[ -n $address && $(ip -n "$host" -4 -oneline address show dev eth0) == *" $address/"* ]]
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
  option 121 "${got[CLASSLESS_ROUTES]-${got[ROUTES]-}}"
  option t1 "${got[T1]-}"
  option t2 "${got[T2]-}"
}
