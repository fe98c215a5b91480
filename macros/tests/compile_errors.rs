//! What the attributes cannot do is an error at its place that says what to do.

#[test]
fn what_cannot_be_is_refused_at_its_place() {
    trybuild::TestCases::new().compile_fail("tests/refused/*.rs");
}
