//! The built-in macros of a body: the value of such a macro may change while the tokens of the body stay the same.

use memolith::{
    code,
    internal::BuiltIn::{File, Flag, Variable},
    memo,
};

use super::store;

// Two files with the same text. Each includes a query of its own.
#[path = "after/query.rs"]
mod after;
#[path = "before/query.rs"]
mod before;

#[test]
fn an_edited_included_file_is_another_version() {
    let (before, after) = (before::codes(), after::codes());
    for (before, after) in before.into_iter().zip(after) {
        assert_eq!((before.tokens, before.depends), (after.tokens, after.depends), "the text is the same");
        assert_ne!(before.hash(), after.hash());
    }
    assert_eq!(before::query("rides"), "select * from rides\n");
    assert_eq!(after::query("rides"), "select id from rides\n");
    assert_ne!(before::helper(), 0);
    assert_ne!(after::helper(), 0);
}

#[memo(store = store())]
fn flagged(number: u32) -> u32 {
    #[cfg(test)]
    let number = number + 1;
    #[cfg(not(test))]
    let number = number + 2;
    if cfg!(all(test, not(test))) { 0 } else { number }
}

#[code]
fn set() -> String {
    let name = || format!("{}{:?}", env!("CARGO_PKG_NAME"), option_env!("NO_SUCH_VARIABLE_IS_SET"));
    name()
}

#[memo(store = store(), depends(set))]
fn dependent(number: u32) -> String {
    set().repeat(number as usize)
}

#[test]
fn flags_and_variables_count_with_the_values_that_the_compiler_sees() {
    assert_eq!(memolith_code_of_flagged().built_in, [Flag(true), Flag(false), Flag(false)]);
    assert_eq!(memolith_code_of_set().built_in, [Variable(Some("memolith")), Variable(None)]);
    assert_eq!(memolith_code_of_dependent().depends, [memolith_code_of_set()]);
    assert_eq!((flagged(1), dependent(1).as_str()), (2, "memolithNone"));
}

#[memo(store = store())]
fn conditional(number: usize) -> usize {
    #[cfg(not(test))]
    let text = include_str!("there is no such file");
    #[cfg(test)]
    let text = include_str!("before/query.sql");
    text.len() * number
}

#[test]
fn a_file_that_the_build_leaves_out_need_not_be_there() {
    let expected = [Flag(false), Flag(true), File(b"select * from table\n")];
    assert_eq!(memolith_code_of_conditional().built_in, expected);
    assert_eq!(conditional(2), 40);
}
