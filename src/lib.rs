//! twinlease: DHCPv4 for a home or a small office that survives a dead Raspberry Pi.
