//! The options between the parentheses of an attribute.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{
    Error, Expr, ExprLit, ExprParen, Lit, LitStr, Path, Result, Token, Type, parenthesized,
    parse::{Parse, ParseStream},
    parse_quote,
    punctuated::Punctuated,
    spanned::Spanned,
    token::Paren,
};

use crate::duration;

/// The options of `#[memo]`.
const OF_MEMO: &[&str] = &[
    "ttl",
    "stale_for",
    "refresh_at",
    "retry_after",
    "jitter",
    "max_entries",
    "max_bytes",
    "local_only",
    "spare_used",
    "memory",
    "codec",
    "store",
    "version",
    "name",
    "skip",
    "key",
    "files",
    "depends",
    "cache_if",
    "effects",
    "observer",
    "spinner",
    "handle",
    "crate",
];

/// The options of `#[resource]`.
const OF_RESOURCE: &[&str] =
    &["ttl", "max_entries", "validate", "skip", "key", "files", "observer", "spinner", "handle", "crate"];

/// The options of `#[code]`.
const OF_CODE: &[&str] = &["depends", "crate"];

/// `key = expression` or `key: Type = expression`.
pub(crate) struct KeyOption {
    pub(crate) kind: Option<Type>,
    pub(crate) value: Expr,
}

/// The option of the companion function.
pub(crate) enum HandleOption {
    Usual,
    Named(Ident),
    Without,
}

/// The option of the codec.
pub(crate) enum CodecOption {
    /// The word `auto`: the codec that chooses by the type.
    Auto(Span),
    Given(Expr),
}

/// The options of all three attributes. Each attribute accepts those of its list.
pub(crate) struct AttributeOptions {
    /// Methods of the builder, as they are called: `.max_entries(1000)`.
    pub(crate) builder: Vec<TokenStream>,
    pub(crate) ttl: Option<TokenStream>,
    /// Whether there is a `stale_for` or a `refresh_at`: stale values are computed anew on another thread, unless the function
    /// is async.
    pub(crate) is_loading: bool,
    pub(crate) codec: Option<CodecOption>,
    pub(crate) cache_if: Option<Expr>,
    /// The handlers of effects, in their order.
    pub(crate) effects: Vec<Expr>,
    pub(crate) observer: Option<Expr>,
    pub(crate) spinner: Option<Expr>,
    pub(crate) validate: Option<Expr>,
    pub(crate) store: Option<Expr>,
    pub(crate) version: Option<Expr>,
    pub(crate) name: Option<LitStr>,
    pub(crate) skip: Vec<Ident>,
    pub(crate) files: Vec<Ident>,
    pub(crate) key: Option<KeyOption>,
    pub(crate) depends: Vec<Path>,
    pub(crate) handle: HandleOption,
    /// The path of the crate memolith.
    pub(crate) krate: Path,
    /// The options that were read, to detect one that is set twice.
    seen: Vec<Ident>,
}

