//! The host's side of the protocol under random schedules: the calls of several guests in any order, each read by the host and each
//! answer read by its guest at any time after, connections that end and come again with what they led.
//!
//! Of the values that are read it is checked that none is older than a change that had its answer; of the leads, that a key has one at
//! most until something changes it; and that each call is answered in the end.

use std::{collections::HashMap, task::Waker, time::Duration};

use super::{
    super::{
        host::Host,
        message::{
            Answer, Call, Ended, Expires, GREETING, Limits, PROTOCOL, PutCall, PutOrigin, PutPayload, Wants,
            decode, encode, split,
        },
        socket::{Channel, Ready, Stream},
    },
    Granted, Guest,
};
use crate::{
    clock::Deadline,
    key::Digest,
    record::{Body, Record},
    store::{Store, generation::CatalogRow, worker::Request},
};

const PEERS: usize = 3;
const KEYS: usize = 2;
const STEPS: usize = 120;
const MEMO: u32 = 5;
const GENERATION: [u8; 16] = [9; 16];
const LIMITS: Limits = Limits {
    expires: Expires { ttl_millis: None, stale_millis: 0 },
    max_entries: None,
    max_bytes: None,
    spares_used: false,
};

/// The moment of an event: each has its own.
type Moment = u64;

/// A call whose answer has not come.
#[derive(Clone, Copy, Debug)]
enum Under {
    Greeting,
    Look { key: usize, began: Moment, noted: (u64, u64), caller: u64 },
    Write { value: usize },
    Change { change: usize },
}

/// A value that was written, or is.
#[derive(Debug)]
struct Written {
    key: usize,
    /// When it was sent, or when the lead was asked for under which it was computed.
    began: Moment,
    /// The lead under which it was computed.
    lead: Option<Lead>,
    answered: Option<Moment>,
}

/// A removal, an insertion or a clear.
#[derive(Debug)]
struct Change {
    /// `None` for all keys.
    key: Option<usize>,
    sent: Moment,
    answered: Option<Moment>,
    /// Whether it has its answer, or was lost with its connection.
    is_over: bool,
    /// The value that it writes.
    value: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Lead {
    key: usize,
    caller: u64,
    began: Moment,
    granted: Moment,
    noted: (u64, u64),
    /// Under which the host knows it.
    claim: u32,
    /// Whether its connection was lost since: others may lead the key beside it.
    is_declared: bool,
}

/// A guest, and the host's side of its connection.
struct Peer {
    guest: Guest,
    channel: Channel,
    last_call: u32,
    under: HashMap<u32, Under>,
    leads: Vec<Lead>,
}

struct World {
    host: Host,
    peers: Vec<Peer>,
    now: Moment,
    written: Vec<Written>,
    changes: Vec<Change>,
    /// Whether several may lead a key from here on, because a lead of it was declared over a new connection.
    is_shared: [bool; KEYS],
    /// Computations that failed. After two in a row all that wait for the key compute.
    failures: [u32; KEYS],
    random: u64,
}

fn digest(key: usize) -> Digest {
    Digest::from_bytes([key as u8 + 1; 32])
}

impl Peer {
    fn connect() -> Self {
        let (ours, theirs) = Stream::pair();
        let (guest, channel) = (Guest::new(theirs), Channel::new(ours));
        let mut peer = Self { guest, channel, last_call: 0, under: HashMap::new(), leads: Vec::new() };
        peer.call(&Call::Hello { greeting: GREETING, protocol: PROTOCOL }, Under::Greeting);
        let row =
            CatalogRow { name: "schedules".into(), ttl_millis: u64::MAX, ..CatalogRow::default() }.encode();
        let adopt =
            Call::Adopt { memo: MEMO, generation: GENERATION, row: &row, place: "schedules", bounds: LIMITS };
        peer.call(&adopt, Under::Greeting);
        peer
    }

    fn call(&mut self, call: &Call<'_>, under: Under) -> u32 {
        self.last_call += 1;
        self.under.insert(self.last_call, under);
        self.tell(self.last_call, call);
        self.last_call
    }

