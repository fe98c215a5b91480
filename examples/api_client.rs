//! A client of an API in tasks: one connection for all of them, and answers that are kept for a minute. Shows the attributes on
//! `async fn`.
//!
//! ```text
//! cargo run -p examples --features tasks --example api_client
//! ```

use std::{
    error::Error,
    io,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use memolith::{memo, resource};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Mutex,
};

/// Where the server is.
static ADDRESS: OnceLock<String> = OnceLock::new();

/// A connection that is kept open. A task that asks locks it for one question and its answer.
struct Connection {
    stream: Mutex<BufReader<TcpStream>>,
    questions: AtomicUsize,
}

impl Connection {
    async fn ask(&self, question: &str) -> io::Result<String> {
        let mut stream = self.stream.lock().await;
        self.questions.fetch_add(1, Relaxed);
        stream.write_all(format!("{question}\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_line(&mut answer).await?;
        if answer.is_empty() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(answer.trim_end().to_owned())
    }
}

/// Opened by the first task that needs it. The others wait for that, and share it.
#[resource]
async fn connection() -> io::Result<Connection> {
    let address = ADDRESS.get().ok_or_else(|| io::Error::other("no server was started"))?;
    let stream = BufReader::new(TcpStream::connect(address).await?);
    println!("             connected");
    Ok(Connection { stream: Mutex::new(stream), questions: AtomicUsize::new(0) })
}

/// The temperature of a city. A thousand tasks that ask for one city at the same time ask the server once.
#[memo(ttl = "1m")]
async fn temperature(city: &str) -> io::Result<f64> {
    let answer = connection().await?.ask(city).await?;
    answer.parse().map_err(io::Error::other)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let _ = ADDRESS.set(listener.local_addr()?.to_string());
    tokio::spawn(serve(listener));
    temperature_memo().clear()?;

    for what in ["computed", "hit"] {
        let start = Instant::now();
        let cities = ["Berlin", "Oslo", "Rome"].repeat(100);
        let temperatures = join_all(cities.into_iter().map(temperature)).await;
        let sum: f64 = temperatures.into_iter().collect::<io::Result<Vec<_>>>()?.iter().sum();
        let questions = connection().await?.questions.load(Relaxed);
        println!(
            "{what:<12}{:>10.1?}   300 calls, {questions} questions so far, {sum} degrees",
            start.elapsed()
        );
        assert_eq!(questions, 3);
    }
    println!("{}", temperature_memo().stats());
    Ok(())
}

// The server. The rest of the program knows only its address. It takes 20 ms for an answer.

async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(answer(stream));
    }
}

async fn answer(stream: TcpStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut city = String::new();
        if stream.read_line(&mut city).await? == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        let degrees = f64::from(u32::try_from(city.trim_end().len()).unwrap_or_default()) + 0.5;
        stream.write_all(format!("{degrees}\n").as_bytes()).await?;
    }
}
