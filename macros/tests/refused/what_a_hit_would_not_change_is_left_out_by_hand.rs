use memolith::memo;

#[memo]
fn filled(buffer: &mut Vec<u8>) -> usize {
    buffer.push(1);
    buffer.len()
}

struct Counter(u32);

impl Counter {
    #[memo]
    fn count(&mut self) -> u32 {
        self.0 += 1;
        self.0
    }
}

fn main() {}
