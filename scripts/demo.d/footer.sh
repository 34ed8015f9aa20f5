# shellcheck shell=bash disable=SC2154
# The lower end of the terminal: both lights, moving, and the keys. Sourced by the household. The story scrolls above it.

footer_lines=4

begin_footer() {
  trap end_footer EXIT
  old_terminal=$(stty -g)
  stty -icanon -echo
  # `read` sets a terminal anew each time, and what is pressed meanwhile may be lost; from a pipe it takes all.
  exec 4<&0 3< <(exec cat <&4)
  printf '\e[2J'
  place_footer
  printf '\e[1;1H'
  trap place_footer WINCH
}

place_footer() {
  local size
  size=$(stty size 2>/dev/null) || size='24 80'
  rows=${size% *} columns=${size#* }
  [[ $rows -gt 0 && $columns -gt 0 ]] || rows=24 columns=80
  # Text scrolls in the rows above the footer only; the cursor goes there, to the lowest.
  printf '\e[1;%dr\e[%d;1H' $((rows - footer_lines)) $((rows - footer_lines))
}

end_footer() {
  trap - EXIT
  [[ -n $footer ]] || return 0
  footer=''
  printf '\e[r\e[%d;1H\e[J' $((rows - 3))
  stty "$old_terminal" 2>/dev/null || true
}

# In one write, with the cursor put back where it was: others print meanwhile.
paint_footer() {
  # Too long for a narrow terminal: cut off, not wrapped.
  local out=$'\e7\e[?7l' row=$((rows - footer_lines + 1)) twin light mark state
  printf -v light '%*s' "$columns" ''
  out+=""$'\e['"$row;1H$dim${light// /─}$plain"
  for twin in "${twins[@]}"; do
    row=$((row + 1))
    light=''
    [[ ! -e $LAB_DIR/.demo/$twin.light ]] || IFS= read -r light <"$LAB_DIR/.demo/$twin.light" || true
    mark=' '
    [[ $twin != "$chosen" ]] || mark='▸'
    state=''
    case ${health[$twin]} in
      dead) state=' killed' ;;
      frozen) state=' frozen' ;;
      *) ;;
    esac
    [[ ${cable[$twin]} == in ]] || state+=' unplugged'
    [[ $between == joined ]] || state+=' parted from its twin'
    printf -v out '%s\e[%d;1H\e[2K%s %s%-7s%s %s %s%s%s' "$out" "$row" "$mark" "$bold" "$twin" "$plain" "$light" "$yellow" "$state" "$plain"
  done
  row=$((row + 1))
  light="1/2 choose  k kill  c cut  f freeze  w wipe  x part  s switch  h heal  q quit  v visitor  l leases   (k, c, f, x again: undone)"
  printf -v out '%s\e[%d;1H\e[2K%s%s%s' "$out" "$row" "$cyan" "${light:0:columns}" "$plain"
  printf '%s\e[?7h\e8' "$out"
}
