//! What the box shall be, as setup.txt says it. Taken as a whole or not at all: with one thing wrong, the box goes on as it last was
//! told, or as one that nobody has set up.

use std::{fs, io, ops::Range, path::Path};

use super::boot::{Boot, SECTOR};
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
    as_told(boot, data, is_first, objection)
}

/// By a boot partition that can be read.
fn as_told(boot: &Boot, data: &Path, is_first: bool, objection: impl Fn(&str) -> Option<String>) -> Intent {
    let (bytes, outcome) = match boot.read(FILE) {
        // As a damaged folder or a slip of the hand leaves it: nobody has said that the box shall be another one.
        Ok(None) => return untold("is not on the card", data),
        Ok(Some(bytes)) if bytes.is_empty() => return untold("is empty", data),
        Ok(Some(bytes)) => {
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

/// A box that was told nothing before has nothing to lose, and says nothing.
fn untold(how: &str, data: &Path) -> Intent {
    let setup = last_good(data);
    let has_more = setup != Setup::default();
    let problem = || {
        format!(
            "{FILE} {how}, so the box goes on as it was before. Write it anew. To begin with nothing, put RESET.TXT with the word factory onto the card, or a {FILE} whose lines all begin with #."
        )
    };
    Intent { setup, settings: None, problems: has_more.then(problem).into_iter().collect() }
}

/// Called when the hash of the password that the file has is on the disk, or was not wanted. `is_kept`: that disk outlives a power cut. What
/// is returned is a sentence for people.
pub fn take_password_out(boot: &Boot, is_kept: bool) -> Option<String> {
    let bytes = boot.read(FILE).ok()??;
    let line = setup::password_line(&bytes)?;
    if !is_kept {
        return Some(format!(
            "The password stays in {FILE}, because nothing else is kept over a power cut: without it, the dashboard would belong to whoever comes first. It is taken out at the first start with a card that can be written."
        ));
    }
    if let Err(error) = cover(boot, line) {
        return Some(format!("The password still stands in {FILE}, which cannot be written ({error}). Take it out."));
    }
    let written = setup::without_password(&bytes).map_or(Ok(()), |without| boot.write(FILE, &without));
    if let Err(error) = written {
        tracing::warn!("{FILE} has a line of # where the password was: it cannot be written ({error})");
    }
    None
}

/// In its place: what a new file replaces stays on the card, for whoever looks for it. The last sector first, so that a power cut in between
/// leaves a line that is found again.
fn cover(boot: &Boot, line: Range<usize>) -> io::Result<()> {
    let mut end = line.end;
    while end > line.start {
        let from = line.start.max((end - 1) / SECTOR * SECTOR);
        boot.overwrite(FILE, from as u64, &vec![b'#'; end - from])?;
        end = from;
    }
    Ok(())
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

    #[test]
    fn a_file_that_is_gone_or_empty_changes_nothing_and_one_of_comments_begins_anew() {
        let (boot, data) = (folder("gone-boot"), folder("gone-data"));
        let intent = || as_told(&Boot::new(boot.clone()), &data, false, |_| None);
        let is_fresh = |intent: Intent| intent.setup == Setup::default() && intent.problems.is_empty();
        assert!(is_fresh(intent()), "a first start without a file");
        fs::write(boot.join(FILE), "name = cellar\naddress = 192.0.2.2/24\n").expect("written");
        assert_eq!(intent().problems, [""; 0]);
        fs::remove_file(boot.join(FILE)).expect("removed");
        for how in ["setup.txt is not on the card", "setup.txt is empty"] {
            // Twice: the last good one is still there at the next start.
            for _ in 0..2 {
                let intent = intent();
                assert_eq!(intent.setup.name.as_deref(), Some("cellar"), "{how}");
                assert!(intent.problems.len() == 1 && intent.problems[0].starts_with(how), "{:?}", intent.problems);
                assert!(intent.problems[0].contains("RESET.TXT with the word factory"), "{:?}", intent.problems);
            }
            fs::write(boot.join(FILE), "").expect("written");
        }
        fs::write(boot.join(FILE), "# name = attic\r\n").expect("written");
        assert!(is_fresh(intent()));
        fs::remove_file(boot.join(FILE)).expect("removed");
        assert!(is_fresh(intent()), "what it was before is forgotten");
        for folder in [boot, data] {
            fs::remove_dir_all(folder).expect("removed");
        }
    }

    #[test]
    fn the_password_is_covered_in_its_place_before_the_file_is_written_anew() {
        let boot = folder("password");
        let password_at = |before: usize| format!("#{}\r\npassword = correct horse battery\r\nname = x\r\n", "-".repeat(before));
        for before in [0, 480, 490, 500] {
            fs::write(boot.join(FILE), password_at(before)).expect("written");
            // What was there before stays in reach as this, as a freed cluster does.
            fs::hard_link(boot.join(FILE), boot.join("old")).expect("a second name");
            assert_eq!(take_password_out(&Boot::new(boot.clone()), true), None);
            for name in [FILE, "old"] {
                let text = fs::read_to_string(boot.join(name)).expect("text");
                assert!(!text.contains("horse") && text.ends_with("\r\nname = x\r\n"), "{name}: {text}");
                assert!(setup::read(text.as_bytes()).is_ok_and(|setup| setup.password.is_none()), "{name}: {text}");
            }
            assert_eq!(fs::metadata(boot.join("old")).expect("a file").len(), password_at(before).len() as u64);
            fs::remove_file(boot.join("old")).expect("removed");
        }
        fs::remove_dir_all(&boot).expect("removed");
    }

    #[test]
    fn the_password_stays_where_nothing_else_is_kept() {
        let boot = folder("memory");
        fs::write(boot.join(FILE), "password = correct horse battery\n").expect("written");
        let told = take_password_out(&Boot::new(boot.clone()), false);
        assert!(told.is_some_and(|told| told.starts_with("The password stays in setup.txt")));
        assert!(fs::read_to_string(boot.join(FILE)).is_ok_and(|text| text.contains("correct horse")));
        fs::write(boot.join(FILE), "name = x\n").expect("written");
        assert_eq!(take_password_out(&Boot::new(boot.clone()), false), None, "there is none");
        fs::remove_dir_all(&boot).expect("removed");
    }
}
