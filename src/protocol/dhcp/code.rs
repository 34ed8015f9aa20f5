//! Option codes that the rules speak of, by name.

pub const SUBNET_MASK: u8 = 1;
pub const ROUTER: u8 = 3;
pub const DNS: u8 = 6;
pub const HOST_NAME: u8 = 12;
pub const DOMAIN: u8 = 15;
pub const BROADCAST: u8 = 28;
pub const NTP: u8 = 42;
pub const REQUESTED_ADDRESS: u8 = 50;
pub const LEASE_TIME: u8 = 51;
pub const OVERLOAD: u8 = 52;
pub const MESSAGE_TYPE: u8 = 53;
pub const SERVER_ID: u8 = 54;
pub const PARAMETER_LIST: u8 = 55;
pub const MESSAGE: u8 = 56;
pub const MAX_SIZE: u8 = 57;
pub const T1: u8 = 58;
pub const T2: u8 = 59;
pub const VENDOR_CLASS: u8 = 60;
pub const CLIENT_ID: u8 = 61;
pub const TFTP_SERVER_NAME: u8 = 66;
pub const BOOT_FILE: u8 = 67;
pub const RAPID_COMMIT: u8 = 80;
pub const FQDN: u8 = 81;
pub const RELAY_AGENT: u8 = 82;
pub const LAST_TRANSACTION: u8 = 91;
pub const ASSOCIATED_IP: u8 = 92;
pub const V6_ONLY: u8 = 108;
pub const SUBNET_SELECTION: u8 = 118;
pub const SEARCH: u8 = 119;
pub const ROUTES: u8 = 121;
pub const TFTP_SERVERS: u8 = 150;

/// Sub-options of 82.
pub const RELAY_CIRCUIT_ID: u8 = 1;
pub const RELAY_LINK_SELECTION: u8 = 5;
pub const RELAY_SERVER_ID: u8 = 11;
