//! A page of a server that may be kept for a while, is asked for anew by its tag, and is better old than missing.
//! Shows `entry`: a ttl that the value tells, an update of the old value, and a stale value in place of an error.
//!
//! ```text
//! cargo run -p examples --features http --example revalidation
//! ```

use std::{
    error::Error,
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use memolith::{Memo, default_store};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Page {
    /// The server's name for this state of the page.
    tag: String,
    /// How long it may be kept without a question.
    fresh_for: Duration,
    text: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    thread::spawn(move || serve(&listener));

    // For a day an old page is better than an error. A server that is down is asked every 30 s.
    let pages: Memo<str, Page> =
        Memo::builder("pages").stale_for(Duration::from_secs(24 * 3600)).open(default_store())?;
    pages.clear()?;

    let mut what = "";
    for pause in [0, 0, 300, 300, 0] {
        thread::sleep(Duration::from_millis(pause));
        let start = Instant::now();
        what = "hit";
        let call = pages.entry("/news").ttl_with(|page| page.fresh_for).or_try_update_with(|old| {
            what = "computed";
            let (status, new) = fetch(&address, "/news", old.as_ref())?;
            println!("             the server answers {status}");
            if status == 304 {
                what = "renewed";
            }
            new.or(old).ok_or(ureq::Error::StatusCode(status))
        });
        if pages.stats().refreshes.failed > 0 {
            what = "stale";
        }
        println!("{what:<12}{:>10.1?}   {}", start.elapsed(), call?.text);
    }
    println!("{}", pages.stats());
    assert_eq!(what, "stale");
    Ok(())
}

/// The status, and the page if it is another one than `old`.
fn fetch(address: &str, path: &str, old: Option<&Page>) -> Result<(u16, Option<Page>), ureq::Error> {
    // The server is in this program, so a proxy in the environment must not be used.
    let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
    let mut request = agent.get(format!("http://{address}{path}"));
    if let Some(old) = old {
        request = request.header("If-None-Match", &old.tag);
    }
    let response = request.call()?;
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let status = response.status().as_u16();
    if status == 304 {
        return Ok((status, None));
    }
    let tag = header("ETag").unwrap_or_default().to_owned();
    let fresh_for =
        Duration::from_millis(header("X-Fresh-For").and_then(|text| text.parse().ok()).unwrap_or(0));
    let text = response.into_body().read_to_string()?;
    Ok((status, Some(Page { tag, fresh_for, text })))
}

// The server. The rest of the program knows only its address. It answers one request a connection: 200, then 304, then 500.

fn serve(listener: &TcpListener) -> io::Result<()> {
    let statuses = ["200 OK", "304 Not Modified", "500 Internal Server Error"];
    listener
        .incoming()
        .zip(statuses.into_iter().cycle())
        .try_for_each(|(stream, status)| answer(&stream?, status))
}

fn answer(mut stream: &TcpStream, status: &str) -> io::Result<()> {
    let head = BufReader::new(stream).lines();
    head.take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()))
        .collect::<io::Result<Vec<_>>>()?;
    let body = if status == "200 OK" { "the news of today" } else { "" };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nETag: \"1\"\r\nX-Fresh-For: 200\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}
