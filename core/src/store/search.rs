//! Making words findable however they were typed, in Arabic and in Latin letters.
//!
//! A word is indexed twice: folded (hamza, alef, ya, ta marbuta, marks, digits, case all made equal)
//! and stemmed (without article, conjunction and the commonest endings, after Lucene's light10). A
//! query asks for either, so a word is found with or without its article.
//!
//! What a letter folds to is decided by Unicode's tables and a few rules, and looked up once: nearly every
//! letter that is ever typed comes before U+0700, and of those the answers are kept.

use std::sync::LazyLock;

use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// Letters of one token that are indexed; nobody types more, and an index need not hold more.
const TOKEN_CHARS_MAX: usize = 48;
/// Words of one query that are looked at.
const QUERY_WORDS_MAX: usize = 16;

const PREFIXES: [&str; 7] = ["ال", "وال", "بال", "كال", "فال", "لل", "و"];
/// Longer endings first; each is tried once, in this order, so that two may fall.
const SUFFIXES: [&str; 8] = ["ها", "ان", "ات", "ون", "ين", "يه", "ه", "ي"];

/// Makes equal what is typed differently: `الأَطْفَال`, `الاطفال` and `الاطفـال` become one.
pub fn arabic_fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for_each_folded(text, |letter, _| folded.push(letter));
    folded
}

/// Calls `take` with each folded letter, and with whether it belongs to a word.
fn for_each_folded(text: &str, mut take: impl FnMut(char, bool)) {
    let table: &[Fold] = &FOLDS;
    for letter in text.chars() {
        match table.get(letter as usize) {
            Some(Fold::Nothing) => {}
            Some(Fold::To { letter, is_word }) => take(*letter, *is_word),
            Some(Fold::Many) | None => fold_by_rule(letter, |letter| take(letter, letter.is_alphanumeric())),
        }
    }
}

/// What one letter folds to.
#[derive(Debug, Clone, Copy)]
enum Fold {
    Nothing,
    To { letter: char, is_word: bool },
    Many,
}

/// Latin, Greek, Cyrillic, Hebrew, Arabic.
static FOLDS: LazyLock<Vec<Fold>> = LazyLock::new(|| {
    let fold = |letter: char| {
        let mut folded = Vec::new();
        fold_by_rule(letter, |letter| folded.push(letter));
        match folded[..] {
            [] => Fold::Nothing,
            [letter] => Fold::To { letter, is_word: letter.is_alphanumeric() },
            _ => Fold::Many,
        }
    };
    ('\0'..'\u{700}').map(fold).collect()
});

fn fold_by_rule(letter: char, mut take: impl FnMut(char)) {
    // Decomposing turns every hamza carrier into its letter and a mark, which is then dropped. That it
    // would also put marks in order is no matter.
    decompose_compatible(letter, |part| {
        if !is_combining_mark(part) && !is_invisible(part) {
            fold_letter(part).to_lowercase().for_each(&mut take);
        }
    });
}

/// Tatweel, joiners and marks of direction, which are seen by nobody who searches.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{640}' | '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn fold_letter(c: char) -> char {
    match c {
        'أ' | 'إ' | 'آ' | 'ٱ' => 'ا',
        'ى' | 'ی' | 'ې' => 'ي',
        'ة' | 'ہ' | 'ە' | 'ھ' => 'ه',
        'ک' | 'ڪ' => 'ك',
        'ؤ' => 'و',
        'ئ' => 'ي',
        '٠'..='٩' => digit(c, '٠'),
        '۰'..='۹' => digit(c, '۰'),
        _ => c,
    }
}

fn digit(c: char, zero: char) -> char {
    char::from(b'0' + (c as u32 - zero as u32) as u8)
}

/// A folded word without article, conjunction and the commonest endings; other scripts stay as they are.
pub fn light_stem(folded: &str) -> &str {
    let mut word = folded;
    if !word.starts_with(|c| ('\u{621}'..='\u{64a}').contains(&c)) {
        return word;
    }
    let long_enough = |rest: &str, min: usize| rest.chars().nth(min - 1).is_some();
    for prefix in PREFIXES {
        // A single letter is more often part of the word: it falls only from what stays long.
        let rest_min = if prefix == "و" { 3 } else { 2 };
        if let Some(rest) = word.strip_prefix(prefix).filter(|rest| long_enough(rest, rest_min)) {
            word = rest;
            break;
        }
    }
    for suffix in SUFFIXES {
        if let Some(rest) = word.strip_suffix(suffix).filter(|rest| long_enough(rest, 2)) {
            word = rest;
        }
    }
    word
}

/// Calls `take` with each folded word.
fn for_each_word(text: &str, mut take: impl FnMut(&str)) {
    let (mut word, mut letters) = (String::with_capacity(64), 0);
    for_each_folded(text, |letter, is_word| match is_word {
        true if letters < TOKEN_CHARS_MAX => {
            word.push(letter);
            letters += 1;
        }
        true => {}
        false => {
            if letters > 0 {
                take(&word);
            }
            word.clear();
            letters = 0;
        }
    });
    if letters > 0 {
        take(&word);
    }
}

