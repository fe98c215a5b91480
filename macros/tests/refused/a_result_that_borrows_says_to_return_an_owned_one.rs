use memolith::memo;

#[memo]
fn first(text: &str) -> &str {
    text
}

#[memo]
fn second<'a>(text: &'a str) -> Result<std::borrow::Cow<'a, str>, String> {
    Ok(text.into())
}

#[memolith::resource]
fn third(text: &str) -> Vec<&str> {
    vec![text]
}

fn main() {}