    fn tell(&mut self, number: u32, call: &Call<'_>) {
        self.channel.write(&encode(number, call)).unwrap();
    }

    /// What the host has granted it on a key.
    fn claims(&self, key: usize) -> impl Iterator<Item = &Granted> {
        let key = self.guest.memos.get(&MEMO).map(|partition| partition.flight_key(&digest(key)));
        self.guest.claims.values().filter(move |granted| Some(granted.key) == key)
    }

    fn is_busy(&self, caller: u64) -> bool {
        let waits = |under: &Under| matches!(under, Under::Look { caller: other, .. } if *other == caller);
        self.under.values().any(waits) || self.leads.iter().any(|lead| lead.caller == caller)
    }
}

impl World {
    fn new(store: &Store, seed: u64) -> Self {
        let directory = store.handle.directory.as_ref().unwrap();
        let host = Host::new(directory, store.session(), Waker::noop().clone(), 0);
        let peers = (0..PEERS).map(|_| Peer::connect()).collect();
        let random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let (is_shared, failures) = ([false; KEYS], [0; KEYS]);
        Self { host, peers, now: 1, written: Vec::new(), changes: Vec::new(), is_shared, failures, random }
    }

    fn roll(&mut self, below: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as usize % below
    }

    fn tick(&mut self) -> Moment {
        self.now += 1;
        self.now
    }

    /// Those of EPOCHS, as a guest notes them before it looks.
    fn note(&self, key: usize) -> (u64, u64) {
        let epochs = self.host.directory.sharing.epochs();
        epochs.map(|epochs| epochs.note(&GENERATION, &digest(key)).words()).unwrap_or_default()
    }

    fn step(&mut self) {
        let (peer, key) = (self.roll(PEERS), self.roll(KEYS));
        match self.roll(20) {
            0..=4 => self.receive(peer),
            5..=7 => self.look_up(peer, key),
            8..=9 => self.end_lead(peer),
            10 => self.insert(peer, key),
            11 => self.remove(peer, key),
            12 if self.roll(4) == 0 => self.reconnect(peer),
            12 if self.roll(3) == 0 => self.clear(peer),
            _ => self.serve(peer),
        }
    }

    fn serve(&mut self, peer: usize) {
        let Self { host, peers, .. } = self;
        peers[peer].guest.note(Ready { readable: true, writable: true });
        peers[peer].guest.serve(host);
        assert!(!peers[peer].guest.is_gone(), "it keeps to the protocol");
        self.check_claims();
    }

    fn receive(&mut self, peer: usize) {
        let mut frames = Vec::new();
        self.peers[peer].channel.read(|frame| frames.push(frame.to_vec())).unwrap();
        for frame in frames {
            let (number, answer) = split(&frame).unwrap();
            let under = self.peers[peer].under.remove(&number).unwrap();
            self.answered(peer, number, under, &decode(answer).unwrap());
        }
    }

    fn answered(&mut self, peer: usize, number: u32, under: Under, answer: &Answer<'_>) {
        let now = self.tick();
        match (under, answer) {
            (Under::Greeting, Answer::Welcome | Answer::Done) => {}
            (Under::Look { key, began, .. }, Answer::Record(bytes)) => {
                let Body::Inline(value) = Record::decode(bytes, &digest(key)).unwrap().body else {
                    panic!("a small value")
                };
                self.check_value(key, usize::from_le_bytes(value.try_into().unwrap()), began);
            }
            (Under::Look { key, began, .. }, Answer::Missing(_)) => self.check_missing(key, began),
            (Under::Look { key, began, noted, caller }, Answer::Lead(_)) => {
                self.check_missing(key, began);
                let lead =
                    Lead { key, caller, began, granted: now, noted, claim: number, is_declared: false };
                self.peers[peer].leads.push(lead);
            }
            (Under::Write { value }, Answer::Done) => self.written[value].answered = Some(now),
            // It was computed before a change.
            (Under::Write { value }, Answer::Flag(false)) => {
                let Written { key, began, lead, .. } = self.written[value];
                let is_changed = self.changes.iter().any(|change| change.may_follow(key, began));
                assert!(is_changed || lead.unwrap().is_declared);
            }
            (Under::Change { change }, Answer::Done | Answer::Flag(_)) => {
                (self.changes[change].answered, self.changes[change].is_over) = (Some(now), true);
                if let Some(value) = self.changes[change].value {
                    self.written[value].answered = Some(now);
                }
            }
            (under, answer) => panic!("{under:?}: {answer:?}"),
        }
    }

