# shellcheck shell=bash disable=SC2154
# One driver for four real DHCP clients on a host's eth0. Sourced by scripts/lab.
#
#   lab client KIND HOST start [hostname=NAME|none] [client-id=HEX] [arp=yes] [ask=ADDR] [lease-secs=N] [timeout=SECS]
#                               run the client and wait until it is bound
#   lab client KIND HOST renew [timeout=SECS]     wait for a RENEW that the server answered
#   lab client KIND HOST rebind [timeout=SECS]    the same for a REBIND
#   lab client KIND HOST release                  give the lease back, end the client
#   lab client KIND HOST stop                     end it by -9, as a power cut would; the saved lease stays
#   lab client KIND HOST reboot [timeout=SECS]    stop, start again from the saved lease
#   lab client KIND HOST wait [timeout=SECS]      wait until it is bound
#   lab client KIND HOST show                     one JSON object, what the client itself decoded
#   lab client KIND HOST events                   what it told its script since its start, one word a line
#   lab client KIND HOST log                      its own words
#
# KIND is udhcpc, dhclient, dhcpcd or networkd. Every command but show, events and log prints one line and
# exits 1 with a sentence when the wait ends in vain (timeout: 30 s unless said). arp=yes turns the client's
# own conflict check on (it costs seconds; dhclient has none). client-id is hexadecimal, type byte included.
# ask=ADDR makes udhcpc ask for this address at first; the others have no setting for it.
#
# How each does it, and what it cannot:
#            renew           rebind               reboot                 show lacks
#   udhcpc   SIGUSR1         SIGUSR1, no unicast  DISCOVER with the old  (T1, T2: it ignores them)
#                                                 address (it has no INIT-REBOOT)
#   dhclient at T1           at T2, no unicast    INIT-REBOOT            -
#   dhcpcd   dhcpcd --renew  --renew, then at T2  INIT-REBOOT            -
#   networkd at T1           at T2, no unicast    INIT-REBOOT, of the    138 (it stores options 224-254
#            (networkctl needs D-Bus)             daemon only; after it  only); client-id is not settable
#                                                 no release
# "no unicast": the next hop's ARP entry on the host is poisoned until the rebind is over, so every unicast
# REQUEST is lost on the wire and only the broadcast one arrives. "at T1": give leases with a short T1.

client() {
  local kind=${1-} host=${2-} action=${3-}
  [[ $# -ge 3 ]] || fail "client: say: lab client KIND HOST COMMAND"
  shift 3
  [[ -f $parts/clients/$kind.sh ]] || fail "client: no kind $kind; known: udhcpc, dhclient, dhcpcd, networkd"
  need_host "$host"
  # What the files in clients/ read, beside $host.
  state=$LAB_DIR/$host/$kind
  # shellcheck source=/dev/null
  source "$parts/clients/$kind.sh"
  mkdir -p "$state"

  # Settings of `start` are kept, so that `reboot` starts the client as it was.
  declare -gA setting=([hostname]=$host [client-id]='' [arp]=no [ask]='' [lease-secs]='' [timeout]=30)
  # shellcheck source=/dev/null
  [[ $action == start || ! -e $state/settings ]] || source "$state/settings"
  local word
  for word in "$@"; do
    [[ $word == *=* && -v setting[${word%%=*}] ]] ||
      fail "client $action: cannot read '$word'; settings: hostname, client-id, arp, ask, lease-secs, timeout"
    setting[${word%%=*}]=${word#*=}
  done
  [[ -z ${setting[ask]} || $kind == udhcpc ]] || fail "$kind has no setting for an address to ask for; use udhcpc"

  case $action in
    start)
      ! running || fail "$kind on $host runs already; say: lab client $kind $host stop"
      rm -rf "$state"
      mkdir -p "$state"
      declare -p setting | sed 's/^declare -A/declare -gA/' >"$state/settings"
      write_hook
      begin start
      kind_start
      await_bound "$(date +%s%N)"
      ;;
    renew | rebind) renew_or_rebind "$action" ;;
    reboot)
      end_client
      begin reboot
      kind_restart
      await_bound 0
      ;;
    wait)
      [[ $(state_word) == bound ]] || await_change wait 0
      report "bound"
      ;;
    release)
      running || fail "$kind on $host does not run; there is nothing to release"
      kind_release
      await_end
      forget_address
      echo "$host $kind: released"
      ;;
    stop)
      end_client
      forget_address
      echo "$host $kind: stopped, nothing released"
      ;;
    show) show ;;
    events) cat "$state/events" 2>/dev/null || true ;;
    log) cat "$state/log" 2>/dev/null || true ;;
    *) fail "client: no command $action; known: start, renew, rebind, release, stop, reboot, wait, show, events, log" ;;
  esac
}

# ---- process ---------------------------------------------------------------------------------------------

on_host() { net_exec "$host" "$@"; }

# Starts the client in the background on its host; its process id is that of the client itself.
launch() {
  setsid nsenter --target "$(<"$LAB_DIR/$host/pid")" --net --mount --uts --wd=/ -- "$@" \
    </dev/null >>"$state/log" 2>&1 &
  echo $! >"$state/pid"
}

running() {
  [[ -e $state/pid ]] && kill -0 "$(<"$state/pid")" 2>/dev/null
}

# A program started as root is confined by AppArmor on some systems by its path; a copy is not.
unconfined() {
  local source
  source=$(command -v "$1") || fail "the client $1 is not installed; run: scripts/packages lab"
  mkdir -p "$LAB_DIR/.bin"
  [[ -e $LAB_DIR/.bin/$1 ]] || cp -L "$source" "$LAB_DIR/.bin/$1"
  echo "$LAB_DIR/.bin/$1"
}

