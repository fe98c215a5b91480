use memolith::memo;

#[memo(ttl = "1h", stale_for = "1d")]
fn joined(words: &[&str]) -> String {
    words.join(" ")
}

#[memo(ttl = "1h", stale_for = "1d")]
fn first(words: Option<&str>) -> String {
    words.unwrap_or_default().into()
}

fn main() {}
