use memolith::memo;

#[memo(skip(verbos))]
fn load(url: &str, verbose: bool) -> String {
    url.repeat(verbose.into())
}

#[memo(files(self))]
fn lines(path: &str) -> usize {
    path.len()
}

#[memo(key = path.len(), skip(path))]
fn length(path: &str) -> usize {
    path.len()
}

fn main() {}