    /// No change that had its answer before the look began came after the value.
    fn check_value(&self, key: usize, value: usize, began: Moment) {
        let written = &self.written[value];
        assert_eq!(written.key, key);
        for change in self.changes.iter().filter(|change| change.is_of(key) && change.value != Some(value)) {
            let is_before_look = change.answered.is_some_and(|answered| answered < began);
            let last = written.lead.map_or(written.answered, |lead| Some(lead.granted));
            let is_after_value = last.is_some_and(|last| last < change.sent);
            assert!(!(is_before_look && is_after_value), "{written:?} is older than {change:?}");
        }
    }

    /// There is nothing that had its answer and was not changed since.
    fn check_missing(&self, key: usize, began: Moment) {
        for (value, written) in self.written.iter().enumerate().filter(|(_, written)| written.key == key) {
            let is_there = written.answered.is_some_and(|answered| answered < began);
            let may_be_gone = self
                .changes
                .iter()
                .any(|change| change.value != Some(value) && change.may_follow(key, written.began));
            assert!(!is_there || may_be_gone, "{written:?} is not found");
        }
    }

    /// A key has one claim that no change has revoked, unless one of them was declared over a new connection, or computations failed.
    /// A change that is under way may have taken a value out of sight and be about to revoke the claims.
    fn check_claims(&self) {
        for key in 0..KEYS {
            let claims: Vec<&Granted> = self.peers.iter().flat_map(|peer| peer.claims(key)).collect();
            let current = claims.iter().filter(|granted| granted.claim.is_current()).count();
            let is_changing = self.changes.iter().any(|change| change.is_of(key) && !change.is_over);
            let may_be_several = self.is_shared[key] || self.failures[key] > 1 || is_changing;
            assert!(current <= 1 || may_be_several, "{current} lead the key {key}");
        }
    }

    fn look_up(&mut self, peer: usize, key: usize) {
        let caller = self.roll(2) as u64;
        if self.peers[peer].is_busy(caller) {
            return;
        }
        let (began, noted) = (self.tick(), self.note(key));
        let wants = if self.roll(4) == 0 { Wants::Record } else { Wants::RecordOrLead };
        let (memo, digest, expires) = (MEMO, *digest(key).as_bytes(), LIMITS.expires);
        let call = Call::LookUp { memo, digest, expires, caller, wants };
        self.peers[peer].call(&call, Under::Look { key, began, noted, caller });
    }

    fn end_lead(&mut self, peer: usize) {
        let Some(lead) = self.peers[peer].leads.pop() else { return };
        let claim = lead.claim;
        match self.roll(6) {
            0 => {
                self.failures[lead.key] += 1;
                self.peers[peer].tell(0, &Call::End { claim, outcome: Ended::Failed });
            }
            1 => self.peers[peer].tell(0, &Call::End { claim, outcome: Ended::Abandoned }),
            _ => {
                let value = self.written.len();
                let (key, began, answered) = (lead.key, lead.began, None);
                self.written.push(Written { key, began, lead: Some(lead), answered });
                let is_awaited = self.roll(2) == 0;
                let origin = PutOrigin::Computed { claim: Some(claim), noted: lead.noted, replaces: false };
                self.put(peer, lead.key, value, origin, is_awaited, Under::Write { value });
            }
        }
    }

    fn put(
        &mut self,
        peer: usize,
        key: usize,
        value: usize,
        origin: PutOrigin,
        is_awaited: bool,
        under: Under,
    ) {
        let put = PutCall {
            memo: MEMO,
            digest: *digest(key).as_bytes(),
            key_head: b"key",
            compute_nanos: 1,
            ttl_millis: None,
            age_millis: None,
            payload: PutPayload::Inline(&value.to_le_bytes()),
            variant: None,
            origin,
            is_awaited,
        };
        self.peers[peer].call(&Call::Put(put), under);
    }

