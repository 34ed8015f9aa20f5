# shellcheck shell=bash disable=SC2154
# How to drive busybox's udhcpc. Sourced by lab.d/client.sh, which sets host, state and setting.
# It has no saved lease and no INIT-REBOOT: after a reboot it asks for the old address in its DISCOVER.
# It ignores T1 and T2 of the server: its own are a half of the lease, then the rest of it.

kind_start() {
  local command=(udhcpc -f -i eth0 -s "$state/hook" -t 5 -T 1 -A 1) code
  command -v udhcpc >/dev/null || fail "the client udhcpc is not installed; run: scripts/packages lab"
  for code in 1 3 6 12 15 28 42 51 58 59 119 121 138; do command+=(-O "$code"); done
  [[ ${setting[hostname]} == none ]] || command+=(-x "hostname:${setting[hostname]}")
  [[ -z ${setting[client-id]} ]] || command+=(-C -x "0x3d:${setting[client-id]//:/}")
  [[ -z ${setting[lease-secs]} ]] || command+=(-x "lease:${setting[lease-secs]}")
  [[ ${setting[arp]} == no ]] || command+=(-a)
  [[ -z ${setting[ask]} || $# -gt 0 ]] || command+=(-r "${setting[ask]}")
  launch "${command[@]}" "$@"
}

kind_restart() {
  local address=()
  if [[ -e $state/lease.env ]]; then
    read_lease
    address=(-r "${got[ip]}")
  fi
  forget_address
  kind_start "${address[@]}"
}

kind_renew() { kill -USR1 "$(<"$state/pid")"; }

kind_release() {
  local tries
  begin release
  kill -USR2 "$(<"$state/pid")"
  # The RELEASE is on the wire before its script hears of it.
  for tries in {1..100}; do
    ! events_since_mark | grep -qx deconfig || break
    sleep 0.05
  done
  [[ $tries -lt 100 ]] || fail "udhcpc on $host did not release in 5 s"
  kill -TERM "$(<"$state/pid")"
}

kind_show() {
  read_lease
  option address "${got[ip]-}"
  option 1 "${got[subnet]-}"
  option 3 "${got[router]-}"
  option 6 "${got[dns]-}"
  option 12 "${got[hostname]-}"
  option 15 "${got[domain]-}"
  option 42 "${got[ntpsrv]-}"
  option 51 "${got[lease]-}"
  option 54 "${got[serverid]-}"
  option 119 "${got[search]-}"
  option 121 "$(pairs "${got[staticroutes]-}")"
  option 138 "$(dotted "${got[opt138]-}")"
  [[ -z ${got[opt58]-} ]] || option t1 "$((16#${got[opt58]}))"
  [[ -z ${got[opt59]-} ]] || option t2 "$((16#${got[opt59]}))"
}

# `10.0.0.0/8 192.0.2.1 …` to `10.0.0.0/8,192.0.2.1 …`
pairs() { sed -E 's/(\S+) (\S+)/\1,\2/g' <<<"$1"; }

# It gives options it does not know in hexadecimal: c0000201c0000202 to `192.0.2.1 192.0.2.2`.
dotted() {
  local hex=$1
  while [[ -n $hex ]]; do
    printf '%d.%d.%d.%d ' "0x${hex:0:2}" "0x${hex:2:2}" "0x${hex:4:2}" "0x${hex:6:2}"
    hex=${hex:8}
  done
}
