use memolith::memo;

#[memo]
#[cfg(not(all()))]
const fn absent(number: u32) -> u32 {
    number
}

#[memo]
#[cfg(all())]
const fn present(number: u32) -> u32 {
    number
}

fn main() {}
