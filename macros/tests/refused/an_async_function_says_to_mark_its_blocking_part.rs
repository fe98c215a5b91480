use memolith::memo;

#[memo]
async fn load(url: String) -> String {
    url
}

fn main() {}
