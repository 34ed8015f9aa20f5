# shellcheck shell=bash disable=SC2154
# The devices of the demo: real DHCP clients, and what each was told and how long it waited. Sourced by the household.

# NAME KIND and what `lab client … start` is told.
devices=(
  "nas dhcpcd" "printer udhcpc" "tv udhcpc" "laptop networkd" "desktop dhclient" "phone dhcpcd" "esp dhclient lease-secs=24"
  "camera udhcpc ask=10.77.0.166" "console udhcpc ask=10.77.0.120" "radio dhclient"
)
declare -A kind settings
# MACs for documentation (RFC 7042), as a maker would give them; the nas and the printer stand in home.toml with
# theirs. The phone's is one that it made up, as are those of the visitors.
declare -A mac=(
  [nas]=00:00:5e:00:53:10 [tv]=00:00:5e:00:53:11 [printer]=00:00:5e:00:53:20 [laptop]=00:00:5e:00:53:21
  [desktop]=00:00:5e:00:53:22 [phone]=da:a1:19:3c:55:07 [esp]=00:00:5e:00:53:30 [camera]=00:00:5e:00:53:31
  [console]=00:00:5e:00:53:32 [radio]=00:00:5e:00:53:42 [oldcam]=00:00:5e:00:53:66
)
visitors=0
visitor_kinds=(udhcpc dhclient dhcpcd)
# Short enough for several to come while one twin is away, long enough for one to be there at a time.
visit_secs=12

build_devices() {
  local entry name kind_of rest
  for entry in "${devices[@]}"; do
    read -r name kind_of rest <<<"$entry"
    kind[$name]=$kind_of
    settings[$name]=$rest
    "$lab" host "$name" home "mac=${mac[$name]}"
  done
}

# act NAME COMMAND …: in the background, and told when it is over. While it waits, `tell` does not print
# what the servers say of this device but keeps the reason, for the one line that is printed here.
act() {
  local name=$1
  shift
  (wait_for "$name" "$@") </dev/null &
}

wait_for() {
  local name=$1 command=$2 words began took
  shift
  rm -f "$LAB_DIR/.demo/$name.why"
  : >"$LAB_DIR/.demo/$name.waits"
  began=${EPOCHREALTIME/[.,]/}
  words=$("$lab" client "${kind[$name]}" "$name" "$@" 2>&1) || words="failed: $words"
  took=$(((${EPOCHREALTIME/[.,]/} - began) / 1000))
  [[ ! $words =~ bound\ in\ ([0-9]+)\ ms ]] || took=${BASH_REMATCH[1]}
  # The server's side of it comes a moment later than the device's.
  sleep 0.3
  rm -f "$LAB_DIR/.demo/$name.waits"
  if [[ $words =~ ,\ ([0-9.]+)/[0-9]+\ from\ ([0-9.]+)\ for ]]; then
    tell_answer "$name" "$command" "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" "$took"
  elif [[ $words == failed:* ]]; then
    case $words in
      *'has no new lease after '*) line "$yellow" "$name" "has waited for 30 s, and nobody has answered" ;;
      *) line "$yellow" "$name" "could not $command: ${words##*$'\n'}" ;;
    esac
  fi
}

tell_answer() {
  local name=$1 command=$2 address=$3 server=$4 took=$5 twin who=$4 why='' verb='has' waited
  for twin in "${twins[@]}"; do [[ ${address_of[$twin]} != "$server" ]] || who=$twin; done
  [[ ! -s $LAB_DIR/.demo/$name.why ]] || why=" ($(<"$LAB_DIR/.demo/$name.why"))"
  [[ $command != reboot ]] || verb='is back, and has'
  printf -v waited '%d.%d s' $((took / 1000)) $((took % 1000 / 100))
  line "$green" "$name" "$verb $address from $who after $waited$why"
}

# shellcheck disable=SC2086  # several words
arrive() { act "$1" start ${settings[$1]}; }

# Somebody who has never been here: a new device, which stays for a little while.
visit() {
  visitors=$((visitors + 1))
  local name=visitor$visitors
  kind[$name]=${visitor_kinds[$((visitors % ${#visitor_kinds[@]}))]}
  (
    "$lab" host "$name" home >/dev/null
    wait_for "$name" start
    sleep "$visit_secs"
    # Some say good-bye, some just walk away.
    [[ $((visitors % 3)) -eq 0 ]] || "$lab" client "${kind[$name]}" "$name" release >/dev/null 2>&1 || true
    "$lab" remove "$name" >/dev/null 2>&1
  ) </dev/null &
}
