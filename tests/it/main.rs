//! The claims of memolith, one module a promise.

#![allow(unreachable_pub, missing_docs, reason = "a test binary")]
#![allow(clippy::panic, clippy::unwrap_used, clippy::missing_panics_doc, clippy::must_use_candidate)]

#[macro_use]
mod vocabulary;

mod codec;
mod identity;
mod keys;
mod smoke;
mod stamp;
