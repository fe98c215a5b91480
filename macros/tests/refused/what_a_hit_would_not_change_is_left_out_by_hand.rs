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

    #[memo]
    fn count_too(self: &mut Self) -> u32 {
        self.count()
    }
}

#[memo]
fn filled_perhaps(buffer: Option<&mut Vec<u8>>) -> usize {
    buffer.map_or(0, |buffer| buffer.len())
}

fn main() {}
