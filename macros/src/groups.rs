//! Groups without delimiters, which a `macro_rules!` puts around its arguments.
//!
//! rustc ignores such groups in the output of an attribute: `$a * 2` with `1 + 2` as `$a` becomes `1 + 2 * 2`, which is
//! another value. So each group is opened here first. A group that has another meaning than its tokens gets parentheses.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Expr, Type, parse2};

use crate::attributes::written_at;

/// The stream without such groups, with the same meaning.
pub(crate) fn opened(stream: TokenStream) -> TokenStream {
    // Groups that no macro wrote keep the spans of their delimiters.
    if contains_any(stream.clone()) { within(stream) } else { stream }
}

fn contains_any(stream: TokenStream) -> bool {
    stream.into_iter().any(|tree| match tree {
        TokenTree::Group(group) => group.delimiter() == Delimiter::None || contains_any(group.stream()),
        _ => false,
    })
}

fn within(stream: TokenStream) -> TokenStream {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let mut before = None;
    let mut rest = trees.as_slice();
    let mut opened = TokenStream::new();
    while let Some((tree, after)) = rest.split_first() {
        match tree {
            TokenTree::Group(group) => opened.extend(of_group(group, before, after.first())),
            other => opened.extend([other.clone()]),
        }
        (before, rest) = (Some(tree), after);
    }
    opened
}

fn of_group(group: &Group, before: Option<&TokenTree>, after: Option<&TokenTree>) -> TokenStream {
    let inside = within(group.stream());
    let (delimiter, span) = match group.delimiter() {
        Delimiter::None if !is_one(&inside, before, after) => return inside,
        Delimiter::None => (Delimiter::Parenthesis, written_at(group.span())),
        other => (other, group.span()),
    };
    let mut group = Group::new(delimiter, inside);
    group.set_span(span);
    group.into_token_stream()
}

/// Whether these tokens have another meaning between their neighbours than in parentheses. Parentheses are allowed around
/// the expressions, patterns and types of these forms.
fn is_one(inside: &TokenStream, before: Option<&TokenTree>, after: Option<&TokenTree>) -> bool {
    if inside.clone().into_iter().nth(1).is_none() || (separates(before) && separates(after)) {
        return false;
    }
    match parse2(inside.clone()) {
        Ok(Expr::Binary(_) | Expr::Cast(_) | Expr::Closure(_) | Expr::Range(_) | Expr::Struct(_)) => true,
        // These bind tighter than everything except postfix operators.
        Ok(Expr::RawAddr(_) | Expr::Reference(_) | Expr::Unary(_)) => is_suffix(after),
        // A call of a field is no method call.
        Ok(Expr::Field(_)) => is_group(after, Delimiter::Parenthesis),
        Ok(_) => false,
        Err(_) => has_several_bounds(inside),
    }
}

/// `&dyn A + B` is no type, `&(dyn A + B)` is one.
fn has_several_bounds(inside: &TokenStream) -> bool {
    matches!(
        parse2(inside.clone()),
        Ok(Type::TraitObject(syn::TypeTraitObject { bounds, .. }) | Type::ImplTrait(syn::TypeImplTrait { bounds, .. }))
            if bounds.len() > 1
    )
}

fn separates(neighbour: Option<&TokenTree>) -> bool {
    neighbour.is_none_or(|tree| is_punct(tree, ",;"))
}

fn is_suffix(after: Option<&TokenTree>) -> bool {
    after.is_some_and(|tree| is_punct(tree, ".?"))
        || is_group(after, Delimiter::Parenthesis)
        || is_group(after, Delimiter::Bracket)
}

fn is_group(tree: Option<&TokenTree>, delimiter: Delimiter) -> bool {
    matches!(tree, Some(TokenTree::Group(group)) if group.delimiter() == delimiter)
}

fn is_punct(tree: &TokenTree, those: &str) -> bool {
    matches!(tree, TokenTree::Punct(punct) if those.contains(punct.as_char()))
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    /// As a `macro_rules!` hands it on: `part` in a group without delimiters in place of each `X`.
    fn given(code: &str, part: &str) -> TokenStream {
        let code: TokenStream = code.parse().unwrap();
        let grouped = code.into_iter().map(|tree| match tree {
            TokenTree::Ident(name) if name == "X" => {
                Group::new(Delimiter::None, part.parse().unwrap()).into()
            }
            TokenTree::Group(group) => {
                Group::new(group.delimiter(), given(&group.stream().to_string(), part)).into()
            }
            tree => tree,
        });
        grouped.collect()
    }

    #[track_caller]
    fn is_opened(code: &str, part: &str, expected: &str) {
        let expected: TokenStream = expected.parse().unwrap();
        assert_eq!(opened(given(code, part)).to_string(), expected.to_string(), "{code}, X = {part}");
    }

    #[test]
    fn what_binds_less_than_its_neighbours_gets_parentheses() {
        for (code, part, expected) in [
            ("a * X", "1 + 2", "a * (1 + 2)"),
            ("f(X - 1, X)", "a << b", "f((a << b) - 1, a << b)"),
            ("if x == X { 1 }", "S { a: 1 }", "if x == (S { a: 1 }) { 1 }"),
            ("X(1)", "|x| x + 1", "(|x| x + 1)(1)"),
            ("X(1)", "a.b", "(a.b)(1)"),
            ("X.abs()", "-5", "(-5).abs()"),
            ("X?", "&a", "(&a)?"),
            ("X.len()", "a as Vec<u8>", "(a as Vec<u8>).len()"),
            ("X.rev()", "0..3", "(0..3).rev()"),
            ("match x { X => 1 }", "1 | 2", "match x { (1 | 2) => 1 }"),
            ("fn f(x: &X)", "dyn A + B", "fn f(x: &(dyn A + B))"),
        ] {
            is_opened(code, part, expected);
        }
    }

    #[test]
    fn anything_else_is_its_tokens() {
        for (code, part, expected) in [
            ("X fn X(X: X) -> X", "a", "a fn a(a: a) -> a"),
            ("X fn f()", "", "fn f()"),
            ("X fn f()", "pub(crate)", "pub(crate) fn f()"),
            ("#[X] fn f()", "doc = \"x\"", "#[doc = \"x\"] fn f()"),
            ("#[cfg_attr(a, X)] fn f()", "doc = \"x\"", "#[cfg_attr(a, doc = \"x\")] fn f()"),
            ("fn f() -> &X X", "{ 1 + 2 }", "fn f() -> &{ 1 + 2 } { 1 + 2 }"),
            ("x: &X", "Vec<u8>", "x: &Vec<u8>"),
            ("x: Option<X>", "&u8", "x: Option< &u8>"),
            ("a - X", "-5", "a - -5"),
            ("X; f(X); [X, 1]", "1 + 2", "1 + 2; f(1 + 2); [1 + 2, 1]"),
            ("X.b()", "a.b(c)", "a.b(c).b()"),
            ("if a { X }", "return 1", "if a { return 1 }"),
        ] {
            is_opened(code, part, expected);
        }
    }

    #[test]
    fn a_macro_may_pass_its_arguments_on() {
        let inner = Group::new(Delimiter::None, quote!(1 + 2));
        let outer = Group::new(Delimiter::None, quote!(#inner * 3));
        let twice =
            Group::new(Delimiter::None, Group::new(Delimiter::None, quote!(1 + 2)).into_token_stream());
        assert_eq!(opened(quote!(-#outer)).to_string(), quote!(-((1 + 2) * 3)).to_string());
        assert_eq!(opened(quote!(2 * #twice)).to_string(), quote!(2 * (1 + 2)).to_string());
    }
}
