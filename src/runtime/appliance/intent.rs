//! What the box shall be, as setup.txt says it. Taken as a whole or not at all: with one thing wrong, the box goes on as it last was
//! told, or as one that nobody has set up.

use std::{fs, path::Path};

use super::boot::Boot;
use crate::{
    runtime::partner::file,
    settings::{
        Settings, parse,
        setup::{self, Setup},
    },
};

pub const FILE: &str = "setup.txt";
/// On the data partition: the last one that was good, without its password.
const LAST_GOOD: &str = "setup.txt";

#[derive(Debug, Default)]
pub struct Intent {
    pub setup: Setup,
    /// From the file that setup.txt names.
    pub settings: Option<Settings>,
    /// Sentences with their remedy.
    pub problems: Vec<String>,
}

/// `is_first`: the settings file counts. `objection`: why something cannot be a password.
pub fn read(boot: &Boot, data: &Path, is_first: bool, objection: impl Fn(&str) -> Option<String>) -> Intent {
    if !boot.is_mounted() {
        return Intent { setup: last_good(data), ..Intent::default() };
    }
    let (bytes, outcome) = match boot.read(FILE) {
        Ok(bytes) => {
            let bytes = bytes.unwrap_or_default();
            let outcome = understood(boot, &bytes, is_first, objection);
            (bytes, outcome)
        }
        Err(error) => (Vec::new(), Err(vec![format!("{FILE} cannot be read: {error}. Write it anew, or flash the card anew.")])),
    };
    match outcome {
        Ok((setup, settings)) => {
            let kept = setup::without_password(&bytes).unwrap_or(bytes);
            let mut problems = Vec::new();
            if fs::read(data.join(LAST_GOOD)).ok().as_ref() != Some(&kept)
                && let Err(error) = file::write(&data.join(LAST_GOOD), &kept)
            {
                problems.push(format!("What {FILE} says cannot be kept for later: {error}. Look at the card."));
            }
            Intent { setup, settings, problems }
        }
        Err(mut problems) => {
            problems.push(format!("Nothing of {FILE} is used until that is corrected; the box goes on as it was before."));
            Intent { setup: last_good(data), settings: None, problems }
        }
    }
}

fn last_good(data: &Path) -> Setup {
    fs::read(data.join(LAST_GOOD)).ok().and_then(|bytes| setup::read(&bytes).ok()).unwrap_or_default()
}

fn understood(
    boot: &Boot,
    bytes: &[u8],
    is_first: bool,
    objection: impl Fn(&str) -> Option<String>,
) -> Result<(Setup, Option<Settings>), Vec<String>> {
    let setup = setup::read(bytes).map_err(|problems| told(FILE, &problems))?;
    let mut problems: Vec<String> =
        setup.password.as_deref().and_then(objection).map(|why| format!("{FILE}: {why}")).into_iter().collect();
    let mut settings = None;
    if let Some(name) = setup.settings.as_deref().filter(|_| is_first) {
        match boot.read(name) {
            Ok(None) => problems.push(format!(
                "{FILE} names the settings file `{name}`, which is not beside it. Copy it to the card, or take the line out."
            )),
            Err(error) => problems.push(format!("The settings file `{name}` cannot be read: {error}. Copy it to the card anew.")),
            Ok(Some(bytes)) => match String::from_utf8(bytes) {
                Err(_) => problems.push(format!("The settings file `{name}` is not UTF-8 text. Save it as UTF-8.")),
                Ok(text) => match parse::parse(text.trim_start_matches('\u{feff}')) {
                    Ok(read) => settings = Some(read),
                    Err(wrong) => problems.extend(told(name, &wrong)),
                },
            },
        }
    }
    if problems.is_empty() { Ok((setup, settings)) } else { Err(problems) }
}

fn told(file: &str, problems: &[parse::Problem]) -> Vec<String> {
    let place = |problem: &parse::Problem| problem.line.map_or_else(|| file.to_owned(), |line| format!("{file}, line {line}"));
    problems.iter().map(|problem| format!("{}: {}", place(problem), problem.text)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("twinlease-intent-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    fn understand(boot: &Path, text: &str) -> Result<(Setup, Option<Settings>), Vec<String>> {
        understood(&Boot::new(boot.into()), text.as_bytes(), true, |password| (password.len() < 12).then(|| "Too short.".into()))
    }

    #[test]
    fn one_wrong_thing_in_the_settings_file_or_the_password_and_nothing_counts() {
        let boot = folder("whole");
        let problem = |text: &str| understand(&boot, text).expect_err("a problem").join(" ");
        assert!(problem("settings = home.toml\n").contains("which is not beside it"));
        fs::write(boot.join("home.toml"), "[server]\nnonsense = 1\n").expect("written");
        let told = problem("name = x\nsettings = home.toml\npassword = 0123456789\n");
        assert!(told.contains("home.toml, line 2: ") && told.contains("setup.txt: Too short."), "{told}");
        fs::write(boot.join("home.toml"), include_str!("../../../examples/home.toml")).expect("written");
        let (setup, settings) = understand(&boot, "name = x\nsettings = home.toml\n").expect("good");
        assert_eq!(setup.name.as_deref(), Some("x"));
        assert!(settings.is_some_and(|settings| !settings.subnets.is_empty()));
        fs::remove_dir_all(&boot).expect("removed");
    }

    #[test]
    fn without_its_boot_partition_the_box_is_what_it_was_last() {
        let data = folder("last");
        fs::write(data.join(LAST_GOOD), "name = cellar\naddress = 192.0.2.2/24\n").expect("written");
        let intent = read(&Boot::new(data.clone()), &data, false, |_| None);
        assert_eq!(intent.setup.name.as_deref(), Some("cellar"));
        fs::write(data.join(LAST_GOOD), "\0\0").expect("written");
        assert_eq!(read(&Boot::new(data.clone()), &data, false, |_| None).setup, Setup::default());
        fs::remove_dir_all(&data).expect("removed");
    }
}
