//! Makes samples from error messages.
//!
//! A type that refuses a sample often names valid values: `unknown variant "", expected one of "red", "green"`; `a string
//! of length 24`; `must start with "usr_"`; `does not match ^[A-Z]{3}-\d{4}$`. The words, lengths and patterns of the
//! message become samples. Their meaning need not be known: they are tried like all other samples, and their number is
//! bounded.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use super::{pattern, texts};

/// Maximum number of samples from messages between one step ahead and the next.
const STALL: usize = 256;
/// Maximum number of samples from messages. It bounds the memory.
const ALL: usize = 1024;
/// Maximum length of a word, and of a text of a wanted length.
const LONGEST: usize = 256;
/// Maximum number of characters of a message. It bounds the work.
const MESSAGE: usize = 2048;
/// Maximum number of tokens of a message.
const TOKENS: usize = 96;
/// Maximum number of numbers of a message.
const NUMBERS: usize = 8;
/// Words before the valid values in a message.
const CUES: &[&str] = &[
    "expect", "one of", "must", "should", "like", "such as", "e.g.", "valid", "allowed", "either", "format",
    "match",
];

/// Samples from error messages, by their place in a list.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// Each once, and without those of `samples`. Truncated only, and never below a word that a node picked.
    words: Vec<String>,
    /// Number of words when a sample last made progress.
    kept: usize,
    /// Hashes of the messages that were read, without the refused samples in them.
    heard: HashSet<u64>,
}

impl Hints {
    pub(super) fn get(&self, index: usize) -> Option<&str> {
        self.words.get(index).map(String::as_str)
    }

    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    /// Removes the words after the first `used`, except those from before the latest progress.
    pub(super) fn keep(&mut self, used: usize) {
        self.kept = self.kept.max(used);
        self.words.truncate(self.kept);
        self.heard.clear();
    }

    /// Adds the words of the message about the sample `refused`, the likeliest first. A repeated message is read again only
    /// for another hint.
    pub(super) fn learn(&mut self, message: &str, refused: &str) {
        if !self.has_room() {
            return;
        }
        let message: String = message.chars().take(MESSAGE).collect();
        let is_hint = self.words.iter().any(|word| word == refused);
        if !self.heard.insert(hash(&message, refused)) && !is_hint {
            return;
        }
        let is_new = |word: &&str| !refused.contains(word);
        let quoted: Vec<&str> = quoted(&message).take(TOKENS).filter(is_new).collect();
        let wanted: Vec<&str> = wanted(&message).take(TOKENS).filter(is_new).collect();
        let numbers = numbers(&message, refused);
        let examples = quoted.iter().chain(&wanted).filter_map(|token| pattern::example(token));
        let words = quoted.iter().copied().map(String::from);
        let told = words.chain(examples).chain(wanted.iter().copied().map(String::from));
        let marks = wanted.iter().filter(|word| !word.chars().all(char::is_alphanumeric));
        let around = quoted.iter().chain(marks).flat_map(|word| around(word, refused));
        let lengths = numbers.iter().flat_map(|length| of_length(*length, refused));
        let neighbours = numbers.iter().flat_map(|number| [number + 1, number.saturating_sub(1)]);
        let numbers = numbers.iter().map(ToString::to_string);
        told.chain(numbers)
            .chain(lengths)
            .chain(around)
            .chain(neighbours.map(|number| number.to_string()))
            .for_each(|word| self.add(word));
    }

    fn add(&mut self, word: String) {
        // A number and a single character may be a sample for a leaf that is no text.
        let is_common = || texts::is_text(&word) && word.len() > 1 && word.parse::<f64>().is_err();
        if self.has_room() && word.len() <= LONGEST && !self.words.contains(&word) && !is_common() {
            self.words.push(word);
        }
    }

    fn has_room(&self) -> bool {
        self.words.len() < ALL.min(self.kept + STALL)
    }
}

/// Texts of a length from a message, in characters or in bytes of hexadecimal digits.
fn of_length(length: usize, refused: &str) -> Vec<String> {
    if length == 0 || length > LONGEST {
        return Vec::new();
    }
    let last = refused.chars().last().unwrap_or('a');
    let filled = refused.chars().chain(std::iter::repeat(last)).take(length).collect();
    // The samples have all lengths up to these.
    let long = texts::texts_of_length(length).filter(|_| length > texts::ALPHABET);
    let digits = texts::digits_of_length(length * 2);
    let prefixed = format!("0x{digits}");
    std::iter::once(filled).chain(long).chain([digits, prefixed]).collect()
}

/// Texts that begin or end with the word, or contain it.
fn around(word: &str, refused: &str) -> Vec<String> {
    if word.chars().count() > 16 {
        return Vec::new();
    }
    let fits = !refused.is_empty() && refused.len() < LONGEST / 2 && !refused.contains(word);
    let plain = [
        format!("{word}1"),
        format!("{word}a"),
        format!("a{word}"),
        format!("a{word}a"),
        format!("1{word}1"),
    ];
    let completed = [format!("{word}{refused}"), format!("{refused}{word}")];
    plain.into_iter().chain(completed.into_iter().filter(|_| fits)).collect()
}

/// A hash of a message without the sample in it.
fn hash(message: &str, refused: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    if refused.is_empty() {
        message.hash(&mut hasher);
    } else {
        message.split(refused).for_each(|part| part.hash(&mut hasher));
    }
    hasher.finish()
}

/// The parts between quotes of any kind.
fn quoted(message: &str) -> impl Iterator<Item = &str> {
    let pairs = [('`', '`'), ('"', '"'), ('\'', '\''), ('“', '”'), ('‘', '’'), ('«', '»')];
    pairs.into_iter().flat_map(move |(open, close)| between(message, open, close))
}

fn between(message: &str, open: char, close: char) -> impl Iterator<Item = &str> {
    let mut rest = message;
    let words = std::iter::from_fn(move || {
        loop {
            let (before, after) = rest.split_once(open)?;
            rest = after;
            // An apostrophe opens nothing.
            if !before.ends_with(char::is_alphanumeric) {
                let (word, after) = rest.split_once(close)?;
                rest = after;
                return Some(word);
            }
        }
    });
    words.filter(|word| !word.is_empty())
}

/// The words after a cue, and unusual words before it.
fn wanted(message: &str) -> impl Iterator<Item = &str> {
    let lower = message.to_ascii_lowercase();
    let cue = CUES.iter().filter_map(|cue| lower.find(cue)).min().unwrap_or(message.len());
    let (before, after) = message.split_at_checked(cue).unwrap_or((message, ""));
    let odd = |word: &&str| word.len() > 1 && word.chars().any(|c| !c.is_ascii_lowercase());
    tokens(after).chain(tokens(before).filter(odd))
}

fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let separates = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '|');
    let whole = text.split(char::is_whitespace).filter(move |token| token.contains(separates));
    let edge = |c: char| matches!(c, ',' | ';' | ':' | '.' | '!' | '(' | ')' | '`' | '"' | '\'' | '“' | '”');
    whole
        .chain(text.split(separates))
        .map(move |token| token.trim_matches(edge))
        .filter(|token| !token.is_empty())
}

/// The numbers of the message, without those of the refused text.
fn numbers(message: &str, refused: &str) -> Vec<usize> {
    let is_text = refused.contains(|c: char| !c.is_ascii_digit());
    let rest = if is_text { message.replace(refused, " ") } else { message.to_owned() };
    let digits =
        rest.split(|c: char| !c.is_ascii_digit()).filter(|digits| digits.len() < 10 && *digits != refused);
    digits.filter_map(|digits| digits.parse().ok()).take(NUMBERS).collect()
}
