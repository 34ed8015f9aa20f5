//! Any text as a settings file: never a panic, every problem a sentence, and what is
//! written again reads the same.

use twinlease::settings::{check, parse, render};

pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match parse::parse(text) {
        Ok(settings) => {
            assert!(check::check(&settings).is_empty(), "what parses has no problem left");
            let file = render::render(&settings);
            assert_eq!(parse::parse(&file).as_ref(), Ok(&settings), "read back from {file}");
            assert_eq!(render::render(&parse::parse(&file).expect("just read")), file, "the file is the same each time");
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
