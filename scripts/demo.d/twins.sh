# shellcheck shell=bash disable=SC2154
# The two servers of the demo and what can be done to them. Sourced by the household.
# What was done to a twin is kept in memory (health, cable); its process id and its light are files,
# because others write or read them.

twins=(attic cellar)
declare -A address_of=([attic]=10.77.0.2 [cellar]=10.77.0.3)
# alive, dead or frozen; in or out.
declare -A health cable settings_file=([attic]=home.toml [cellar]=blank.toml)
between=joined

build_twins() {
  local twin
  mkdir -p "$LAB_DIR/.demo"
  # What a person writes on both cards. Here it is made anew each time.
  od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$LAB_DIR/.demo/pair-key"
  for twin in "${twins[@]}"; do
    "$lab" host "$twin" home "${address_of[$twin]}/24"
    health[$twin]=dead cable[$twin]=in
  done
}

other_of() { if [[ $1 == attic ]]; then echo cellar; else echo attic; fi; }

data_of() { echo "$LAB_DIR/$1/data"; }

# ask TWIN WORDS…: the command line on that machine.
ask() {
  local twin=$1
  shift
  "$lab" exec "$twin" timeout 5 "$TWINLEASE" "$@" --data "$(data_of "$twin")"
}

# One fact of `twin status --json`, or nothing: fact TWIN JQ-PATH
fact() { ask "$1" twin status --json 2>/dev/null | jq -r "$2 // empty"; }

active_twin() {
  local twin
  for twin in "${twins[@]}"; do
    [[ $(fact "$twin" .node.is_active) != true ]] || { echo "$twin" && return; }
  done
}

pid_of() { cat "$LAB_DIR/.demo/$1.pid"; }

start_twin() {
  local twin=$1
  mkdir -p "$(data_of "$twin")"
  RUST_LOG=info,twinlease=debug "$lab" exec "$twin" "$TWINLEASE" run --data "$(data_of "$twin")" \
    --pair-key-file "$LAB_DIR/.demo/pair-key" --settings "$here/${settings_file[$twin]}" \
    </dev/null > >("$here/tell" "$twin") 2>&1 &
  echo $! >"$LAB_DIR/.demo/$twin.pid"
  # The shell need not report how it ends; `watch_twins` does.
  disown
  health[$twin]=alive
}

kill_twin() {
  # Before the signal, so that nobody wonders why it has ended.
  health[$1]=dead
  kill -KILL "$(pid_of "$1")" 2>/dev/null || true
}

# A twin that ends unasked is a defect: it is told, and ends the demo.
watch_twins() {
  local twin
  for twin in "${twins[@]}"; do
    if [[ ${health[$twin]} != dead ]] && ! kill -0 "$(pid_of "$twin")" 2>/dev/null; then
      line "$yellow" "$twin" "has ended by itself, and so does this demo"
      exit 1
    fi
  done
}

freeze_twin() { kill -STOP "$(pid_of "$1")" && health[$1]=frozen; }
thaw_twin() { kill -CONT "$(pid_of "$1")" && health[$1]=alive; }
unplug() { "$lab" link-down "$1" && cable[$1]=out; }
plug_in() { "$lab" link-up "$1" && cable[$1]=in; }
part_twins() { "$lab" part attic cellar && between=parted; }
join_twins() { "$lab" join attic cellar && between=joined; }

# The same box with an empty disk: by the pair key its twin knows it again.
wipe_twin() {
  kill_twin "$1"
  rm -rf "$(data_of "$1")"
  start_twin "$1"
}

heal_all() {
  local twin
  [[ $between == joined ]] || join_twins
  for twin in "${twins[@]}"; do
    [[ ${cable[$twin]} == in ]] || plug_in "$twin"
    [[ ${health[$twin]} != frozen ]] || thaw_twin "$twin"
    [[ ${health[$twin]} != dead ]] || start_twin "$twin"
  done
}

switch_roles() {
  {
    local twin
    twin=$(active_twin)
    if [[ -z $twin ]]; then
      line "$yellow" '' "Nobody can be asked to switch."
    elif ask "$twin" twin switch >"$LAB_DIR/.demo/switch" 2>&1; then
      line "$bold" "$twin" "hands over: $(other_of "$twin") is the active from now on"
    else
      line "$yellow" "$twin" "does not hand over: $(<"$LAB_DIR/.demo/switch")"
    fi
  } </dev/null &
}

# `together N`: both are well, or N seconds are over.
together() {
  local end=$((EPOCHSECONDS + $1)) first='' second=''
  while [[ $EPOCHSECONDS -lt $end ]]; do
    first=$(fact attic .node.state) second=$(fact cellar .node.state)
    [[ "$first $second" != 'normal normal' ]] || return 0
    pause 0.3
  done
  return 1
}

# ---- the lights ------------------------------------------------------------------------------------------

# Keeps $LAB_DIR/.demo/TWIN.light: what the light shows now, drawn by twinlease itself ten times a second.
# Where no footer shows it, a line is printed whenever the rhythm has changed and lasts.
watch_light() {
  local twin=$1 frame name='' told='' since=0 now
  while true; do
    while IFS= read -r -d $'\r' frame; do
      printf '%s\n' "$frame" >"$LAB_DIR/.demo/$twin.light"
      name=${frame#*  }
      now=${EPOCHREALTIME/[.,]/}
      [[ $name == "${last-}" ]] || { last=$name since=$now; }
      if [[ -z $footer && -n $name && $name != "$told" && $((now - since)) -gt 800000 ]]; then
        told=$name
        # Its colours have no width: not to be wrapped.
        DEMO_COLUMNS=1000 line '' "$twin" "light: ${frame%"${frame##*[! ]}"}"
      fi
    done < <(ask_light "$twin")
    printf '○ %40s  off\n' '' >"$LAB_DIR/.demo/$twin.light"
    [[ ${last-} == off ]] || { last=off told=''; }
    sleep 0.3
  done
}

# Not through `timeout`: it may run for the whole demo.
ask_light() {
  CLICOLOR_FORCE=${DEMO_COLOR:+1} "$lab" exec "$1" "$TWINLEASE" twin led --watch --data "$(data_of "$1")" 2>/dev/null
}
