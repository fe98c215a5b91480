use memolith::memo;

#[memo]
fn run(port: u16) -> ! {
    std::process::exit(port.into())
}

fn main() {}
