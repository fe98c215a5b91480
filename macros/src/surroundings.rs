//! The block around a function, by the text of its source file.
//!
//! An attribute sees only its function. In an `impl` of a trait the companions cause a compile error with a poor message, and
//! `Self` exists only in an `impl`, for functions with a companion. So this room finds the block in the text before the function. If the text is
//! not available, or not understood, the compiler reports its own error, and `Self` is not used.

use proc_macro2::Ident;
use syn::ext::IdentExt;

/// Whether the function of this name is in an `impl` of a trait.
pub(crate) fn is_in_trait_impl(function: &Ident) -> bool {
    is_in(function, heads_trait_impl)
}

/// Whether the function of this name is in an `impl`.
pub(crate) fn is_in_impl(function: &Ident) -> bool {
    is_in(function, heads_impl)
}

/// Whether the text before the block around the function is such a head.
fn is_in(function: &Ident, is_head: impl FnOnce(&str) -> bool) -> bool {
    // Outside of a compiler there is no file.
    if !proc_macro::is_available() {
        return false;
    }
    let place = function.span().unwrap();
    let text = place.local_file().and_then(|file| std::fs::read_to_string(file).ok());
    let before = text.as_deref().and_then(|text| before(text, place.line(), place.column(), function));
    before.and_then(block).is_some_and(is_head)
}

/// The text before the function's name. `None` if the name is not at its place, because the file was edited since.
fn before<'a>(text: &'a str, line: usize, column: usize, name: &Ident) -> Option<&'a str> {
    let begin: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let rest = text.get(begin..)?;
    let at = rest.char_indices().nth(column.checked_sub(1)?).map(|(at, _)| begin + at)?;
    let is_there = text.get(at..)?.trim_start_matches("r#").starts_with(&name.unraw().to_string());
    text.get(..at).filter(|_| is_there)
}

/// The text before the innermost open brace at the end of `text`, from the end of the item before.
fn block(text: &str) -> Option<&str> {
    // For each open delimiter: the begin of its item, and its place.
    let mut open = Vec::new();
    let mut begin = 0;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let at = text.len() - rest.len();
        let skipped = skipped(rest);
        rest = rest.get(skipped.unwrap_or(first.len_utf8())..)?;
        if skipped.is_some() {
            continue;
        }
        match first {
            '{' | '[' | '(' => {
                open.push((first, begin, at));
                begin = at + 1;
            }
            ']' | ')' => begin = open.pop()?.1,
            '}' => {
                open.pop()?;
                begin = at + 1;
            }
            ';' => begin = at + 1,
            _ => {}
        }
    }
    let (_, begin, end) = open.pop().filter(|(delimiter, ..)| *delimiter == '{')?;
    text.get(begin..end)
}

/// Length of the comment, text or character at the beginning of `rest`. A name is skipped as a whole, because its end may
/// look like the beginning of a text.
fn skipped(rest: &str) -> Option<usize> {
    let until = |begin: usize, end: &str| Some(rest.get(begin..)?.find(end)? + begin + end.len());
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(comment(rest));
    }
    let name =
        rest.find(|character: char| !character.is_alphanumeric() && character != '_').unwrap_or(rest.len());
    let (prefix, after) = rest.split_at(name);
    let hashes = after.len() - after.trim_start_matches('#').len();
    let is_raw = matches!(prefix, "r" | "br" | "cr") && after.get(hashes..)?.starts_with('"');
    if is_raw {
        return until(name + hashes + 1, &format!("\"{}", "#".repeat(hashes)));
    }
    if after.starts_with('"') && matches!(prefix, "" | "b" | "c") {
        return Some(name + quoted(after, '"'));
    }
    if after.starts_with('\'') && matches!(prefix, "" | "b") {
        // A lifetime has no second quote after its first character.
        let mut characters = after.chars().skip(1);
        let is_character = characters.next() == Some('\\') || characters.next() == Some('\'');
        return Some(name + if is_character { quoted(after, '\'') } else { 1 });
    }
    (name > 0).then_some(name)
}

