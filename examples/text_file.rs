//! Reading a text file: which of its words are probably misspelt. Shows `files(path)`: an edited file is a miss.
//!
//! ```text
//! cargo run -p examples --example text_file                # run it twice: the second time is a hit
//! cargo run -p examples --example text_file -- README.md   # another file
//! ```

use std::{collections::BTreeMap, env, error::Error, fs, io, path::Path};

use memolith::memo;

const TEXT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/design.md");

/// Words that occur once, each with a more frequent word that is one letter away.
///
/// The path alone would be a poor key: the file changes under it. With `files` the key is the path, the length and the
/// time of the last change. A file that cannot be read is an error of the caller, and never stored.
#[memo(files(path))]
fn misspelt(path: &Path) -> io::Result<Vec<(String, String)>> {
    // The body is part of the function's version, and so are these two helpers.
    fn count(text: &str) -> BTreeMap<Vec<char>, usize> {
        let mut words = BTreeMap::new();
        let letters = |word: &str| word.to_lowercase().chars().collect();
        for word in text.split(|letter: char| !letter.is_alphabetic()).filter(|word| word.len() > 4) {
            *words.entry(letters(word)).or_insert(0) += 1;
        }
        words
    }

    /// One letter differs, is missing or is too many: it alone is left between the common beginning and the common
    /// end.
    fn one_letter_away(one: &[char], other: &[char]) -> bool {
        let beginning = one.iter().zip(other).take_while(|(a, b)| a == b).count();
        let rests = one.iter().skip(beginning).rev().zip(other.iter().skip(beginning).rev());
        let end = rests.take_while(|(a, b)| a == b).count();
        one.len().max(other.len()) - beginning - end == 1
    }

    let words = count(&fs::read_to_string(path)?);
    let (rare, frequent): (Vec<_>, Vec<_>) = words.iter().partition(|(_, times)| **times == 1);
    let pairs = rare.iter().flat_map(|(word, _)| frequent.iter().map(move |(other, _)| (*word, *other)));
    let near = pairs.filter(|(word, other)| one_letter_away(word, other));
    Ok(near.map(|(word, other)| (String::from_iter(word), String::from_iter(other))).collect())
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args_os().nth(1).unwrap_or_else(|| TEXT.into());
    let path = Path::new(&path);
    let words = timed::memo(misspelt_memo(), path.display(), || misspelt(path))?;
    for (word, frequent) in words.iter().take(5) {
        println!("`{word}` may be meant to be `{frequent}`");
    }
    println!("{} words to look at", words.len());
    timed::kept();
    Ok(())
}
