//! The names under which a store keeps memos: that of the user, and behind it the digest of a scope.

use std::collections::BTreeSet;

use crate::key::Digest;

/// Between the name of a memo and its scope. No name contains it.
const SCOPE: char = '\0';

/// The name under which the store keeps a memo with a scope.
pub(crate) fn scoped_name(name: &str, scope: &Digest) -> String {
    let id: [u8; 16] = *scope.as_bytes().first_chunk().unwrap_or(&[0; 16]);
    format!("{name}{SCOPE}{:032x}", u128::from_be_bytes(id))
}

/// The name without the scope.
pub(crate) fn name_of(scoped: &str) -> &str {
    scoped.split_once(SCOPE).map_or(scoped, |(name, _)| name)
}

/// The names of memos without their scopes, each once and in alphabetical order.
pub(crate) fn names_of<'a>(scoped: impl Iterator<Item = &'a String>) -> Vec<String> {
    let names: BTreeSet<&str> = scoped.map(|scoped| name_of(scoped)).collect();
    names.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_taken_off_a_name_again() {
        let scoped = scoped_name("prices", &Digest::from_bytes([7; 32]));
        assert_eq!((scoped.len(), name_of(&scoped), name_of("prices")), (39, "prices", "prices"));
        let names = [scoped, "prices".into(), "models".into()];
        assert_eq!(names_of(names.iter()), ["models", "prices"]);
    }
}
