//! RESET.TXT: a file with one word, put on the card by whoever has no other way in.

use std::{fs, io, path::Path};

use super::boot::Boot;

pub const FILE: &str = "RESET.TXT";
/// The second is what Windows makes of the first where it hides the ends of names. The card's file system takes small letters for large.
const NAMES: [&str; 2] = [FILE, "RESET.TXT.TXT"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// Of the dashboard.
    Password,
    /// Forget the twin.
    Unpair,
    /// Forget everything.
    Factory,
    /// The card has moved: what the other hardware had is this box's.
    Adopt,
}

const ALL: [Reset; 4] = [Reset::Password, Reset::Unpair, Reset::Factory, Reset::Adopt];

impl Reset {
    /// As RESET.TXT has it.
    pub fn word(self) -> &'static str {
        match self {
            Reset::Password => "password",
            Reset::Unpair => "unpair",
            Reset::Factory => "factory",
            Reset::Adopt => "adopt",
        }
    }

    pub fn done(self) -> &'static str {
        match self {
            Reset::Password => {
                "RESET.TXT: the password of the dashboard is forgotten. Open the dashboard now: whoever does so first sets it."
            }
            Reset::Unpair => {
                "RESET.TXT: the twin is forgotten. Where setup.txt has a pair key, take it out, or the two are twins again after the next start."
            }
            Reset::Factory => "RESET.TXT: everything was forgotten. The box started as one that was flashed just now.",
            Reset::Adopt => {
                "RESET.TXT: this box is the one that the card was in before. That one must stay off, or two devices may get one address."
            }
        }
    }
}

/// What is wished; the file is gone when this returns, and so is a second one: it would be followed at another start, long after. One
/// that cannot be taken away would reset the box at every start, so it is not followed. The error is a sentence.
pub fn take(boot: &Boot) -> Result<Option<Reset>, String> {
    let mut found = Vec::new();
    for name in NAMES {
        match boot.read(name) {
            Ok(bytes) => found.extend(bytes.map(|bytes| (name, bytes))),
            Err(error) => return Err(format!("{name} cannot be read: {error}. Write it anew.")),
        }
    }
    let Some((name, bytes)) = found.first() else { return Ok(None) };
    let text = String::from_utf8_lossy(bytes);
    let word = text.trim_start_matches('\u{feff}').trim().to_ascii_lowercase();
    let known = ALL.into_iter().find(|reset| reset.word() == word);
    let reset = known.ok_or_else(|| {
        format!(
            "{name} holds none of the words that are known, so nothing was reset. Write one of: password, unpair, factory, adopt."
        )
    })?;
    for (name, _) in &found {
        boot.remove(name).map_err(|error| {
            format!("{name} cannot be taken away after its work ({error}), so nothing was reset. Is the card locked?")
        })?;
    }
    Ok(Some(reset))
}

/// All of the data partition but what its file system needs.
pub fn forget_everything(data: &Path) -> io::Result<()> {
    for entry in fs::read_dir(data)? {
        let entry = entry?;
        if entry.file_name() == "lost+found" {
            continue;
        }
        if entry.file_type()?.is_dir() { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
    }
    fs::File::open(data)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_known_word_is_followed_once_and_any_other_never() {
        let folder = std::env::temp_dir().join(format!("twinlease-reset-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let boot = Boot::new(folder.clone());
        assert_eq!(take(&boot), Ok(None));
        for (text, reset) in [("password", Reset::Password), ("\u{feff}Unpair\r\n", Reset::Unpair), (" FACTORY ", Reset::Factory)]
        {
            fs::write(folder.join(FILE), text).expect("written");
            assert_eq!(take(&boot), Ok(Some(reset)));
            assert_eq!(take(&boot), Ok(None), "it is gone");
        }
        for text in ["", "factory reset", "passwort"] {
            fs::write(folder.join(FILE), text).expect("written");
            assert!(take(&boot).is_err_and(|why| why.contains("password, unpair, factory, adopt")), "{text}");
            assert!(folder.join(FILE).exists());
        }
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn a_file_whose_end_windows_has_hidden_is_followed_once_too() {
        let folder = std::env::temp_dir().join(format!("twinlease-reset-hidden-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let boot = Boot::new(folder.clone());
        fs::write(folder.join("RESET.TXT.TXT"), "factory").expect("written");
        assert_eq!(take(&boot), Ok(Some(Reset::Factory)));
        assert_eq!(take(&boot), Ok(None), "it is gone");
        for name in NAMES {
            fs::write(folder.join(name), "password").expect("written");
        }
        assert_eq!(take(&boot), Ok(Some(Reset::Password)));
        assert_eq!(take(&boot), Ok(None), "both are gone");
        fs::write(folder.join("RESET.TXT.TXT"), "passwort").expect("written");
        assert!(take(&boot).is_err_and(|why| why.starts_with("RESET.TXT.TXT holds none")));
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn everything_is_forgotten_but_what_is_not_ours() {
        let data = std::env::temp_dir().join(format!("twinlease-factory-{}", std::process::id()));
        for name in ["lost+found", "snapshots/twin"] {
            fs::create_dir_all(data.join(name)).expect("a folder");
        }
        fs::write(data.join("twinlease.db"), "x").expect("written");
        forget_everything(&data).expect("forgotten");
        let left: Vec<_> = fs::read_dir(&data).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["lost+found"]);
        fs::remove_dir_all(&data).expect("removed");
    }
}
