use memolith::memo;

#[memo]
struct Load;

trait Loads {
    #[memo]
    fn load(url: &str) -> String;
}

fn main() {}
