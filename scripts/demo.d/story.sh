# shellcheck shell=bash
# How a line of the story looks: time since the start, who, what. Sourced by the household and by tell.
# DEMO_STARTED is the start in seconds since 1970; DEMO_COLUMNS the width; DEMO_COLOR is empty or yes.

# Words of a sentence are split, never matched against files.
set -o noglob
readonly who_column=8 what_column=19
if [[ -n ${DEMO_COLOR-} ]]; then
  dim=$'\e[2m' bold=$'\e[1m' cyan=$'\e[36m' green=$'\e[32m' yellow=$'\e[33m' plain=$'\e[0m'
else
  # shellcheck disable=SC2034  # those who source this use them
  dim='' bold='' cyan='' green='' yellow='' plain=''
fi

# line STYLE WHO WHAT: one paragraph, wrapped under its own column.
line() {
  local style=$1 who=$2 what=$3 column=$what_column time out word row=''
  local age=$((EPOCHSECONDS - DEMO_STARTED))
  [[ -n $who ]] || column=$who_column
  printf -v time '%3d:%02d' $((age / 60)) $((age % 60))
  printf -v out '%s%s%s  ' "$dim" "$time" "$plain"
  if [[ -n $who ]]; then printf -v out '%s%s%-*s%s ' "$out" "$bold" $((what_column - who_column - 1)) "$who" "$plain"; fi
  out+=$style
  local width=$((DEMO_COLUMNS - column)) indent
  printf -v indent '%*s' "$column" ''
  for word in $what; do
    if [[ -n $row && $((${#row} + 1 + ${#word})) -gt $width ]]; then
      out+="$row$plain"$'\n'"$indent$style"
      row=$word
    else
      row+="${row:+ }$word"
    fi
  done
  # One write, so that two tellers do not mix their words.
  printf '%s\n' "$out$row$plain"
}

# What a person does, in the driver's words.
say() { line "$cyan" '' "$*"; }
