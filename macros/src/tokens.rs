//! The hash of a function's code. It is over tokens, so comments, docs and layout do not change it.
//!
//! # Changes that it ignores
//!
//! Comments and blanks, which are no tokens; docs, also in the body; a comma after the last of several elements or
//! arguments, which rustfmt adds and removes; the name and the visibility of the function; its attributes, and the
//! options of this crate, except those that choose the key: after a change from `skip(a)` to `skip(b)` another argument
//! would find a result. Arguments of a `macro_rules!` make no difference, because groups without delimiters are opened
//! before. A comma with a meaning counts: `(x,)` is a tuple, `(x)` is not.
//!
//! # The hashed bytes
//!
//! Each token is a tag, a length and its text; delimiters have an open and a close tag. So different streams have
//! different bytes, and all compilers give the same hash. The hash is FNV-1a in 64 bits: short, fixed for ever, and meant
//! against accidents, not attacks. Golden numbers in the tests pin it.

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::Signature;

/// Pairs of characters that have another meaning without a blank between them.
///
/// Not `>>` and `>=`: they may end lists of generics, and rustfmt may insert a blank there.
const COMPOUNDS: [&str; 19] = [
    "&&", "||", "<<", "+=", "-=", "*=", "/=", "%=", "^=", "&=", "|=", "==", "!=", "<=", "..", ".=", "->",
    "=>", "::",
];

/// After these a parenthesis begins a value, not the arguments of a call.
const KEYWORDS: [&str; 16] = [
    "as", "break", "else", "for", "if", "in", "let", "loop", "match", "move", "mut", "ref", "return",
    "unsafe", "while", "yield",
];

