//! Tests on the source itself: absences that code cannot show.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every Rust file under a path of the repository, with the tests at its end cut off.
fn sources(under: &str) -> Vec<(PathBuf, String)> {
    let path = top().join(under);
    let mut found = Vec::new();
    if path.is_file() {
        found.push(path);
    } else {
        collect(&path, &mut found);
    }
    assert!(!found.is_empty(), "{under} has sources");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
        (path, code)
    };
    found.into_iter().map(read).collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            // `tests` beside a module are tests, and `target` is nobody's source.
            if !path.ends_with("target") && !path.ends_with("tests") && !path.ends_with("node_modules") {
                collect(&path, found);
            }
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

/// Whether a line has a word; a field that is `awaited` is no `.await`.
fn has(line: &str, word: &str) -> bool {
    let goes_on = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    line.split(word).skip(1).any(|rest| word != ".await" || !goes_on(rest))
}

/// No line of code outside a comment has any of the words.
fn lacks(under: &str, words: &[&str]) {
    for (path, code) in sources(under) {
        for (number, line) in code.lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for word in words {
                assert!(!has(line, word), "{}:{}: {word}", path.display(), number + 1);
            }
        }
    }
}

#[test]
fn sans_io_code_has_no_clock_randomness_thread_file_socket_or_async() {
    for under in ["core/src/protocol.rs", "core/src/protocol", "server/src/relay/room.rs"] {
        lacks(
            under,
            &[
                "Instant::",
                "SystemTime",
                "getrandom",
                "std::thread",
                "std::fs",
                "std::net",
                "async ",
                ".await",
                "tokio",
                "HashMap",
                "HashSet",
            ],
        );
    }
}

#[test]
fn the_protocol_and_the_store_never_name_each_other() {
    lacks("core/src/protocol", &["crate::store", "crate::engine"]);
    lacks("core/src/store", &["crate::protocol", "crate::engine"]);
    lacks("core/src/store.rs", &["crate::protocol", "crate::engine"]);
}

#[test]
fn only_the_client_of_the_core_is_asynchronous() {
    for (path, _) in sources("core/src") {
        let inside = path.strip_prefix(top().join("core/src")).unwrap();
        let is_client = inside.starts_with("client") || inside.starts_with("client.rs");
        if !is_client {
            lacks(&Path::new("core/src").join(inside).to_string_lossy(), &["tokio", ".await"]);
        }
    }
}

#[test]
fn there_is_no_mod_rs_and_no_unfinished_code() {
    for under in ["core/src", "server/src", "bindings/src", "tests"] {
        for (path, code) in sources(under) {
            assert!(!path.ends_with("mod.rs"), "{}", path.display());
            for word in ["todo!(", "unimplemented!(", "FIXME"].map(str::to_owned) {
                let here = path.ends_with("tidy/main.rs");
                assert!(here || !code.contains(&word), "{}: {word}", path.display());
            }
        }
    }
}

#[test]
fn the_top_level_is_what_was_agreed() {
    let visible: Vec<String> = fs::read_dir(top())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect();
    let agreed = [
        "Cargo.lock",
        "Cargo.toml",
        "README.md",
        "bindings",
        "core",
        "mobile-examples",
        "server",
        "target",
        "tests",
    ];
    for name in &visible {
        assert!(agreed.contains(&name.as_str()), "{name} is not agreed");
    }
}