/// Length of a comment, with nested comments.
fn comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(after) = rest.get(at..).filter(|after| !after.is_empty()) {
        match () {
            () if after.starts_with("/*") => depth += 1,
            () if after.starts_with("*/") => depth -= 1,
            () => {
                at += after.chars().next().map_or(1, char::len_utf8);
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// Length of a text that begins and ends with `quote`.
fn quoted(rest: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if character == quote => return at + quote.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// `impl ..`, after attributes and modifiers.
fn heads_impl(head: &str) -> bool {
    let (mut rest, mut depth) = (head, 0_usize);
    while let Some(first) = rest.chars().next() {
        let skipped = skipped(rest);
        let (word, after) = rest.split_at(skipped.unwrap_or(first.len_utf8()));
        match first {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ if depth > 0 || word.starts_with('/') => {}
            _ if skipped.is_some() && !matches!(word, "unsafe" | "default") => return word == "impl",
            _ => {}
        }
        rest = after;
    }
    false
}

/// `impl .. for ..`, where `for` is neither that of `for<'a>` nor after a `where`.
fn heads_trait_impl(head: &str) -> bool {
    let mut rest = head;
    let mut is_impl = false;
    while let Some(first) = rest.chars().next() {
        let (word, after) = rest.split_at(skipped(rest).unwrap_or(first.len_utf8()));
        match word {
            "impl" => is_impl = true,
            "for" if !after.trim_start().starts_with('<') => return is_impl,
            "where" => return false,
            _ => {}
        }
        rest = after;
    }
    false
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;

    use super::*;

    #[track_caller]
    fn is_in_trait_impl(text: &str) -> bool {
        let at = text.find("fn load").unwrap() + 3;
        block(&text[..at]).is_some_and(heads_trait_impl)
    }

    #[test]
    fn an_impl_of_a_trait_is_seen() {
        for text in [
            "impl Load for Rides { #[memo] fn load(&self) {} }",
            "impl<'a, T: for<'b> Tr<'b>> a::Load<'a, T> for Rides<T> where T: Copy { fn other() {} #[memo]\n fn load",
            "mod a { unsafe impl Load for [u8; { 3 }] { const A: char = '{'; const B: &str = \"}\\\"{\"; fn load",
            "#[cfg(unix)] impl Load for Rides { /* } /* { */ */ // }\n fn a() -> &'static str { r#\"}\"# } fn load",
            "macro_rules! m { ($t:ty) => { impl Load for $t { fn load",
        ] {
            assert!(is_in_trait_impl(text), "{text}");
        }
    }

    #[test]
    fn other_places_are_not_taken_for_one() {
        for text in [
            "fn load",
            "impl Rides { fn load",
            "impl<T> Rides<T> where for<'a> T: Tr<'a> { fn load",
            "impl Load for Rides {} fn load",
            "impl Load for Rides { fn a() { fn load",
            "trait Load { fn load",
            "// impl Load for Rides {\nfn load",
            "const A: &str = \"impl Load for Rides {\"; fn load",
            "mod a { for x in y {} fn load",
            "impl for_each { fn load",
        ] {
            assert!(!is_in_trait_impl(text), "{text}");
        }
    }

    #[track_caller]
    fn is_in_impl(text: &str) -> bool {
        let at = text.find("fn load").unwrap() + 3;
        block(&text[..at]).is_some_and(heads_impl)
    }

    #[test]
    fn the_head_of_an_impl_is_seen_and_no_other() {
        for text in [
            "impl Rides { fn load",
            "#[cfg(fn_)] /* fn */ unsafe impl<T> Load<T> for Rides { fn load",
            "/// A fn.\n default impl Rides { fn load",
            "fn other() { impl Rides { fn load",
            "macro_rules! m { ($t:ty) => { impl $t { fn load",
        ] {
            assert!(is_in_impl(text), "{text}");
        }
        for text in [
            "fn load",
            "mod a { fn load",
            "impl Rides { fn a() -> impl Copy { fn load",
            "impl Rides { fn a() { { fn load",
            "m! { fn load",
            "const _: () = { fn load",
            "let a = |x: &dyn Load| { fn load",
        ] {
            assert!(!is_in_impl(text), "{text}");
        }
    }

    #[test]
    fn the_name_is_looked_for_at_its_place() {
        let text = "// \u{e4}\n  fn load() {}\n";
        let name = Ident::new("load", Span::call_site());
        assert_eq!(before(text, 2, 6, &name), Some("// \u{e4}\n  fn "));
        assert_eq!((before(text, 2, 5, &name), before(text, 9, 1, &name)), (None, None));
        assert_eq!(before("fn r#load", 1, 4, &name), Some("fn "));
    }
}
