//! The calls in a function's body whose values are not in its tokens: `cfg!`, `env!`, `option_env!`, `include!`,
//! `include_str!` and `include_bytes!`, and each `#[cfg(..)]`.
//!
//! The attribute repeats each call in a constant, which the compiler evaluates like the body. A file under a `#[cfg(..)]`
//! is included under the same condition, because otherwise the file may not exist. A variable is read by `option_env!`,
//! which accepts one that is not set.
//!
//! Other macros, constants and statics of the body are not evaluated: an attribute gets tokens, and cannot resolve names.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{
    Arm, Attribute, Block, Expr, FieldValue, ImplItem, Item, Macro, Meta, Path, Stmt,
    parse::{ParseStream, Parser},
    visit::{self, Visit},
};

use crate::function::AnnotatedFunction;

/// The elements of `memolith::internal::Code::built_in`.
pub(crate) fn elements(krate: &Path, function: &AnnotatedFunction) -> Vec<TokenStream> {
    let body = function.body.to_token_stream();
    let mut finder = BuiltInFinder::new(krate);
    finder.tokens(function.signature.to_token_stream());
    finder.tokens(body.clone());
    if finder.flags == 0 || finder.files == 0 {
        return finder.found;
    }
    // The scope of a `#[cfg(..)]` needs a parser, and matters only for files.
    let Ok(block) = syn::parse2::<Block>(body) else { return finder.found };
    let mut finder = BuiltInFinder::new(krate);
    finder.tokens(function.signature.to_token_stream());
    finder.visit_block(&block);
    finder.found
}

struct BuiltInFinder<'a> {
    krate: &'a Path,
    /// The predicates of every `#[cfg(..)]` around the current place.
    conditions: Vec<TokenStream>,
    found: Vec<TokenStream>,
    /// Number of elements of `found` that are values of predicates.
    flags: usize,
    /// Number of elements of `found` that are files.
    files: usize,
}

impl<'a> BuiltInFinder<'a> {
    fn new(krate: &'a Path) -> Self {
        Self { krate, conditions: Vec::new(), found: Vec::new(), flags: 0, files: 0 }
    }

