//! The names of everything in one namespace. The braces put all of it into one slot of a server that has slots.

use super::super::Target;

#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn of(namespace: &str) -> Self {
        Self { prefix: format!("memolith:{{{namespace}}}:") }
    }

    /// The name of an entry: its generation, and half of the digest. The checksum of the value knows the other half.
    pub(super) fn entry(target: &Target<'_>) -> String {
        let generation = u128::from_be_bytes(target.generation);
        let half = target.digest.first_chunk().map_or(0, |half| u128::from_be_bytes(*half));
        format!("{generation:032x}:{half:032x}")
    }

    pub(super) fn value(&self, entry: &str) -> String {
        format!("{}v:{entry}", self.prefix)
    }

    pub(super) fn lease(&self, entry: &str) -> String {
        format!("{}c:{entry}", self.prefix)
    }

    pub(super) fn epoch(&self) -> String {
        format!("{}e", self.prefix)
    }

    pub(super) fn epoch_of(&self, memo: &str) -> String {
        format!("{}e:{memo}", self.prefix)
    }

    pub(super) fn stream(&self) -> String {
        format!("{}s", self.prefix)
    }

    pub(super) fn channel(&self) -> String {
        format!("{}m", self.prefix)
    }
}
