use memolith::memo;

#[derive(Clone, serde::Serialize)]
struct Frame(u32);

impl Frame {
    #[memo(ttl = "1h", stale_for = "1d")]
    fn area(&self) -> u32 {
        self.0
    }
}

fn main() {}