/// The hash of signature and body, without the name, and of the options that choose the key.
pub(crate) fn hash(signature: &Signature, body: &Group, about_key: TokenStream) -> u64 {
    let Signature { safety, abi, generics, inputs, output, .. } = signature;
    let mut bounds = generics.where_clause.clone();
    if let Some(bounds) = &mut bounds {
        bounds.predicates.pop_punct();
    }
    let inputs = Group::new(Delimiter::Parenthesis, trimmed(inputs.to_token_stream()));
    let mut hasher = TokenHasher::new();
    hasher.stream(quote!(#safety #abi #generics));
    hasher.stream(quote!(#inputs #output #bounds));
    hasher.stream(body.to_token_stream());
    hasher.stream(about_key);
    hasher.0
}

/// Whether this name is among the tokens.
pub(crate) fn contain(stream: TokenStream, name: &str) -> bool {
    stream.into_iter().any(|tree| match tree {
        TokenTree::Ident(found) => found == name,
        TokenTree::Group(group) => contain(group.stream(), name),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// The tokens without a comma at the end.
fn trimmed(stream: TokenStream) -> TokenStream {
    let mut trees: Vec<TokenTree> = stream.into_iter().collect();
    if trees.last().is_some_and(|last| is_punct(last, ',')) {
        trees.pop();
    }
    trees.into_iter().collect()
}

struct TokenHasher(u64);

impl TokenHasher {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }

    fn text(&mut self, tag: u8, text: &str) {
        self.byte(tag);
        (text.len() as u64).to_le_bytes().into_iter().chain(text.bytes()).for_each(|byte| self.byte(byte));
    }

    fn stream(&mut self, stream: TokenStream) {
        self.trees(&stream.into_iter().collect::<Vec<_>>(), true);
    }

    /// The tokens of one group. With `loose`, a comma at its end is ignored.
    fn trees(&mut self, trees: &[TokenTree], loose: bool) {
        let mut rest = trees;
        while let Some((tree, after)) = rest.split_first() {
            let before = trees.get(..trees.len() - rest.len()).unwrap_or_default();
            if let Some(length) = docs(rest) {
                rest = rest.get(length..).unwrap_or_default();
                continue;
            }
            if !(is_punct(tree, ',') && is_idle(after, loose)) {
                self.tree(tree, before, after);
            }
            rest = after;
        }
    }

    fn tree(&mut self, tree: &TokenTree, before: &[TokenTree], after: &[TokenTree]) {
        match tree {
            TokenTree::Ident(name) => self.text(1, &name.to_string()),
            TokenTree::Literal(literal) => self.text(2, &literal.to_string()),
            TokenTree::Punct(punct) => {
                let next = after.first().and_then(as_punct).filter(|_| punct.spacing() == Spacing::Joint);
                let pair = next.map(|next| format!("{}{next}", punct.as_char()));
                self.text(3, &punct.as_char().to_string());
                self.byte(pair.is_some_and(|pair| COMPOUNDS.contains(&pair.as_str())).into());
            }
            TokenTree::Group(group) => self.group(group, before),
        }
    }

    fn group(&mut self, group: &Group, before: &[TokenTree]) {
        let trees: Vec<TokenTree> = group.stream().into_iter().collect();
        let (open, loose) = match group.delimiter() {
            Delimiter::Parenthesis => {
                let several = trees.iter().filter(|tree| is_punct(tree, ',')).count() > 1;
                ("(", several || is_callee(before))
            }
            Delimiter::Brace => ("{", true),
            Delimiter::Bracket => ("[", true),
            Delimiter::None => ("", false),
        };
        self.text(4, open);
        self.trees(&trees, loose);
        self.byte(5);
    }
}

fn as_punct(tree: &TokenTree) -> Option<char> {
    match tree {
        TokenTree::Punct(punct) => Some(punct.as_char()),
        _ => None,
    }
}

fn is_punct(tree: &TokenTree, character: char) -> bool {
    as_punct(tree) == Some(character)
}

/// A comma at the end, or before the end of a list of generics.
fn is_idle(after: &[TokenTree], loose: bool) -> bool {
    after.first().map_or(loose, |next| is_punct(next, '>'))
}

/// Number of doc tokens at the front. Doc comments arrive as `#[doc ..]` or `#![doc ..]`.
fn docs(trees: &[TokenTree]) -> Option<usize> {
    let (_, after) = trees.split_first().filter(|(hash, _)| is_punct(hash, '#'))?;
    let inner = usize::from(after.first().is_some_and(|tree| is_punct(tree, '!')));
    let TokenTree::Group(attribute) = after.get(inner)? else { return None };
    let is_docs = is_doc(attribute.stream());
    (attribute.delimiter() == Delimiter::Bracket && is_docs).then_some(2 + inner)
}

fn is_doc(attribute: TokenStream) -> bool {
    matches!(attribute.into_iter().next(), Some(TokenTree::Ident(name)) if name == "doc")
}

/// Whether a parenthesis after these tokens contains arguments of a function, a method, a macro or a call's result.
fn is_callee(before: &[TokenTree]) -> bool {
    match before.last() {
        Some(TokenTree::Ident(name)) => !KEYWORDS.iter().any(|keyword| name == keyword),
        Some(TokenTree::Group(group)) => group.delimiter() == Delimiter::Parenthesis,
        Some(TokenTree::Punct(punct)) if punct.as_char() == '>' => closes_turbofish(before),
        Some(TokenTree::Punct(punct)) => punct.as_char() == '!',
        _ => false,
    }
}

/// Whether these tokens end in `::<..>`.
fn closes_turbofish(trees: &[TokenTree]) -> bool {
    let mut depth = 0_usize;
    for (at, tree) in trees.iter().enumerate().rev() {
        match as_punct(tree) {
            Some('>') => depth += 1,
            Some('<') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at.checked_sub(1).and_then(|at| trees.get(at)).is_some_and(|tree| is_punct(tree, ':'));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use syn::parse_str;

    use super::*;
    use crate::function::AnnotatedFunction;

    #[track_caller]
    fn hashed(code: &str) -> u64 {
        let function: AnnotatedFunction = parse_str(code).unwrap();
        hash(&function.signature, &function.body, TokenStream::new())
    }

    const PLAIN: &str =
        "fn load(url: &str, count: u8) -> Vec<u8> { let n = f(url, 1); (0..n).map(|x| (x, 2)).collect() }";

    #[test]
    fn comments_docs_and_layout_do_not_change_it() {
        let dressed = "
            /// Loads.
            #[must_use]
            pub(crate) fn fetch(
                url: &str, // where from
                count: u8,
            ) -> Vec<u8>
            {
                //! Inner docs.
                /* by hand */
                /// Of a local.
                let n = f(
                    url,
                    1,
                );
                (0 .. n)
                    .map(|x| (x, 2,))
                    .collect()
            }";
        assert_eq!(hashed(dressed), hashed(PLAIN));
    }

    #[test]
    fn a_comma_behind_the_last_one_means_nothing_unless_it_makes_a_tuple() {
        for (with, without) in [
            ("fn f() { g(x,) }", "fn f() { g(x) }"),
            ("fn f() { a.g::<u8>(x,) }", "fn f() { a.g::<u8>(x) }"),
            ("fn f() { vec![x,] }", "fn f() { vec![x] }"),
            ("fn f() { S { x, } }", "fn f() { S { x } }"),
            ("fn f() { match x { A => 1, _ => 2, } }", "fn f() { match x { A => 1, _ => 2 } }"),
            ("fn f<A, B,>(a: A,) where A: B, {}", "fn f<A, B>(a: A) where A: B {}"),
            ("fn f() { g::<A, B,>() }", "fn f() { g::<A, B>() }"),
            ("fn f() { g(x)(y,) }", "fn f() { g(x)(y) }"),
            ("fn f() { g::<A, B<C, D<E>,>,>() }", "fn f() { g::<A, B<C, D<E>>>() }"),
        ] {
            assert_eq!(hashed(with), hashed(without), "{with}");
        }
        for (with, without) in [
            ("fn f() { (x,) }", "fn f() { (x) }"),
            ("fn f() { return (x,) }", "fn f() { return (x) }"),
            ("fn f() { match x { _ => (x,) } }", "fn f() { match x { _ => (x) } }"),
        ] {
            assert_ne!(hashed(with), hashed(without), "{with}");
        }
    }

    #[test]
    fn another_body_or_signature_is_another_hash() {
        let changed = [
            PLAIN.replace("1)", "2)"),
            PLAIN.replace("u8)", "u16)"),
            PLAIN.replace("count: u8", "number: u8"),
            PLAIN.replace("Vec<u8> {", "Vec<u16> {"),
            PLAIN.replace("(0..n)", "(0..=n)"),
            PLAIN.replace("f(url, 1)", "f(1, url)"),
            PLAIN.replace("fn load", "unsafe fn load"),
            PLAIN.replace("fn load", "extern \"C\" fn load"),
            PLAIN.replace("load(", "load<'a>("),
            PLAIN.replace("let n", "#[cfg(unix)] let n"),
            PLAIN.replace("Vec<u8> {", "Vec<u8> where u8: Copy {"),
        ];
        let mut hashes: Vec<u64> = changed.iter().map(|code| hashed(code)).chain([hashed(PLAIN)]).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), changed.len() + 1);
    }

    #[test]
    fn joint_and_separate_tokens_differ_only_where_it_matters() {
        assert_ne!(hashed("fn f() { a && b }"), hashed("fn f() { a & &b }"));
        assert_ne!(hashed("fn f() { a - -b }"), hashed("fn f() { ab }"));
        assert_ne!(hashed("fn f() { \"a b\" }"), hashed("fn f() { \"a  b\" }"));
        assert_ne!(hashed("fn f() { a >> b }"), hashed("fn f() { a > b }"));
        assert_eq!(hashed("fn f() { x=-1 }"), hashed("fn f() { x = - 1 }"));
        assert_eq!(hashed("fn f() { g(&*x) }"), hashed("fn f() { g(& * x) }"));
    }

    #[test]
    fn tokens_do_not_run_into_each_other() {
        assert_ne!(hashed("fn f() { a b }"), hashed("fn f() { ab }"));
        assert_ne!(hashed("fn f() { (a) b }"), hashed("fn f() { (a b) }"));
        assert_ne!(hashed("fn f() { a }"), hashed("fn f() { \"a\" }"));
    }

    /// Entries on disk are found by these numbers: after a change every memoized function computes again. They come from
    /// another implementation.
    #[test]
    fn the_numbers_are_fixed() {
        assert_eq!(hashed("fn f() {}"), 4_025_468_132_938_502_846);
        assert_eq!(hashed(PLAIN), 2_768_295_523_571_010_596);
    }
}