await_end() {
  local tries
  for tries in {1..100}; do
    running || return 0
    sleep 0.05
  done
  fail "$kind on $host did not end after $tries looks in 5 s; its words: lab client $kind $host log"
}

end_client() {
  if running; then kill -KILL "$(<"$state/pid")"; fi
  await_end
}

forget_address() {
  ip -n "$host" address flush dev eth0 scope global
  rm -f "$state/lease.env"
}

# ---- events: what the client told its script -------------------------------------------------------------

# The clients know one script path and no arguments; this one carries the names.
write_hook() {
  printf '#!/bin/sh\nexec %q %q %q "$@"\n' "$parts/clients/hook" "$kind" "$state" >"$state/hook"
  chmod +x "$state/hook"
}

begin() {
  kind_sync
  : >>"$state/events"
  mark=$(wc -l <"$state/events")
}

events_since_mark() {
  kind_sync
  tail -n "+$((mark + 1))" "$state/events"
}

# A kind without a script (networkd) overrides this to turn what it leaves behind into events.
kind_sync() { :; }

state_word() {
  kind_sync
  if [[ -e $state/lease.env ]]; then echo bound; else echo none; fi
}

# Waits until the client reports a lease after the mark: await_change WHAT
await_change() {
  local deadline=$((SECONDS + setting[timeout]))
  while ! events_since_mark | grep -qxE 'bound|renew|rebind|reboot'; do
    [[ $SECONDS -lt $deadline ]] ||
      fail "$1: $kind on $host has no new lease after ${setting[timeout]} s; events: $(events_since_mark | xargs); its words: lab client $kind $host log"
    running || [[ ! -e $state/pid ]] ||
      fail "$1: $kind on $host has ended; its last words: $(tail -n 3 "$state/log")"
    sleep 0.05
  done
}

await_bound() {
  local since=$1 took=''
  await_change "${action-start}"
  [[ $since == 0 ]] || took=" in $((($(date +%s%N) - since) / 1000000)) ms"
  report "$(events_since_mark | tail -n 1)$took"
}

report() {
  echo "$host $kind: $1, $(show | jq -r '"\(.address)/\(.prefix) from \(.server) for \(.lease_secs) s"') (events: $(tail -n "+$((${mark-0} + 1))" "$state/events" | xargs))"
}

# ---- renew and rebind ------------------------------------------------------------------------------------

renew_or_rebind() {
  local wanted=$1 hop='' server
  running || fail "$kind on $host does not run; say: lab client $kind $host start"
  [[ $(state_word) == bound ]] || fail "$kind on $host has no lease to $wanted"
  if [[ $wanted == rebind ]]; then
    server=$(show | jq -r .server)
    hop=$(ip -n "$host" -json route get "$server" | jq -r '.[0] | .gateway // .dst')
    # No card has this address: frames to it are lost. `permanent` keeps ARP from repairing it.
    ip -n "$host" neighbour replace "$hop" lladdr 02:00:00:00:00:00 nud permanent dev eth0
    # shellcheck disable=SC2064  # the value of now
    trap "ip -n '$host' neighbour delete '$hop' dev eth0 2>/dev/null || true" EXIT
  fi
  begin "$wanted"
  kind_renew
  await_change "$wanted"
  report "$wanted done"
}

# ---- show ------------------------------------------------------------------------------------------------

# kind_show prints lines `CODE value…`, lists separated by blanks, routes as `10.0.0.0/8,192.0.2.1`, and
# `address A`, `t1 N`, `t2 N`. One filter makes the same JSON of all four.
show() {
  local word
  word=$(state_word)
  { [[ $word != bound ]] || kind_show; } | jq -R -s --arg kind "$kind" --arg state "$word" '
    def list: if . == null then null else split(" ") | map(select(. != "")) end;
    def number: if . == null or . == "" then null else tonumber end;
    def bits: if . == null then null else
      split(".") | map(tonumber) | map([128, 64, 32, 16, 8, 4, 2, 1] as $b | . as $n
        | reduce $b[] as $x ([$n, 0]; if .[0] >= $x then [.[0] - $x, .[1] + 1] else . end) | .[1]) | add end;
    split("\n") | map(capture("^(?<key>\\S+) (?<value>.*\\S) *$")) | from_entries as $got
    | { kind: $kind, state: $state, address: $got.address, prefix: ($got["1"] | bits), server: $got["54"],
        lease_secs: ($got["51"] | number), t1_secs: ($got.t1 | number), t2_secs: ($got.t2 | number),
        options: {
          "1": $got["1"], "3": ($got["3"] | list), "6": ($got["6"] | list), "12": $got["12"], "15": $got["15"],
          "42": ($got["42"] | list), "51": ($got["51"] | number), "119": ($got["119"] | list),
          "121": ($got["121"] | list | if . then map(sub(","; " ")) else null end), "138": ($got["138"] | list)
        } }'
}

# Prints `CODE value` when the value is not empty.
option() { [[ -z ${2-} ]] || printf '%s %s\n' "$1" "$2"; }

# Reads the environment that the client gave its script into the map `got`.
declare -A got
read_lease() {
  local name value
  # shellcheck disable=SC2034  # the files in clients/ read it
  while IFS='=' read -r -d '' name value; do got["$name"]=$value; done <"$state/lease.env"
}
