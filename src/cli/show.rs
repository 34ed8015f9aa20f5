//! Tables and problems, as text.

use std::path::Path;

use twinlease::settings::parse::Problem;

/// Columns as wide as their widest cell; the last one is left as it is.
pub fn table(headings: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        println!("{}", padded.join("  ").trim_end());
    };
    line(&mut headings.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
}

pub fn problems(path: &Path, problems: &[Problem]) {
    for problem in problems {
        let line = problem.line.map(|line| format!("{line}:")).unwrap_or_default();
        eprintln!("{}:{line} {}", path.display(), problem.text);
    }
    let count = problems.len();
    eprintln!("{count} problem{}. Nothing was changed.", if count == 1 { "" } else { "s" });
}
