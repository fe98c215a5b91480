//! Types of other crates as values of a memo. All that is here stands in `tests/types.rs`.
