use memolith::memo;

#[memo]
#[cfg(not(all()))]
async fn absent(number: u32) -> u32 {
    number
}

#[memo]
#[cfg(all())]
async fn present(number: u32) -> u32 {
    number
}

fn main() {}
