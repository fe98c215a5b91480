//! Checks the links of a site, 128 at a time in one task. Shows `future::Memo`: its futures borrow, a second run asks nothing, and a
//! call that fails is tried again.
//!
//! ```text
//! cargo run -p examples --features tasks --example link_check [NUMBER OF LINKS]
//! ```

use std::{
    collections::BTreeMap,
    error::Error,
    io,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use memolith::{Memo, default_store, future};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// How many requests are under way at the same time.
const AT_ONCE: usize = 128;

/// The client of one run. Its requests borrow it.
struct Checker {
    address: String,
    requests: AtomicUsize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let count = std::env::args().nth(1).map_or(Ok(300), |count| count.parse())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let checker = Checker { address: listener.local_addr()?.to_string(), requests: AtomicUsize::new(0) };
    tokio::spawn(serve(listener));

    let links: Vec<String> = (0..count).map(|number| format!("/page/{number}")).collect();
    // A day later a link is checked anew.
    let statuses: future::Memo<str, u16> =
        Memo::builder("statuses").ttl(Duration::from_secs(24 * 3600)).open(default_store())?.into();

    for name in ["first pass", "second pass"] {
        let (start, before) = (Instant::now(), checker.requests.load(Relaxed));
        let checks = links.iter().map(|link| async {
            let status = statuses.get_or_try_insert_with(link, || checker.check(link)).await;
            (link.as_str(), status)
        });
        let found: Vec<_> = stream::iter(checks).buffer_unordered(AT_ONCE).collect().await;
        let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
        for (_, status) in &found {
            let text = status.as_ref().map_or_else(ToString::to_string, ToString::to_string);
            *numbers.entry(text).or_default() += 1;
        }
        let requests = checker.requests.load(Relaxed) - before;
        let what = if requests == 0 { "hit" } else { "computed" };
        println!("{what:<12}{:>10.1?}   {name}: {requests} requests, {numbers:?}", start.elapsed());
    }
    println!("{}", statuses.blocking().stats());
    println!(
        "stored in {}",
        default_store().path().map_or_else(String::new, |path| path.display().to_string())
    );
    Ok(())
}

impl Checker {
    /// The status of a page.
    async fn check(&self, link: &str) -> io::Result<u16> {
        self.requests.fetch_add(1, Relaxed);
        let mut stream = TcpStream::connect(&self.address).await?;
        stream.write_all(format!("HEAD {link} HTTP/1.1\r\nConnection: close\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.ok_or_else(|| io::Error::other("the server closed the connection"))
    }
}

// The server. The rest of the program knows only its address. It takes 20 ms for a page, and has no page whose number ends in 7.

async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(answer(stream));
    }
}

async fn answer(stream: TcpStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    stream.read_line(&mut request).await?;
    let is_there = request.split(' ').nth(1).is_some_and(|path| !path.ends_with('7'));
    tokio::time::sleep(Duration::from_millis(20)).await;
    let status = if is_there { "200 OK" } else { "404 Not Found" };
    stream.write_all(format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n").as_bytes()).await
}