/// What goes into the index for these texts: every word folded, and its stem where it differs.
pub(super) fn index_text<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut index = String::new();
    for text in texts {
        for_each_word(text, |word| {
            index.push_str(word);
            index.push(' ');
            let stem = light_stem(word);
            if stem != word {
                index.push_str(stem);
                index.push(' ');
            }
        });
    }
    index
}

/// The full-text query for what somebody typed: every word, each as the beginning of a word or by
/// its stem. `None` if no word is in it, which finds everything.
pub(super) fn match_expression(typed: &str) -> Option<String> {
    let mut clauses = Vec::new();
    for_each_word(typed, |word| {
        let stem = light_stem(word);
        clauses.push(if stem == word {
            format!("\"{word}\"*")
        } else {
            format!("(\"{word}\"* OR \"{stem}\")")
        });
    });
    clauses.truncate(QUERY_WORDS_MAX);
    (!clauses.is_empty()).then(|| clauses.join(" AND "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_differently_folds_to_one_form() {
        for (typed, folded) in [
            ("أحمد", "احمد"),
            ("إسعاف", "اسعاف"),
            ("آبار", "ابار"),
            ("ٱلماء", "الماء"),
            ("مستشفى", "مستشفي"),
            ("قافلة", "قافله"),
            ("مسؤول", "مسوول"),
            ("طوارئ", "طواري"),
            ("عائلة", "عايله"),
            ("الطَّرِيقُ", "الطريق"),
            ("دوريـــة", "دوريه"),
            ("پاسگاه مرزی", "پاسگاه مرزي"),
            ("کویر", "كوير"),
            ("٤٢ شخصاً", "42 شخصا"),
            ("۱۲۳", "123"),
            ("ﻻجئين", "لاجيين"), // a presentation form, as old software writes it
            ("غات\u{200f}", "غات"),
            ("Zuwārah ÉQUIPE", "zuwarah equipe"),
        ] {
            assert_eq!(arabic_fold(typed), folded, "{typed}");
        }
    }

    /// Unicode's own functions on the whole text, as slowly as they are.
    #[test]
    fn every_letter_folds_as_the_rules_say_on_its_own_and_among_others() {
        use unicode_normalization::UnicodeNormalization;
        let by_rule = |text: &str| -> String {
            let marks_gone = text.nfkd().filter(|c| !is_combining_mark(*c) && !is_invisible(*c));
            marks_gone.map(fold_letter).flat_map(char::to_lowercase).collect()
        };
        for letter in '\0'..='\u{1ffff}' {
            let text = String::from(letter);
            assert_eq!(arabic_fold(&text), by_rule(&text), "{letter:?}");
        }
        let all: String = ('\u{20}'..'\u{3100}').chain('\u{f900}'..'\u{ffff}').collect();
        let backwards: String = all.chars().rev().collect();
        for text in [&all, &backwards] {
            assert_eq!(arabic_fold(text), by_rule(text));
            let folded = by_rule(text);
            let words = folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
            let cut = words.map(|word| word.chars().take(TOKEN_CHARS_MAX).collect::<String>());
            let mut found = Vec::new();
            for_each_word(text, |word| found.push(word.to_owned()));
            assert_eq!(found, cut.collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_article_and_the_commonest_endings_fall() {
        for (word, stem) in [
            ("المريض", "مريض"),
            ("والمريض", "مريض"),
            ("بالمركبة", "مركب"),
            ("كالجبل", "جبل"),
            ("فالطريق", "طريق"),
            ("للمهاجرين", "مهاجر"),
            ("وسيارة", "سيار"),
            ("سيارات", "سيار"),
            ("السيارتان", "سيارت"),
            ("مهربون", "مهرب"),
            ("المهربين", "مهرب"),
            ("حدودية", "حدود"),
            ("ولد", "ولد"), // the letter belongs to the word
            ("ماء", "ماء"),
            ("بئر", "بير"),
            ("water", "water"),
            ("al", "al"),
        ] {
            assert_eq!(light_stem(&arabic_fold(word)), stem, "{word}");
        }
    }

    #[test]
    fn a_word_is_indexed_as_typed_and_as_its_stem() {
        assert_eq!(index_text(["المريض people_in_distress", "٣"]), "المريض مريض people in distress 3 ");
    }

    #[test]
    fn what_is_typed_cannot_break_out_of_the_query() {
        for typed in ["\"", "a\" OR \"b", "NEAR(a b)", "text:x*", "-a", "(", ")", "*", "a^2", "\0a"] {
            let expression = match_expression(typed);
            let connection = rusqlite::Connection::open_in_memory().unwrap();
            let table = "CREATE VIRTUAL TABLE t USING fts5 (text, detail = none, tokenize = 'ascii')";
            connection.execute_batch(table).unwrap();
            if let Some(expression) = expression {
                let found: Result<i64, _> =
                    connection.query_row("SELECT count(*) FROM t WHERE t MATCH ?1", [&expression], |row| {
                        row.get(0)
                    });
                assert_eq!(found, Ok(0), "{typed:?} became {expression}");
            }
        }
        assert_eq!(match_expression(" ، "), None);
    }
}
