//! `MEMOLITH_DISABLE`: an environment variable that turns every memo into the plain function.

use std::{env, ffi::OsStr, sync::LazyLock};

const VARIABLE: &str = "MEMOLITH_DISABLE";

/// Read once: a memo does not change while the process runs.
static DISABLED: LazyLock<bool> = LazyLock::new(|| env::var_os(VARIABLE).is_some_and(|value| is_set(&value)));

/// Whether memos of this process compute at each call.
pub(crate) fn is_disabled() -> bool {
    *DISABLED
}

/// An empty variable counts as not set, as with other variables of this kind.
fn is_set(value: &OsStr) -> bool {
    !value.is_empty() && value != "0"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_and_zero_disable_nothing() {
        let disables = |value: &str| is_set(OsStr::new(value));
        assert!(disables("1") && disables("true"));
        assert!(!disables("") && !disables("0"));
    }
}