    fn insert(&mut self, peer: usize, key: usize) {
        let (sent, value) = (self.tick(), self.written.len());
        self.written.push(Written { key, began: sent, lead: None, answered: None });
        let change = self.change(Some(key), sent, Some(value));
        self.put(peer, key, value, PutOrigin::Inserted, true, Under::Change { change });
    }

    fn remove(&mut self, peer: usize, key: usize) {
        let sent = self.tick();
        let change = self.change(Some(key), sent, None);
        let call = Call::Remove { memo: MEMO, digest: *digest(key).as_bytes() };
        self.peers[peer].call(&call, Under::Change { change });
    }

    fn clear(&mut self, peer: usize) {
        let sent = self.tick();
        let change = self.change(None, sent, None);
        self.peers[peer].call(&Call::Clear { memo: MEMO }, Under::Change { change });
    }

    fn change(&mut self, key: Option<usize>, sent: Moment, value: Option<usize>) -> usize {
        self.changes.push(Change { key, sent, answered: None, is_over: false, value });
        self.changes.len() - 1
    }

    /// The connection is lost. The guest comes back, declares what it leads, and does not know what became of its calls.
    fn reconnect(&mut self, peer: usize) {
        let lost = std::mem::replace(&mut self.peers[peer], Peer::connect());
        let Peer { mut guest, leads, under, .. } = lost;
        guest.leave(&self.host);
        self.host.directory.ask(|reply| Request::Barrier { reply }).unwrap();
        for under in under.into_values() {
            if let Under::Change { change } = under {
                self.changes[change].is_over = true;
            }
        }
        for lead in leads {
            let (memo, digest) = (MEMO, *digest(lead.key).as_bytes());
            let declare = Call::Declare { memo, digest, caller: lead.caller, is_refresh: false };
            let claim = self.peers[peer].call(&declare, Under::Greeting);
            self.peers[peer].leads.push(Lead { claim, is_declared: true, ..lead });
            self.is_shared[lead.key] = true;
        }
        self.peers[peer].call(&Call::Declared { returns: false }, Under::Greeting);
    }

    /// Until each call has its answer and no key is led.
    fn settle(&mut self) {
        let deadline = Deadline::after(Duration::from_secs(60));
        let is_under_way = |peer: &Peer| !peer.under.is_empty() || !peer.leads.is_empty();
        while self.peers.iter().any(is_under_way) {
            for peer in 0..PEERS {
                self.serve(peer);
                self.receive(peer);
                self.end_lead(peer);
            }
            std::thread::yield_now();
            assert!(deadline.remaining().is_some(), "a call without an answer");
        }
    }
}

impl Change {
    fn is_of(&self, key: usize) -> bool {
        self.key.is_none_or(|changed| changed == key)
    }

    /// Whether it may have come after that moment.
    fn may_follow(&self, key: usize, moment: Moment) -> bool {
        self.is_of(key) && self.answered.is_none_or(|answered| answered > moment)
    }
}

#[test]
fn calls_of_several_guests_in_any_order_are_answered_as_of_one_map() {
    let schedules = if std::env::var_os("MEMOLITH_SOAK").is_some() { 20_000 } else { 150 };
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    let mut outcomes = [0; 2];
    for seed in 1..=schedules {
        println!("schedule {seed}");
        let mut world = World::new(&store, seed);
        assert!(world.host.directory.sharing.epochs().is_some());
        for _ in 0..STEPS {
            world.step();
        }
        world.settle();
        for outcome in world.written.iter().map(|written| usize::from(written.answered.is_some())) {
            outcomes[outcome] += 1;
        }
        for mut peer in world.peers {
            peer.guest.leave(&world.host);
        }
        store.clear().unwrap();
    }
    let [refused, stored] = outcomes;
    assert!(refused > 0 && stored > refused, "{outcomes:?}");
}
