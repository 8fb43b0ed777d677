//! Mistakes in declarations are compile errors at the offending word; `tests/ui/*.stderr` are the messages, read by a person.
// spec: EXP-5

#[test]
fn mistakes_are_shown_where_they_are() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
