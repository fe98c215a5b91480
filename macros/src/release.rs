//! The releases of a crate that may be linked into one program side by side. Their functions have one path.

use std::env;

/// Equal in all releases of the crate of which Cargo would link only one. Empty without Cargo.
pub(crate) fn current() -> String {
    described(|name| env::var(name).ok())
}

/// The version up to its first number that is not zero, and the name of the binary: a library and the binary of its package
/// may have one name.
fn described(variable: impl Fn(&str) -> Option<String>) -> String {
    let mut release = String::new();
    for name in ["CARGO_PKG_VERSION_MAJOR", "CARGO_PKG_VERSION_MINOR", "CARGO_PKG_VERSION_PATCH"] {
        let number = variable(name).unwrap_or_default();
        release = format!("{release}{number}.");
        if number != "0" {
            break;
        }
    }
    format!("{release}{}", variable("CARGO_BIN_NAME").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_changes_with_an_incompatible_release_and_with_the_binary() {
        let of = |numbers: [&str; 3], binary: Option<&str>| {
            let [major, minor, patch] = numbers.map(str::to_owned);
            let binary = binary.map(str::to_owned);
            described(|name| match name {
                "CARGO_PKG_VERSION_MAJOR" => Some(major.clone()),
                "CARGO_PKG_VERSION_MINOR" => Some(minor.clone()),
                "CARGO_PKG_VERSION_PATCH" => Some(patch.clone()),
                "CARGO_BIN_NAME" => binary.clone(),
                _ => None,
            })
        };
        assert_eq!(of(["1", "2", "3"], None), of(["1", "4", "0"], None));
        assert_eq!(of(["0", "2", "3"], None), of(["0", "2", "4"], None));
        let releases = [
            of(["0", "0", "1"], None),
            of(["0", "0", "2"], None),
            of(["0", "1", "0"], None),
            of(["0", "1", "0"], Some("a")),
            of(["0", "1", "0"], Some("b")),
            of(["0", "11", "0"], None),
            of(["1", "0", "0"], None),
            of(["2", "0", "0"], None),
        ];
        for (at, release) in releases.iter().enumerate() {
            assert!(!releases[at + 1..].contains(release), "{release}");
        }
        assert_eq!(described(|_| None), ".");
    }
}
