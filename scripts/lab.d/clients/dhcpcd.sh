# shellcheck shell=bash disable=SC2154
# How to drive dhcpcd. Sourced by lab.d/client.sh, which sets host, state and setting.
# Its lease file and control socket have fixed paths; the host's own /var/lib/dhcpcd and /run take them.

kind_start() {
  command -v dhcpcd >/dev/null || fail "the client dhcpcd is not installed; run: scripts/packages lab"
  {
    echo "allowinterfaces eth0"
    # No random wait before the first DISCOVER.
    echo "nodelay"
    echo "noipv4ll"
    echo "option subnet_mask, routers, domain_name_servers, host_name, domain_name, broadcast_address"
    echo "option ntp_servers, dhcp_lease_time, domain_search, classless_static_routes, capwap_ac"
    if [[ ${setting[hostname]} != none ]]; then echo "hostname ${setting[hostname]}"; fi
    if [[ -n ${setting[client-id]} ]]; then
      echo "clientid $(sed -E 's/://g; s/(..)/\1:/g; s/:$//' <<<"${setting[client-id]}")"
    else
      echo "clientid"
    fi
    if [[ -n ${setting[lease-secs]} ]]; then echo "leasetime ${setting[lease-secs]}"; fi
    if [[ ${setting[arp]} == no ]]; then echo "noarp"; fi
  } >"$state/dhcpcd.conf"
  on_host rm -f /var/lib/dhcpcd/eth0.lease
  kind_restart
}

kind_restart() {
  forget_address
  on_host sh -c 'rm -rf /run/dhcpcd /run/dhcpcd.pid; mkdir -p /run/dhcpcd'

  launch dhcpcd -4 -B -d -f "$state/dhcpcd.conf" -c "$state/hook" eth0
}

kind_renew() { on_host dhcpcd -4 --renew eth0 >>"$state/log" 2>&1; }

kind_release() { on_host dhcpcd -4 --release eth0 >>"$state/log" 2>&1; }

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
  option 119 "${got[new_domain_search]-}"
  option 121 "$(sed -E 's/(\S+) (\S+)/\1,\2/g' <<<"${got[new_classless_static_routes]-}")"
  option 138 "${got[new_capwap_ac]-}"
  option t1 "${got[new_dhcp_renewal_time]-}"
  option t2 "${got[new_dhcp_rebinding_time]-}"
}
