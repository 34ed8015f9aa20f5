//! By which names this device may be opened. A foreign name that suddenly points here (DNS rebinding) opens nothing.
//!
//! Addresses are always good: rebinding needs a name, and a page at an address has that address as its origin.

use std::net::IpAddr;

use axum::{
    extract::{Request, State},
    http::{StatusCode, header, uri::Authority},
    middleware::Next,
    response::Response,
};

use super::{Site, guard};

pub async fn guard(State(site): State<Site>, request: Request, next: Next) -> Response {
    let mut named = request.headers().get_all(header::HOST).iter();
    let (host, second) = (named.next(), named.next());
    let told = match (request.uri().authority(), host) {
        (Some(target), Some(host)) if host.as_bytes() != target.as_str().as_bytes() => None,
        (Some(target), _) => Some(target.clone()),
        (None, Some(host)) => Authority::try_from(host.as_bytes()).ok(),
        (None, None) => None,
    };
    match told {
        Some(told) if second.is_none() && !told.as_str().contains('@') => {
            if is_allowed(told.host(), &site.names()) {
                next.run(request).await
            } else {
                let shown: String = told.host().chars().take(80).collect();
                guard::refuse(
                    StatusCode::MISDIRECTED_REQUEST,
                    format!(
                        "This device is not `{shown}`. Open it by its address; or start it with `--web-name {shown}`, if that is its name."
                    ),
                )
            }
        }
        _ => guard::refuse(StatusCode::BAD_REQUEST, "The request does not say which host it is for, or says it twice."),
    }
}

fn is_allowed(host: &str, names: &[String]) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok() || {
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        names.contains(&name)
    }
}

/// What this machine is called, in small letters: by itself, by mDNS, and by its owner.
pub fn names(host: &str, configured: &[String]) -> Vec<String> {
    let host = host.to_ascii_lowercase();
    let mut names: Vec<String> = ["localhost", "twinlease", "twinlease.local"].map(Into::into).into();
    names.extend(configured.iter().map(|name| name.trim_end_matches('.').to_ascii_lowercase()));
    if !host.is_empty() {
        let short = host.split('.').next().unwrap_or(&host);
        names.extend([format!("{short}.local"), short.to_owned(), host.clone()]);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_names_and_addresses_open_it() {
        let names = names("Attic.example.net", &["dhcp.example.org.".into()]);
        for own in [
            "192.0.2.1",
            "[2001:db8::1]",
            "127.0.0.1",
            "localhost",
            "attic",
            "ATTIC.local",
            "attic.example.net",
            "twinlease.local",
            "twinlease.local.",
            "dhcp.example.org",
        ] {
            assert!(is_allowed(own, &names), "{own}");
        }
        for foreign in
            ["evil.example", "attic.evil.example", "192.0.2.1.evil.example", "", "localhost.evil.example", "xattic", "1.2.3"]
        {
            assert!(!is_allowed(foreign, &names), "{foreign}");
        }
    }
}
