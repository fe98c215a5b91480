use memolith::memo;

#[memo]
fn load(url: &str, #[cfg(windows)] drive: char) -> String {
    url.to_owned()
}

fn main() {}