impl AttributeOptions {
    /// The options that choose the key. They are part of the code hash, because they change which results a key finds.
    pub(crate) fn about_key(&self) -> TokenStream {
        let Self { skip, files, .. } = self;
        let skip = (!skip.is_empty()).then(|| quote!(skip(#(#skip)*)));
        let files = (!files.is_empty()).then(|| quote!(files(#(#files)*)));
        let key = self.key.as_ref().map(|KeyOption { kind, value }| quote!(key(#kind = #value)));
        quote!(#skip #files #key)
    }

    /// Refuses an option that an async function cannot have.
    pub(crate) fn check_async(&self) -> Result<()> {
        match self.seen.iter().find(|name| *name == "refresh_at") {
            None => Ok(()),
            Some(name) => Err(Error::new(
                name.span(),
                "an `async fn` computes where its caller awaits it, and not ahead of its expiry: write `stale_for` in place of \
                 `refresh_at`, so that one caller computes while the others have the stale value",
            )),
        }
    }

    pub(crate) fn memo(input: ParseStream<'_>) -> Result<Self> {
        Self::parse(input, OF_MEMO)
    }

    pub(crate) fn resource(input: ParseStream<'_>) -> Result<Self> {
        Self::parse(input, OF_RESOURCE)
    }

    pub(crate) fn code(input: ParseStream<'_>) -> Result<Self> {
        Self::parse(input, OF_CODE)
    }

    fn parse(input: ParseStream<'_>, known: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        while !input.is_empty() {
            options.option(input, known)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }

    fn option(&mut self, input: ParseStream<'_>, known: &[&str]) -> Result<()> {
        let name: Ident = input.call(syn::ext::IdentExt::parse_any)?;
        let text = name.to_string();
        if !known.contains(&text.as_str()) {
            let message = format!("there is no option `{text}` here; there are: {}", known.join(", "));
            return Err(Error::new(name.span(), message));
        }
        if self.seen.contains(&name) {
            return Err(Error::new(name.span(), format!("`{text}` is set twice")));
        }
        match text.as_str() {
            "skip" => self.skip = listed(input)?,
            "files" => self.files = listed(input)?,
            "depends" => self.depends = listed(input)?,
            "key" => self.key = Some(input.parse()?),
            "effects" => self.effects = handlers(&name, input)?,
            "local_only" => self.builder.push(quote!(.local_only())),
            "spare_used" => self.builder.push(quote!(.spare_used())),
            _ => {
                input.parse::<Token![=]>()?;
                self.value(&name, input)?;
            }
        }
        self.is_loading |= text == "stale_for" || text == "refresh_at";
        self.seen.push(name);
        Ok(())
    }

    /// Reads the value after `name =`.
    fn value(&mut self, name: &Ident, input: ParseStream<'_>) -> Result<()> {
        match name.to_string().as_str() {
            "ttl" => self.ttl = Some(duration(&input.parse()?)?),
            "stale_for" | "retry_after" | "jitter" => {
                let time = duration(&input.parse()?)?;
                self.builder.push(quote!(.#name(#time)));
            }
            "cache_if" => self.cache_if = Some(input.parse()?),
            "observer" => self.observer = Some(input.parse()?),
            "spinner" => self.spinner = Some(input.parse()?),
            "validate" => self.validate = Some(input.parse()?),
            "store" => self.store = Some(input.parse()?),
            "version" => self.version = Some(input.parse()?),
            "name" => self.name = Some(named(input)?),
            "handle" => self.handle = handle(&input.parse()?),
            "crate" => self.krate = input.call(Path::parse_mod_style)?,
            "codec" => self.codec = Some(codec(input)?),
            _ => {
                let value: Expr = input.parse()?;
                if name == "max_entries" {
                    refuse_zero(&value)?;
                }
                self.builder.push(quote!(.#name(#value)));
            }
        }
        Ok(())
    }
}

impl Default for AttributeOptions {
    fn default() -> Self {
        Self {
            builder: Vec::new(),
            ttl: None,
            is_loading: false,
            codec: None,
            cache_if: None,
            effects: Vec::new(),
            observer: None,
            spinner: None,
            validate: None,
            store: None,
            version: None,
            name: None,
            skip: Vec::new(),
            files: Vec::new(),
            key: None,
            depends: Vec::new(),
            handle: HandleOption::Usual,
            krate: parse_quote!(::memolith),
            seen: Vec::new(),
        }
    }
}

impl Parse for KeyOption {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let kind = if input.parse::<Option<Token![:]>>()?.is_some() { Some(input.parse()?) } else { None };
        input.parse::<Token![=]>()?;
        Ok(Self { kind, value: input.parse()? })
    }
}

/// `(a, b)`; `self` may be one of them.
fn listed<T: Listed>(input: ParseStream<'_>) -> Result<Vec<T>> {
    let inside;
    parenthesized!(inside in input);
    Ok(Punctuated::<T, Token![,]>::parse_terminated_with(&inside, T::read)?.into_iter().collect())
}

trait Listed: Sized {
    fn read(input: ParseStream<'_>) -> Result<Self>;
}

impl Listed for Ident {
    fn read(input: ParseStream<'_>) -> Result<Self> {
        input.call(syn::ext::IdentExt::parse_any)
    }
}

impl Listed for Path {
    fn read(input: ParseStream<'_>) -> Result<Self> {
        input.parse()
    }
}

impl Listed for Expr {
    fn read(input: ParseStream<'_>) -> Result<Self> {
        input.parse()
    }
}

/// `effects = draw` or `effects(draw, log)`.
fn handlers(name: &Ident, input: ParseStream<'_>) -> Result<Vec<Expr>> {
    let handlers = if input.peek(Paren) {
        listed(input)?
    } else {
        input.parse::<Token![=]>()?;
        vec![input.parse()?]
    };
    if handlers.is_empty() {
        let message =
            "`effects()` names no handler: write the function that handles an effect, as `effects = draw`";
        return Err(Error::new(name.span(), message));
    }
    Ok(handlers)
}

fn codec(input: ParseStream<'_>) -> Result<CodecOption> {
    let value: Expr = input.parse()?;
    Ok(match &value {
        Expr::Path(path) if path.path.is_ident("auto") => CodecOption::Auto(path.span()),
        _ => CodecOption::Given(value),
    })
}

fn named(input: ParseStream<'_>) -> Result<LitStr> {
    let name: LitStr = input.parse()?;
    let text = name.value();
    if text.is_empty() || text.contains('\0') || text.len() > 256 {
        return Err(Error::new(name.span(), "a name is 1 to 256 bytes long and contains no NUL"));
    }
    Ok(name)
}

fn handle(name: &Ident) -> HandleOption {
    if name == "none" { HandleOption::Without } else { HandleOption::Named(name.clone()) }
}

/// Refuses a bound of zero where it is written as a number. Another one is refused when the memo or the pool is opened.
fn refuse_zero(bound: &Expr) -> Result<()> {
    match bound {
        Expr::Paren(ExprParen { expr, .. }) => refuse_zero(expr),
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. })
            if number.base10_parse::<u128>().is_ok_and(|number| number == 0) =>
        {
            let message = "with a bound of 0 nothing could be kept: leave the option out for no bound";
            Err(Error::new(number.span(), message))
        }
        _ => Ok(()),
    }
}

/// Parses a text. Anything else is an expression of type `Duration`.
fn duration(value: &Expr) -> Result<TokenStream> {
    let text = match value {
        Expr::Paren(ExprParen { expr, .. }) => return duration(expr),
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => text,
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => {
            let message = format!("a time needs its unit: write \"{number}s\" for seconds");
            return Err(Error::new(number.span(), message));
        }
        other => return Ok(other.to_token_stream()),
    };
    let milliseconds =
        duration::milliseconds(&text.value()).map_err(|message| Error::new(text.span(), message))?;
    Ok(quote!(::core::time::Duration::from_millis(#milliseconds)))
}
