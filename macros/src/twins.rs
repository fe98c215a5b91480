//! Numbers for functions of one name and one text.
//!
//! The compiler prints one path for two such functions in two blocks of one function, and tells them apart by a number that no
//! program can read. So this room counts them too: a function is the first, the second, .. of its name and text in its
//! crate. The compiler expands each attribute once, in the order of the source, in one process for each crate. So two
//! functions never have one number, and two builds of one source give equal numbers.
//!
//! A position in the source would not do: all functions that one call of a macro writes have the same one.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// How many functions of a name and a text were expanded.
static EXPANDED: Mutex<BTreeMap<(String, u64), u32>> = Mutex::new(BTreeMap::new());

/// How many functions of this name and text were expanded before. Call it once for each function.
pub(crate) fn number(name: String, text: u64) -> u32 {
    let mut expanded = EXPANDED.lock().unwrap_or_else(PoisonError::into_inner);
    let next = expanded.entry((name, text)).or_default();
    let number = *next;
    *next += 1;
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_one_name_and_text_are_counted() {
        let numbers = [("counted", 1), ("counted", 1), ("counted", 2), ("other", 1), ("counted", 1)]
            .map(|(name, text)| number(name.to_owned(), text));
        assert_eq!(numbers, [0, 1, 0, 0, 2]);
    }
}