    /// A call of the macro `name`. A user's macro with the name of a built-in one counts as built-in.
    fn call(&mut self, name: &str, arguments: &TokenStream) {
        let krate = self.krate;
        match name {
            // `$x`: a macro is defined here, not called.
            _ if contains_dollar(arguments.clone()) => {}
            // It does not evaluate its arguments, which need not compile.
            "stringify" => {}
            "cfg" => self.flag(arguments),
            "env" | "option_env" => {
                let name = until_comma(arguments.clone());
                self.found.push(quote!(#krate::internal::BuiltIn::Variable(::core::option_env!(#name))));
            }
            "include" | "include_str" | "include_bytes" => self.file(arguments),
            "cfg_select" => self.select(arguments.clone()),
            _ => self.tokens(arguments.clone()),
        }
    }

    fn flag(&mut self, predicate: &TokenStream) {
        let krate = self.krate;
        self.flags += 1;
        self.found.push(quote!(#krate::internal::BuiltIn::Flag(::core::cfg!(#predicate))));
    }

    fn file(&mut self, arguments: &TokenStream) {
        let (krate, conditions) = (self.krate, &self.conditions);
        let conditions = (!conditions.is_empty()).then(|| quote!(#[cfg(all(#(#conditions),*))]));
        self.files += 1;
        self.found
            .push(quote!(#conditions #krate::internal::BuiltIn::File(::core::include_bytes!(#arguments))));
    }

    /// Visits a syntax tree under the conditions of its own attributes.
    fn under(&mut self, something: &impl ToTokens, look: impl FnOnce(&mut Self)) {
        let before = self.conditions.len();
        let attributes = leading_attributes.parse2(something.to_token_stream()).unwrap_or_default();
        self.conditions.extend(attributes.iter().filter_map(|attribute| cfg(&attribute.meta)));
        look(self);
        self.conditions.truncate(before);
    }

    fn meta(&mut self, meta: &Meta) {
        match (cfg(meta), meta) {
            (Some(predicate), _) => self.flag(&predicate),
            (None, Meta::List(list)) if list.path.is_ident("cfg_attr") => {
                self.flag(&until_comma(list.tokens.clone()));
            }
            _ => {}
        }
    }

    /// The arms of `cfg_select!`: `predicate => { .. }` or `predicate => expression,`.
    fn select(&mut self, arms: TokenStream) {
        let trees: Vec<TokenTree> = arms.into_iter().collect();
        let mut rest = trees.as_slice();
        while let Some(arrow) = rest.windows(2).position(is_arrow) {
            let (predicate, after) = (rest.get(..arrow), rest.get(arrow + 2..).unwrap_or_default());
            let length = match after.iter().position(|tree| is_punct(tree, ',')) {
                _ if after.first().is_some_and(is_brace) => 1,
                Some(comma) => comma,
                None => after.len(),
            };
            let (value, behind) = after.split_at(length);
            rest =
                behind.split_first().filter(|(tree, _)| is_punct(tree, ',')).map_or(behind, |(_, rest)| rest);
            self.arm(collected(predicate.unwrap_or_default()), collected(value));
        }
    }

    fn arm(&mut self, predicate: TokenStream, value: TokenStream) {
        let before = self.conditions.len();
        if predicate.to_string() != "_" {
            self.flag(&predicate);
            self.conditions.push(predicate);
        }
        self.tokens(value);
        self.conditions.truncate(before);
    }

    /// Visits the arguments of a macro, which may be any tokens.
    fn tokens(&mut self, stream: TokenStream) {
        let trees: Vec<TokenTree> = stream.into_iter().collect();
        let mut rest = trees.as_slice();
        while let Some((tree, after)) = rest.split_first() {
            rest = match (tree, after) {
                (TokenTree::Punct(_), [TokenTree::Group(attribute), after @ ..])
                    if is_punct(tree, '#') && attribute.delimiter() == Delimiter::Bracket =>
                {
                    self.attribute(attribute.stream(), after)
                }
                (TokenTree::Ident(name), [bang, TokenTree::Group(arguments), after @ ..])
                    if is_punct(bang, '!') =>
                {
                    self.call(&name.to_string(), &arguments.stream());
                    after
                }
                (TokenTree::Group(group), _) => {
                    self.tokens(group.stream());
                    after
                }
                _ => after,
            }
        }
    }

    /// An attribute among such tokens. A block directly after `#[cfg(..)]`, as in `cfg_if!`, is under that condition.
    fn attribute<'t>(&mut self, attribute: TokenStream, after: &'t [TokenTree]) -> &'t [TokenTree] {
        let Ok(meta) = syn::parse2::<Meta>(attribute) else { return after };
        self.meta(&meta);
        let (Some(predicate), [TokenTree::Group(block), behind @ ..]) = (cfg(&meta), after) else {
            return after;
        };
        self.conditions.push(predicate);
        self.tokens(block.stream());
        self.conditions.pop();
        behind
    }
}

impl<'ast> Visit<'ast> for BuiltInFinder<'_> {
    fn visit_macro(&mut self, called: &'ast Macro) {
        let name = called.path.segments.last().map(|last| last.ident.to_string());
        self.call(&name.unwrap_or_default(), &called.tokens);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        self.meta(&attribute.meta);
    }

    fn visit_stmt(&mut self, stmt: &'ast Stmt) {
        match stmt {
            Stmt::Local(_) | Stmt::Macro(_) => self.under(stmt, |finder| visit::visit_stmt(finder, stmt)),
            // The nodes below these have the attributes.
            Stmt::Item(_) | Stmt::Expr(..) => visit::visit_stmt(self, stmt),
        }
    }

    fn visit_item(&mut self, item: &'ast Item) {
        self.under(item, |finder| visit::visit_item(finder, item));
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        self.under(item, |finder| visit::visit_impl_item(finder, item));
    }

    fn visit_expr(&mut self, expr: &'ast Expr) {
        self.under(expr, |finder| visit::visit_expr(finder, expr));
    }

    fn visit_arm(&mut self, arm: &'ast Arm) {
        self.under(arm, |finder| visit::visit_arm(finder, arm));
    }

    fn visit_field_value(&mut self, field: &'ast FieldValue) {
        self.under(field, |finder| visit::visit_field_value(finder, field));
    }
}

fn leading_attributes(input: ParseStream<'_>) -> syn::Result<Vec<Attribute>> {
    let attributes = input.call(Attribute::parse_outer)?;
    input.parse::<TokenStream>()?;
    Ok(attributes)
}

/// The predicate of `#[cfg(..)]`.
fn cfg(meta: &Meta) -> Option<TokenStream> {
    meta.require_list().ok().filter(|list| list.path.is_ident("cfg")).map(|list| list.tokens.clone())
}

fn collected(trees: &[TokenTree]) -> TokenStream {
    trees.iter().cloned().collect()
}

fn until_comma(stream: TokenStream) -> TokenStream {
    stream.into_iter().take_while(|tree| !is_punct(tree, ',')).collect()
}

fn contains_dollar(stream: TokenStream) -> bool {
    stream.into_iter().any(|tree| match &tree {
        TokenTree::Group(group) => contains_dollar(group.stream()),
        tree => is_punct(tree, '$'),
    })
}

fn is_arrow(pair: &[TokenTree]) -> bool {
    matches!(pair, [equals, greater] if is_punct(equals, '=') && is_punct(greater, '>'))
}

fn is_brace(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

fn is_punct(tree: &TokenTree, character: char) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == character)
}

#[cfg(test)]
mod tests {
    use syn::{parse_quote, parse_str};

    use super::*;

    /// Without blanks, and without the path of each kind.
    #[track_caller]
    fn found(body: &str) -> Vec<String> {
        let function: AnnotatedFunction = parse_str(&format!("fn f() {{ {body} }}")).unwrap();
        let told = elements(&parse_quote!(m), &function).into_iter().map(|element| {
            element.to_string().replace(' ', "").replace("m::internal::BuiltIn::", "").replace("::core::", "")
        });
        told.collect()
    }

    #[test]
    fn calls_are_found_in_every_place_a_body_has() {
        for body in [
            "env!(\"A\")",
            "std::env!(\"A\", \"not set\")",
            "println!(\"{}\", f(env!(\"A\")))",
            "xs.map(|x| vec![x, [option_env!(\"A\")]]).unwrap()",
            "const A: &str = concat!(\"a\", ::core::env!(\"A\"));",
            "own! { anything ~ at all @ (env!(\"A\")) }",
        ] {
            assert_eq!(found(body), ["Variable(option_env!(\"A\"))"], "{body}");
        }
        assert_eq!(
            found("if cfg!(all(unix, feature = \"a\")) { 1 } else { 2 }"),
            ["Flag(cfg!(all(unix,feature=\"a\")))"]
        );
        assert_eq!(
            found("include_str!(\"a\"); include!(concat!(env!(\"OUT_DIR\"), \"b\")); include_bytes!(\"c\",)"),
            [
                "File(include_bytes!(\"a\"))",
                "File(include_bytes!(concat!(env!(\"OUT_DIR\"),\"b\")))",
                "File(include_bytes!(\"c\",))",
            ]
        );
    }

    #[test]
    fn only_calls_and_conditions_count() {
        for body in [
            "env(\"A\"); std::env::var(\"A\"); x.cfg != (1); a.env; if !(b) {}",
            "macro_rules! own { ($a:literal) => { env!($a) } }",
            "#[doc = include_str!(\"a\")] #[allow(x)] fn g() {}",
            "/// Docs of env!(\"A\")\n let x = 1;",
            "\"env!(A)\"",
            "stringify!(include_str!(a) cfg!(no condition))",
        ] {
            assert_eq!(found(body), [""; 0], "{body}");
        }
    }

    #[test]
    fn every_condition_counts() {
        for (body, expected) in [
            ("#[cfg(unix)] let a = 1;", "unix"),
            ("match a { #[cfg(unix)] 1 => 2, _ => 3 }", "unix"),
            ("S { #[cfg(unix)] a: 1 }", "unix"),
            ("#[cfg_attr(unix, inline)] fn g() {}", "unix"),
            ("cfg_if! { if #[cfg(unix)] { 1 } else { 2 } }", "unix"),
        ] {
            assert_eq!(found(body), [format!("Flag(cfg!({expected}))")], "{body}");
        }
        assert_eq!(
            found("cfg_select! { unix => { 1 } feature = \"a\" => 2, _ => { cfg!(test) } }"),
            ["Flag(cfg!(unix))", "Flag(cfg!(feature=\"a\"))", "Flag(cfg!(test))"]
        );
    }

    #[test]
    fn a_file_is_asked_for_where_the_body_asks_for_it() {
        for (body, expected) in [
            ("#[cfg(a)] let x = if b { include_str!(\"f\") } else { c };", "#[cfg(all(a))]"),
            ("#[cfg(a)] { #[cfg(b)] include_str!(\"f\"); }", "#[cfg(all(a,b))]"),
            ("match x { #[cfg(a)] 1 => include_str!(\"f\"), _ => y }", "#[cfg(all(a))]"),
            ("S { #[cfg(a)] x: include_str!(\"f\") }", "#[cfg(all(a))]"),
            ("#[cfg(a)] fn g() { include_str!(\"f\") }", "#[cfg(all(a))]"),
            ("impl S { #[cfg(a)] fn g() { include_str!(\"f\") } }", "#[cfg(all(a))]"),
            ("#[cfg(a)] let x = 1; include_str!(\"f\")", ""),
            ("cfg_if! { if #[cfg(a)] { include_str!(\"f\") } }", "#[cfg(all(a))]"),
            ("cfg_select! { a => include_str!(\"f\"), _ => y }", "#[cfg(all(a))]"),
        ] {
            let files: Vec<String> = found(body).into_iter().filter(|found| found.contains("File")).collect();
            assert_eq!(files, [format!("{expected}File(include_bytes!(\"f\"))")], "{body}");
        }
    }
}
