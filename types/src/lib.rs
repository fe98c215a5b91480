//! Types of other crates as values of a memo. All code is in `tests/types`.
