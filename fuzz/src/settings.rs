//! Any text as a settings file: never a panic, and every problem is a sentence.

use twinlease::settings::{check, parse};

pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match parse::parse(text) {
        Ok(settings) => {
            assert!(check::check(&settings).is_empty(), "what parses has no problem left");
            assert_eq!(parse::parse(text).as_ref(), Ok(&settings));
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a problem");
            let lines = text.split('\n').count();
            for problem in problems {
                assert!(!problem.text.is_empty(), "a problem without a sentence");
                assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)), "{problem} is not in the file");
                let _ = problem.to_string();
            }
        }
    }
}
