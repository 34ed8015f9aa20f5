//! The device's own key and certificate for https, made at the first start and again when its names or addresses change or
//! the end comes near. Nobody vouches for it: a browser asks once.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use nix::ifaddrs::getifaddrs;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    SanType,
};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{host, listen::Shown, site::host_name};
use crate::runtime::partner::{file, key::random};

/// How often names and addresses are looked at.
const LOOK: Duration = Duration::from_secs(60);
/// Browsers take no certificate that lives much longer than a year.
const LIFE: Duration = Duration::from_secs(397 * 24 * 3600);
/// Before its end a new one is made.
const REST: Duration = Duration::from_secs(30 * 24 * 3600);
/// Begun before now: clocks differ, and this machine's may not be set yet.
const GRACE: Duration = Duration::from_secs(24 * 3600);
const NAMES_MAX: usize = 64;

/// In one file, readable by its owner only, so that key and certificate never differ.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// PKCS #8, as hex.
    key: String,
    certificate: String,
    names: Vec<String>,
    /// Seconds since 1970.
    until: u64,
}

/// Shows the certificate, and keeps it fresh as long as somebody listens.
pub fn keep(data: PathBuf, names: Vec<String>) -> Shown {
    let (sender, shown) = watch::channel(None);
    tokio::spawn(async move {
        let mut told = None;
        let mut last: Option<Kept> = read(&path(&data));
        loop {
            let wanted = wanted(&names);
            let is_shown = sender.borrow().is_some();
            let is_good = last.as_ref().is_some_and(|kept| kept.names == wanted && !nears_its_end(kept, SystemTime::now()));
            if !is_good || !is_shown {
                match fresh(&data, last.take().filter(|_| is_good), wanted) {
                    Ok((kept, config)) => {
                        last = Some(kept);
                        sender.send_replace(Some(config));
                    }
                    Err(error) => {
                        if told.as_ref() != Some(&error) {
                            tracing::error!("There is no https: {error}. It is tried again; DHCP goes on.");
                            told = Some(error);
                        }
                    }
                }
            }
            if sender.is_closed() {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
    });
    shown
}

fn path(data: &Path) -> PathBuf {
    data.join("web-tls.json")
}

fn read(path: &Path) -> Option<Kept> {
    // One that cannot be read is made anew.
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// All by which this machine may be opened, in order.
fn wanted(configured: &[String]) -> Vec<String> {
    let mut names = host::names(&host_name(), configured);
    for address in getifaddrs().into_iter().flatten() {
        let ip = address.address.as_ref().and_then(|address| address.as_sockaddr_in().map(|v4| v4.ip()));
        names.extend(ip.filter(|ip| *ip != Ipv4Addr::LOCALHOST).map(|ip| ip.to_string()));
    }
    names.push(Ipv4Addr::LOCALHOST.to_string());
    names.retain(|name| name.parse::<IpAddr>().is_ok() || is_dns_name(name));
    names.sort();
    names.dedup();
    names.truncate(NAMES_MAX);
    names
}

fn is_dns_name(name: &str) -> bool {
    let part =
        |part: &str| !part.is_empty() && part.len() < 64 && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    name.len() < 254 && name.split('.').all(part)
}

fn nears_its_end(kept: &Kept, now: SystemTime) -> bool {
    let now = seconds(now);
    // Made by a clock that was far ahead.
    let is_from_the_future = kept.until > now + (LIFE + GRACE).as_secs();
    kept.until < now + REST.as_secs() || is_from_the_future
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The error is a sentence without its full stop.
fn fresh(data: &Path, kept: Option<Kept>, names: Vec<String>) -> Result<(Kept, Arc<ServerConfig>), String> {
    if let Some(kept) = kept
        && let Ok(config) = config(&kept)
    {
        return Ok((kept, config));
    }
    let kept = make(names, SystemTime::now()).map_err(|error| format!("the certificate cannot be made ({error})"))?;
    let config = config(&kept).map_err(|error| format!("the certificate that was made is not good ({error})"))?;
    let text = serde_json::to_vec(&kept).map_err(|error| error.to_string())?;
    let path = path(data);
    // Shown even where it cannot be kept: then the browser asks again after the next start.
    if let Err(error) = file::write(&path, &text) {
        tracing::warn!(
            "The key for https cannot be kept in `{}` ({error}), so browsers ask again after the next start.",
            path.display()
        );
    } else {
        tracing::info!("a certificate for https was made, for {}", kept.names.join(", "));
    }
    Ok((kept, config))
}

fn make(names: Vec<String>, now: SystemTime) -> Result<Kept, rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let host = host_name();
    params.distinguished_name.push(DnType::CommonName, if host.is_empty() { "twinlease" } else { host.as_str() });
    // A number of its own, so that a browser that has seen another certificate of this name is not confused.
    params.serial_number = Some(random::<16>().to_vec().into());
    params.not_before = (now - GRACE).into();
    params.not_after = (now + LIFE - GRACE).into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    for name in &names {
        params.subject_alt_names.push(match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.as_str().try_into()?),
        });
    }
    let certificate = params.self_signed(&key)?;
    let hex = crate::runtime::partner::key::hex;
    Ok(Kept { key: hex(&key.serialize_der()), certificate: hex(certificate.der()), names, until: seconds(now + LIFE - GRACE) })
}

fn config(kept: &Kept) -> Result<Arc<ServerConfig>, Box<dyn std::error::Error + Send + Sync>> {
    let unhex = |text: &str| crate::runtime::partner::key::unhex(text).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData));
    let certificate = CertificateDer::from(unhex(&kept.certificate)?);
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(unhex(&kept.key)?));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_certificate_is_kept_until_its_names_or_its_time_change() {
        let now = SystemTime::now();
        let kept = make(vec!["attic.local".into(), "192.0.2.1".into()], now).expect("made");
        assert!(config(&kept).is_ok());
        assert!(!nears_its_end(&kept, now));
        assert!(nears_its_end(&kept, now + LIFE - REST));
        assert!(nears_its_end(&kept, now - 3 * GRACE), "the clock was wrong when it was made");
        let other = make(kept.names.clone(), now).expect("made");
        assert_ne!(kept.key, other.key);
    }

    #[test]
    fn the_key_is_for_its_owner_only_and_survives_a_start() {
        let data = std::env::temp_dir().join(format!("twinlease-tls-{}", std::process::id()));
        fs::create_dir_all(&data).expect("a folder");
        let (made, _) = fresh(&data, None, vec!["localhost".into()]).expect("made");
        let mode = fs::metadata(path(&data)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = read(&path(&data)).expect("readable");
        let (kept, _) = fresh(&data, Some(again), vec!["localhost".into()]).expect("kept");
        assert_eq!(kept.certificate, made.certificate);
        fs::write(path(&data), b"{").expect("written");
        assert!(read(&path(&data)).is_none(), "and one that is damaged is made anew");
        fs::remove_dir_all(&data).expect("removed");
    }

    #[test]
    fn names_that_a_certificate_cannot_have_are_left_out() {
        let names = wanted(&["dhcp.example.org".into(), "no name".into(), "..".into()]);
        assert!(names.contains(&"dhcp.example.org".into()) && names.contains(&"127.0.0.1".into()));
        assert!(!names.iter().any(|name| name.contains(' ') || name == ".."));
        assert!(make(names, SystemTime::now()).is_ok());
    }
}
