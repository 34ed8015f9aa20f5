//! Any bytes as a datagram, and as a name: read to the last accessor.

use twinlease::protocol::dhcp::{Message, name};

pub fn run(bytes: &[u8]) {
    names(bytes);
    let Ok(message) = Message::decode(bytes) else { return };
    for code in 0..=255 {
        let value = message.options.get(code);
        assert!(value.is_none_or(|value| value.len() <= bytes.len()), "option {code} is longer than the packet");
        if message.options.address(code).is_some() {
            assert_eq!(value.map(<[u8]>::len), Some(4));
        }
        if message.asks_for(code) {
            assert!(message.options.get(55).is_some_and(|list| list.contains(&code)));
        }
        if message.relay_option(code).is_some() {
            assert!(message.is_relayed(), "option 82 of a client must not be trusted");
        }
    }
    assert!(message.hw.bytes().len() <= 16);
    assert!(message.max_size().is_none_or(|size| size >= 576));
    assert!(message.host_name().is_none_or(|name| is_safe(&name)));
    let said = (message.client_id(), message.requested_address(), message.server_id(), message.requested_lease_secs());
    let flags = (message.mirrors_nul(), message.is_pxe(), message.wants_broadcast());
    let again = Message::decode(bytes).expect("it decoded a moment ago");
    assert_eq!(said, (again.client_id(), again.requested_address(), again.server_id(), again.requested_lease_secs()));
    assert_eq!(flags, (again.mirrors_nul(), again.is_pxe(), again.wants_broadcast()));
    // All that is ever shown of a client goes through these.
    let _ = (message.hw.to_string(), message.client_id().to_string(), format!("{message:?}"));
}

fn names(bytes: &[u8]) {
    for shown in [name::printable(bytes), name::fqdn_text(bytes)].into_iter().flatten() {
        assert!(is_safe(&shown), "{shown:?} is not safe to show");
        if let Some(label) = name::host_label(&shown) {
            assert!(label.len() <= 63 && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{label:?} is no label");
            assert!(!label.is_empty() && !label.starts_with('-') && !label.ends_with('-'), "{label:?} is no label");
        }
    }
    for (no_updates, domain) in [(false, None), (true, None), (false, Some("home.arpa")), (true, Some("home.arpa"))] {
        let Some(answer) = name::fqdn_answer(bytes, no_updates, domain) else { continue };
        assert!((3..=255).contains(&answer.len()), "option 81 of {} bytes", answer.len());
        if answer[0] & name::fqdn_flag::CANONICAL != 0 {
            assert!(are_labels(&answer[3..]), "labels of {answer:02x?} are cut short");
        }
    }
}

fn is_safe(shown: &str) -> bool {
    !shown.is_empty() && shown.len() <= 255 && shown.trim() == shown && !shown.chars().any(char::is_control)
}

/// Labels with their lengths in front; the final, empty one may be missing (a name that is not complete).
fn are_labels(mut rest: &[u8]) -> bool {
    while let [len, tail @ ..] = rest {
        let len = usize::from(*len);
        if len == 0 {
            return tail.is_empty();
        }
        let Some(tail) = tail.get(len..).filter(|_| len < 64) else { return false };
        rest = tail;
    }
    true
}
