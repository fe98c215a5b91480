//! The attributes of [memolith](https://docs.rs/memolith). Use them through that crate, which re-exports them: the code
//! that they write calls `memolith::internal` of the same version.

mod attributes;
mod built_in;
mod duration;
mod expand;
mod function;
mod groups;
mod key;
mod lifetimes;
mod options;
mod release;
mod returned;
mod surroundings;
mod tokens;
mod twins;

use proc_macro::TokenStream;
use quote::quote;
use syn::{
    Result,
    parse::{ParseStream, Parser},
    parse_macro_input,
};

use crate::{function::AnnotatedFunction, options::AttributeOptions};

#[doc = include_str!("../docs/memo.md")]
#[proc_macro_attribute]
pub fn memo(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(options, item, AttributeOptions::memo, expand::memo)
}

#[doc = include_str!("../docs/resource.md")]
#[proc_macro_attribute]
pub fn resource(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(options, item, AttributeOptions::resource, expand::resource)
}

#[doc = include_str!("../docs/code.md")]
#[proc_macro_attribute]
pub fn code(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(options, item, AttributeOptions::code, expand::code)
}

/// After an error the function stays unchanged, so that there is no second error.
fn expand(
    options: TokenStream,
    item: TokenStream,
    read: impl FnOnce(ParseStream<'_>) -> Result<AttributeOptions>,
    write: impl FnOnce(&AttributeOptions, &AnnotatedFunction) -> Result<proc_macro2::TokenStream>,
) -> TokenStream {
    let plain = item.clone();
    let [options, item] = [options, item].map(|stream| groups::opened(stream.into()));
    let item = TokenStream::from(item);
    let function = parse_macro_input!(item as AnnotatedFunction);
    let written = read.parse2(options).and_then(|options| write(&options, &function));
    written.map_or_else(
        |error| {
            // Under its conditions the function may not exist. Then there is no error either.
            let (conditions, error) = (attributes::conditions(&function), error.into_compile_error());
            let mut told = TokenStream::from(quote!(#conditions #error));
            told.extend(plain);
            told
        },
        TokenStream::from,
    )
}
