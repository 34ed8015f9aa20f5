//! Who may sign in and which programs may ask: one record for both twins. Hashes only; never in a settings file.

use serde::{Deserialize, Serialize};

/// What a list of tokens may hold.
pub const TOKENS_MAX: usize = 64;
pub const TOKEN_NAME_BYTES_MAX: usize = 64;
/// In the place of a password that cannot be one: nobody signs in with it, and nobody else can claim the device.
pub const LOCKED: &str = "!";
/// SHA-256 in hex.
const HASH_DIGITS: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Access {
    /// Argon2id as a PHC string, or `LOCKED`; `None`: nobody has claimed this device yet.
    pub password: Option<String>,
    /// Names and hashes are each unique.
    pub tokens: Vec<Token>,
}

/// What a program shows instead of a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// As Activity names who made a change.
    pub name: String,
    /// SHA-256 of the token, in small hex digits. The token is random, so that no slow hash is needed.
    pub hash: String,
    pub scope: Scope,
    /// Seconds since 1970, by the wall clock of the twin where it was made.
    pub created: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    Read,
    /// Read, and change.
    Write,
}

impl Access {
    pub fn is_claimed(&self) -> bool {
        self.password.is_some()
    }

    /// As history has it: who may come in, and nothing of how.
    pub fn masked(&self) -> Access {
        let tokens = self.tokens.iter().map(|token| Token { hash: super::MASK.into(), ..token.clone() });
        Access { password: self.password.as_ref().map(|_| super::MASK.into()), tokens: tokens.collect() }
    }
}

/// What cannot be: of the password, or of one of the tokens. Sentences.
pub(super) fn troubles(access: &Access) -> Vec<(Option<usize>, String)> {
    let mut troubles = Vec::new();
    if let Some(password) = &access.password
        && password != LOCKED
        && !password.starts_with("$argon2id$")
    {
        troubles.push((None, "The stored password is none that can be checked. Set it anew.".into()));
    }
    for (i, Token { name, hash, .. }) in access.tokens.iter().enumerate() {
        let shown = name.escape_debug();
        let before = &access.tokens[..i];
        if name.trim().is_empty() || name.len() > TOKEN_NAME_BYTES_MAX || name.chars().any(char::is_control) {
            troubles.push((
                Some(i),
                format!("The token's name `{shown}` cannot be. Write one line of 1 to {TOKEN_NAME_BYTES_MAX} characters."),
            ));
        } else if before.iter().any(|other| other.name == *name) {
            troubles.push((Some(i), format!("There is a token `{shown}` already. Choose another name, or remove that one.")));
        } else if hash.len() != HASH_DIGITS || !hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            troubles.push((Some(i), format!("The token `{shown}` is stored in a form that cannot be checked. Make it anew.")));
        } else if before.iter().any(|other| other.hash == *hash) {
            troubles.push((Some(i), format!("The token `{shown}` is stored twice. Remove one of the two.")));
        } else if i >= TOKENS_MAX {
            troubles.push((Some(i), format!("There are {TOKENS_MAX} tokens already, which is the most. Remove one first.")));
        }
    }
    troubles
}
