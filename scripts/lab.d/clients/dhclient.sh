# shellcheck shell=bash disable=SC2154
# How to drive ISC dhclient. Sourced by lab.d/client.sh, which sets host, state and setting.
# No signal makes it renew: it goes by T1 and T2, so give leases with short ones.

kind_start() {
  {
    echo "option lab-routes code 121 = array of unsigned integer 8;"
    echo "option lab-capwap code 138 = array of ip-address;"
    echo "request subnet-mask, broadcast-address, routers, domain-name-servers, host-name, domain-name,"
    echo "  ntp-servers, dhcp-lease-time, dhcp-renewal-time, dhcp-rebinding-time, domain-search, lab-routes, lab-capwap;"
    # Quick retries; a first try of INIT-REBOOT gives way to a DISCOVER after 5 s.
    echo "timeout 20; retry 2; reboot 5; initial-interval 1; backoff-cutoff 2; select-timeout 0;"
    [[ ${setting[hostname]} == none ]] || echo "send host-name \"${setting[hostname]}\";"
    [[ -z ${setting[client-id]} ]] || echo "send dhcp-client-identifier $(colons "${setting[client-id]}");"
    [[ -z ${setting[lease-secs]} ]] || echo "send dhcp-lease-time ${setting[lease-secs]};"
  } >"$state/dhclient.conf"
  kind_restart
}

arguments() {
  printf '%s\n' -4 -cf "$state/dhclient.conf" -lf "$state/dhclient.leases" -pf "$state/dhclient.pid" -sf "$state/hook"
}

kind_restart() {
  local program words
  program=$(unconfined dhclient)
  mapfile -t words < <(arguments)
  forget_address
  rm -f "$state/dhclient.pid"
  touch "$state/dhclient.leases"
  launch "$program" -d "${words[@]}" eth0
}

kind_renew() { :; }

kind_release() {
  local words
  mapfile -t words < <(arguments)
  # `-r` ends the running one by its pid file, sends the RELEASE and waits for it to be sent.
  on_host "$(unconfined dhclient)" -r "${words[@]}" eth0 >>"$state/log" 2>&1
}

# 0102ab to 01:02:ab
colons() { sed -E 's/://g; s/(..)/\1:/g; s/:$//' <<<"$1"; }

kind_show() {
  read_lease
  option address "${got[new_ip_address]-}"
  option 1 "${got[new_subnet_mask]-}"
  option 3 "${got[new_routers]-}"
  option 6 "${got[new_domain_name_servers]-}"
  option 12 "${got[new_host_name]-}"
  option 15 "${got[new_domain_name]-}"
  option 42 "${got[new_ntp_servers]-}"
  option 51 "${got[new_dhcp_lease_time]-}"
  option 54 "${got[new_dhcp_server_identifier]-}"
  # It writes names with their final dot.
  option 119 "$(sed -E 's/\.( |$)/\1/g' <<<"${got[new_domain_search]-}")"
  option 121 "$(routes "${got[new_lab_routes]-}")"
  option 138 "${got[new_lab_capwap]-}"
  option t1 "${got[new_dhcp_renewal_time]-}"
  option t2 "${got[new_dhcp_rebinding_time]-}"
}

# The bytes of RFC 3442, `8 10 192 0 2 1`, to `10.0.0.0/8,192.0.2.1`.
routes() {
  local bytes index=0 length octet target
  read -r -a bytes <<<"$1"
  while [[ $index -lt ${#bytes[@]} ]]; do
    length=${bytes[index]}
    index=$((index + 1))
    target=
    for octet in 0 8 16 24; do
      if [[ $octet -lt $length ]]; then
        target+=.${bytes[index]}
        index=$((index + 1))
      else
        target+=.0
      fi
    done
    printf '%s/%s,%s ' "${target#.}" "$length" "$(IFS=. && echo "${bytes[*]:index:4}")"
    index=$((index + 4))
  done
}
