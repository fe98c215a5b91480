//! A call of an API. Shows errors: the caller gets them unchanged, and the next call asks again.
//!
//! ```text
//! # run it twice: the second time is hits, but for the error
//! cargo run -p examples --features http --example api_call
//! ```

use std::{
    error::Error,
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use memolith::memo;
use serde::{Deserialize, Serialize};

const AIRPORTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/airports.csv");

#[derive(Clone, Serialize, Deserialize)]
struct Neighbour {
    iata: String,
    name: String,
    kilometres: f64,
}

/// The airports nearest to one, from the server at `address`.
///
/// The key is the request; the address of the server is not in it. `Ok` is stored for a day. An `Err` is never
/// stored: when a server is down, or a status is no success, the next call tries again, and no old error is ever
/// returned.
#[memo(ttl = "1d", skip(address))]
fn nearest(address: &str, iata: &str) -> Result<Vec<Neighbour>, ureq::Error> {
    // The server is in this program, so a proxy in the environment must not be used.
    let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
    let response = agent.get(format!("http://{address}/nearest/{iata}")).call()?;
    let answer = serde_json::from_reader(response.into_body().into_reader());
    answer.map_err(|error| ureq::Error::Other(error.into()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    thread::spawn(move || listener.incoming().flatten().try_for_each(|stream| answer(&stream)));

    for iata in ["DEN", "JFK"] {
        let near = timed::memo(nearest_memo(), iata, || nearest(&address, iata))?;
        for Neighbour { iata, name, kilometres } in near.iter().take(2) {
            println!("{iata} {name}, {kilometres:.0} km");
        }
    }
    // Asked at each call, in each run.
    for _ in 0..2 {
        if let Err(error) = timed::memo(nearest_memo(), "XXX", || nearest(&address, "XXX")) {
            println!("{error}");
        }
    }
    timed::kept();
    Ok(())
}

// The server. The rest of the program knows only its address. It answers one request a connection.

fn answer(mut stream: &TcpStream) -> io::Result<()> {
    let head =
        BufReader::new(stream).lines().take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()));
    let head = head.collect::<io::Result<Vec<_>>>()?;
    let request = head.first().and_then(|line| line.strip_prefix("GET /nearest/")?.strip_suffix(" HTTP/1.1"));
    let (status, body) = match request.map(found).transpose().map_err(io::Error::other)?.flatten() {
        Some(near) => ("200 OK", serde_json::to_string(&near)?),
        None => ("404 Not Found", String::new()),
    };
    println!("             the server answers {status}");
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

#[derive(Deserialize)]
struct Airport {
    iata: String,
    name: String,
    latitude: f64,
    longitude: f64,
}

fn found(iata: &str) -> csv::Result<Option<Vec<Neighbour>>> {
    let airports = csv::Reader::from_path(AIRPORTS)?.deserialize().collect::<csv::Result<Vec<Airport>>>()?;
    let Some(from) = airports.iter().find(|airport| airport.iata == iata) else { return Ok(None) };
    let others = airports.iter().filter(|to| to.iata != iata);
    let neighbour = |to: &Airport| Neighbour {
        iata: to.iata.clone(),
        name: to.name.clone(),
        kilometres: kilometres(from, to),
    };
    let mut near: Vec<_> = others.map(neighbour).collect();
    near.sort_by(|one, other| one.kilometres.total_cmp(&other.kilometres));
    near.truncate(10);
    Ok(Some(near))
}

/// Along the great circle, by the haversine formula.
fn kilometres(from: &Airport, to: &Airport) -> f64 {
    let half_sine = |one: f64, other: f64| ((other - one).to_radians() / 2.0).sin().powi(2);
    let parallels = from.latitude.to_radians().cos() * to.latitude.to_radians().cos();
    let haversine =
        half_sine(from.latitude, to.latitude) + parallels * half_sine(from.longitude, to.longitude);
    2.0 * 6371.0 * haversine.min(1.0).sqrt().asin()
}
