use memolith::memo;

#[memo(spinner = "Fetching data...")]
fn load(url: String) -> String {
    url
}

fn main() {}
