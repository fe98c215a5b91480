use memolith::memo;

type Answer = Result<u32, String>;

#[memo]
fn first(number: u32) -> Option<Result<u32, String>> {
    Some(Ok(number))
}

#[memo]
fn second(number: u32) -> Result<Answer, String> {
    Ok(Ok(number))
}

#[memo]
fn third(number: u32) -> (u32, [Vec<Answer>; 1]) {
    (number, [vec![Ok(number)]])
}

#[memo(cache_if = |value| value.is_some())]
fn chosen(number: u32) -> Option<Answer> {
    Some(Ok(number))
}

fn main() {}
