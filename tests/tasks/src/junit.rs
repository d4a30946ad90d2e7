//! Whether every test that is written down did run: JUnit passes over some without a word, such as one
//! that gives a value back.

use std::fs;
use std::path::Path;

use crate::machine::top;

/// Compares the functions marked as tests in the Kotlin sources with those that the reports name.
pub(crate) fn all_ran(sources: &str, reports: &str) -> Result<(), String> {
    let written = count(&top().join(sources), "kt", &|text| {
        text.lines().filter(|line| line.trim_start().starts_with("@Test")).count()
    })?;
    let ran = count(&top().join(reports), "xml", &|text| text.matches("<testcase ").count())?;
    if written == 0 || ran != written {
        return Err(format!("{sources} has {written} tests, and {ran} ran"));
    }
    println!("{ran} of {written} tests ran");
    Ok(())
}

fn count(folder: &Path, ending: &str, in_text: &dyn Fn(&str) -> usize) -> Result<usize, String> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| format!("{path}: {error}")
    };
    let mut sum = 0;
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        if path.is_dir() {
            sum += count(&path, ending, in_text)?;
        } else if path.extension().is_some_and(|found| found == ending) {
            sum += in_text(&fs::read_to_string(&path).map_err(failed(&path))?);
        }
    }
    Ok(sum)
}
