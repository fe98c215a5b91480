use memolith::memo;

#[memo(ttl = "1h", refresh_at = 0.8)]
async fn load(url: String) -> String {
    url
}

fn main() {}
