//! Code that the attributes refuse is an error at its place, and the message names the remedy.

#[test]
fn what_cannot_be_is_refused_at_its_place() {
    trybuild::TestCases::new().compile_fail("tests/refused/*.rs");
}
