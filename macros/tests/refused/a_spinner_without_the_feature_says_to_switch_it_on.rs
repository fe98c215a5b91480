use memolith::{memo, resource};

#[memo(spinner = "Fetching data...")]
fn load(url: String) -> String {
    url
}

#[resource(spinner = "Connecting...")]
fn connect(host: String) -> String {
    host
}

fn main() {}
