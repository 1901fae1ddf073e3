//! A push in our own words: the client's half of `git-receive-pack` (gitprotocol-pack(5)), over the
//! streams that libgit2 would use.
//!
//! libgit2 marks every tree of every ref that the server has before it packs, which takes as long as
//! the repository is large. What a push brings is known here: the commits that the branch lacks, and
//! what their trees changed. So the work is as large as the change.

use std::collections::{BTreeSet, HashSet};
use std::io::{self, Read, Write};

use git2::{ObjectType, OdbLookupFlags, Oid, PackBuilder, Tree};

use super::engine::Sent;
use super::error::GitError;
use super::mirror::Job;
use super::pktline::{self, Owned, Packet, Packets};

/// Most bytes that a server may say about one ref.
const REPORT_MAX: usize = 1 << 20;
/// Deepest nesting of folders that is looked into.
const DEPTH_MAX: usize = 256;
/// Words of a server about what it can do.
const REPORT: &str = "report-status";
const SIDE_BAND: &str = "side-band-64k";
const DELETE: &str = "delete-refs";

/// The two ends of one conversation.
pub(super) trait Wire {
    /// Asks for the server's refs; the answer is read from what this gives.
    fn advertisement(&mut self) -> io::Result<Box<dyn Stream>>;
    /// Where the request is written and its answer read, if it is not the same stream.
    fn request(&mut self) -> io::Result<Option<Box<dyn Stream>>>;
}

/// Bytes in both directions.
pub(super) trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// One ref that is to be changed, and from what.
pub(super) struct Update<'a> {
    pub(super) reference: &'a str,
    /// What it is to be at; absent: it is removed.
    pub(super) object: Option<Oid>,
    /// What it must be at; zero: it must not be there.
    pub(super) expected: Oid,
}

/// Why a push did not come to an answer.
#[derive(Debug)]
pub(super) enum Broken {
    /// The stream failed; whoever opened it knows why.
    Stream(String),
    /// The server says what it must not.
    Protocol(String),
    /// The server does not want to talk, in these words.
    Remote(String),
    /// More than is allowed.
    TooLarge {
        /// What is.
        what: &'static str,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The mirror cannot give what is to be sent.
    Mirror(git2::Error),
    /// The request was on its way, and no plain word about the ref came back: it may have been carried out for all
    /// that is known.
    Open(String),
}

/// What a server is at, and what it can do.
#[derive(Debug, Default, PartialEq, Eq)]
struct Advertised {
    refs: Vec<(String, Oid)>,
    capabilities: Vec<String>,
}

/// Pushes one update. Once the request is on its way, whatever is not a plain word about the ref leaves
/// open what happened: it is [`Broken::Open`], and the next attempt looks.
pub(super) fn push(job: &Job, wire: &mut impl Wire, update: &Update<'_>) -> Result<Sent, Broken> {
    let mut stream = wire.advertisement()?;
    let server = Advertised::read(&mut stream, job.caps.advertisement)?;
    if server.at(update.reference) != update.expected || !is_forward(job, update)? {
        leave(&mut stream);
        return Ok(Sent::Moved);
    }
    if update.object.is_none() && !server.can(DELETE) {
        leave(&mut stream);
        return Ok(Sent::Refused("the server removes no refs".to_owned()));
    }
    if !server.can(REPORT) {
        leave(&mut stream);
        return Err(Broken::Protocol("the server does not report what it does".to_owned()));
    }
    let pack = match update.object {
        Some(object) => Some(pack(job, object, &server.known(job, update))?),
        None => None,
    };
    let mut request = Vec::new();
    server.command(update, &mut request);
    let mut stream = wire.request()?.unwrap_or(stream);
    carry(&request, pack, &mut stream, job.caps.push).map_err(Broken::left_open)?;
    let mut report = Report { reference: update.reference, said: None };
    let read = if server.can(SIDE_BAND) {
        report.in_bands(&mut stream)
    } else {
        report.plain(&mut stream)
    };
    match (report.said, read) {
        (Some(said), _) => Ok(said),
        (None, Err(broken)) => Err(broken.left_open()),
        (None, Ok(())) => Err(strange("in the report: it says nothing of the ref").left_open()),
    }
}

/// Sends a request, and the pack that belongs to it.
fn carry(
    request: &[u8],
    pack: Option<PackBuilder<'_>>,
    stream: &mut impl Write,
    limit: u64,
) -> Result<(), Broken> {
    stream.write_all(request)?;
    if let Some(mut pack) = pack {
        write(&mut pack, stream, limit)?;
    }
    Ok(stream.flush()?)
}

/// Whether a branch only grows by an update: whoever plans otherwise is mistaken.
fn is_forward(job: &Job, update: &Update<'_>) -> Result<bool, Broken> {
    let Some(object) = update.object.filter(|_| update.reference.starts_with("refs/heads/")) else {
        return Ok(true);
    };
    let expected = update.expected;
    if expected.is_zero() || expected == object {
        return Ok(true);
    }
    job.repository.graph_descendant_of(object, expected).map_err(Broken::Mirror)
}

impl Advertised {
    /// Reads up to the flush that ends the list, and at most so many bytes.
    fn read(stream: &mut impl Read, limit: u64) -> Result<Self, Broken> {
        let mut found = Self::default();
        let mut is_first = true;
        let mut stream = stream.take(limit);
        loop {
            if stream.limit() == 0 {
                return Err(Broken::TooLarge { what: "the list of refs", limit });
            }
            match pktline::read(&mut stream)? {
                Owned::Data(line) if line.starts_with(b"# service=") => {
                    // The line has a section of its own.
                    match pktline::read(&mut stream)? {
                        Owned::Flush => {}
                        Owned::Data(_) | Owned::Other => return Err(strange("after the service")),
                    }
                }
                Owned::Data(line) if is_first && line.trim_ascii_end() == b"version 1" => {}
                Owned::Data(line) => {
                    found.line(&line, is_first)?;
                    is_first = false;
                }
                Owned::Flush => return Ok(found),
                Owned::Other => return Err(strange("in the list of refs")),
            }
        }
    }

    fn line(&mut self, line: &[u8], is_first: bool) -> Result<(), Broken> {
        let mut parts = line.splitn(2, |byte| *byte == 0);
        let text = String::from_utf8_lossy(parts.next().unwrap_or_default());
        let text = text.trim_end();
        if let Some(message) = text.strip_prefix("ERR ") {
            return Err(Broken::Remote(message.to_owned()));
        }
        if text.starts_with("shallow ") {
            return Ok(());
        }
        if is_first {
            let words = String::from_utf8_lossy(parts.next().unwrap_or_default());
            self.capabilities = words.split_whitespace().map(str::to_owned).collect();
        }
        let (id, name) = text.split_once(' ').ok_or_else(|| strange("in a line of the refs"))?;
        let id = Oid::from_str(id).map_err(|_| strange("in the id of a ref"))?;
        // An empty repository says what it can do beside this name.
        if name != "capabilities^{}" && name != ".have" {
            self.refs.push((name.to_owned(), id));
        } else if name == ".have" {
            self.refs.push((String::new(), id));
        }
        Ok(())
    }

    fn at(&self, reference: &str) -> Oid {
        let found = self.refs.iter().find(|(name, _)| name == reference);
        found.map_or(Oid::ZERO_SHA1, |(_, id)| *id)
    }

    fn can(&self, word: &str) -> bool {
        self.capabilities.iter().any(|known| known == word)
    }

    /// What the server has for sure: what the ref is at, or for a new one whatever there is of it here.
    /// Where nothing of that is here, what was fetched from it before.
    fn known(&self, job: &Job, update: &Update<'_>) -> Vec<Oid> {
        if !update.expected.is_zero() {
            return vec![update.expected];
        }
        let Ok(odb) = job.repository.odb() else { return Vec::new() };
        let ids: BTreeSet<Oid> = self.refs.iter().map(|(_, id)| *id).collect();
        let here = |id: &Oid| odb.exists_ext(*id, OdbLookupFlags::NO_REFRESH);
        let known: Vec<Oid> = ids.into_iter().filter(here).collect();
        if !known.is_empty() {
            return known;
        }
        let fetched = job.repository.references().into_iter().flatten().flatten();
        fetched.filter_map(|reference| reference.target()).collect()
    }

    /// The one command of the request, and the flush behind it.
    fn command(&self, update: &Update<'_>, out: &mut Vec<u8>) {
        let object = update.object.unwrap_or(Oid::ZERO_SHA1);
        let asked = [REPORT, SIDE_BAND].into_iter().filter(|word| self.can(word));
        let asked: Vec<&str> = asked.collect();
        let Update { reference, expected, .. } = update;
        pktline::put(out, &format!("{expected} {object} {reference}\0 {}", asked.join(" ")));
        pktline::put_flush(out);
    }
}

/// Everything that `object` needs and `known` has not.
fn pack<'a>(job: &'a Job, object: Oid, known: &[Oid]) -> Result<PackBuilder<'a>, Broken> {
    let repository = &job.repository;
    let mut builder = repository.packbuilder().map_err(Broken::Mirror)?;
    builder.set_threads(1);
    let mut tip = object;
    while repository.odb().and_then(|odb| odb.read_header(tip)).map_err(Broken::Mirror)?.1
        == ObjectType::Tag
    {
        builder.insert_object(tip, None).map_err(Broken::Mirror)?;
        tip = repository.find_tag(tip).map_err(Broken::Mirror)?.target_id();
    }
    let mut walk = repository.revwalk().map_err(Broken::Mirror)?;
    walk.push(tip).map_err(Broken::Mirror)?;
    for id in known {
        let commit = repository.find_object(*id, None).and_then(|found| found.peel_to_commit());
        // What is not here cannot lead to anything that is.
        if let Ok(commit) = commit {
            walk.hide(commit.id()).map_err(Broken::Mirror)?;
        }
    }
    let mut changed = Changed { job, seen: HashSet::new(), builder };
    for id in walk {
        let commit = id.and_then(|id| repository.find_commit(id)).map_err(Broken::Mirror)?;
        job.check().map_err(|error| Broken::Stream(error.to_string()))?;
        changed.builder.insert_object(commit.id(), None).map_err(Broken::Mirror)?;
        let before = commit.parent(0).and_then(|parent| parent.tree()).ok();
        let tree = commit.tree().map_err(Broken::Mirror)?;
        changed.put(&tree, before.as_ref(), 0)?;
    }
    Ok(changed.builder)
}

/// Writes a pack, piece by piece, and at most so many bytes.
fn write(pack: &mut PackBuilder<'_>, stream: &mut impl Write, limit: u64) -> Result<(), Broken> {
    let (mut written, mut failed) = (0_u64, None);
    let done = pack.foreach(|piece| {
        written += piece.len() as u64;
        if written > limit {
            failed = Some(Broken::TooLarge { what: "the pack to push", limit });
        } else if let Err(error) = stream.write_all(piece) {
            failed = Some(error.into());
        }
        failed.is_none()
    });
    match (failed, done) {
        (Some(failed), _) => Err(failed),
        (None, done) => done.map_err(Broken::Mirror),
    }
}

/// What commits changed, on its way into a pack.
struct Changed<'a> {
    job: &'a Job,
    /// Trees without a counterpart that were gone through: one may stand at many places.
    seen: HashSet<Oid>,
    builder: PackBuilder<'a>,
}

impl Changed<'_> {
    /// Puts what a tree has and the one before has not at the same place.
    fn put(
        &mut self,
        tree: &Tree<'_>,
        before: Option<&Tree<'_>>,
        depth: usize,
    ) -> Result<(), Broken> {
        if before.is_some_and(|before| before.id() == tree.id())
            || (before.is_none() && !self.seen.insert(tree.id()))
        {
            return Ok(());
        }
        if depth > DEPTH_MAX {
            return Err(Broken::Protocol(format!("folders are nested more than {DEPTH_MAX} deep")));
        }
        let job = self.job;
        self.builder.insert_object(tree.id(), None).map_err(Broken::Mirror)?;
        for entry in tree {
            let there = before.and_then(|before| before.get_name_bytes(entry.name_bytes()));
            if there.as_ref().is_some_and(|there| there.id() == entry.id()) {
                continue;
            }
            match entry.kind() {
                Some(ObjectType::Tree) => {
                    let repository = &job.repository;
                    let inner = repository.find_tree(entry.id()).map_err(Broken::Mirror)?;
                    let there = there.and_then(|there| repository.find_tree(there.id()).ok());
                    self.put(&inner, there.as_ref(), depth + 1)?;
                }
                Some(ObjectType::Blob) => {
                    self.builder.insert_object(entry.id(), None).map_err(Broken::Mirror)?;
                }
                // The commit of a submodule is in another repository.
                Some(ObjectType::Any | ObjectType::Commit | ObjectType::Tag) | None => {}
            }
        }
        Ok(())
    }
}

/// What the server did with the one ref.
struct Report<'a> {
    reference: &'a str,
    said: Option<Sent>,
}

impl Report<'_> {
    /// Reads a report that comes as it is, up to its flush.
    fn plain(&mut self, stream: &mut impl Read) -> Result<(), Broken> {
        let mut stream = stream.take(REPORT_MAX as u64);
        loop {
            match pktline::read(&mut stream)? {
                Owned::Data(line) => self.line(&line)?,
                Owned::Flush => return Ok(()),
                Owned::Other => return Err(strange("in the report")),
            }
        }
    }

    /// Reads a report that comes in the first band of the answer, up to its own flush: what follows it
    /// (a slow hook, the end of the bands) says nothing about the ref. What the second band says is for
    /// people at a terminal; the third is the server giving up.
    fn in_bands(&mut self, stream: &mut impl Read) -> Result<(), Broken> {
        let mut report = Vec::new();
        loop {
            match pktline::read(stream)? {
                Owned::Data(data) => match data.split_first() {
                    Some((1, data)) => report.extend_from_slice(data),
                    Some((2, _)) | None => {}
                    Some((3, data)) => {
                        return Err(Broken::Remote(String::from_utf8_lossy(data).into_owned()));
                    }
                    Some(_) => return Err(strange("in the bands of the answer")),
                },
                Owned::Flush => return self.plain(&mut report.as_slice()),
                Owned::Other => return Err(strange("in the answer")),
            }
            if report.len() > REPORT_MAX {
                return Err(strange("in the report: it has no end"));
            }
            if Packets::new(&report).any(|packet| packet == Ok(Packet::Flush)) {
                return self.plain(&mut report.as_slice());
            }
        }
    }

    /// # Errors
    /// The server could not take the objects: it may later.
    fn line(&mut self, line: &[u8]) -> Result<(), Broken> {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end();
        if let Some(why) = line.strip_prefix("unpack ").filter(|why| *why != "ok") {
            return Err(Broken::Remote(format!("the server cannot take the objects: {why}")));
        }
        let about = |verb: &str| {
            let why = line.strip_prefix(verb)?.strip_prefix(' ')?.strip_prefix(self.reference)?;
            (why.is_empty() || why.starts_with(' ')).then(|| why.trim().to_owned())
        };
        if about("ok").is_some() {
            self.said.get_or_insert(Sent::Accepted);
        } else if let Some(why) = about("ng") {
            self.said.get_or_insert(Sent::Refused(why));
        }
        Ok(())
    }
}

/// Says that nothing is wanted, so that a server which waits ends in peace. Whether that arrives does
/// not matter.
fn leave(stream: &mut impl Write) {
    let mut bye = Vec::new();
    pktline::put_flush(&mut bye);
    stream.write_all(&bye).ok();
}

fn strange(place: &str) -> Broken {
    Broken::Protocol(format!("the server says something strange {place}"))
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Stream(error.to_string())
    }
}

impl Broken {
    /// The same once the request was on its way. Of what was not sent whole nothing is carried out.
    fn left_open(self) -> Self {
        match self {
            Self::Stream(why) | Self::Protocol(why) | Self::Remote(why) => Self::Open(why),
            known @ (Self::TooLarge { .. } | Self::Mirror(_) | Self::Open(_)) => known,
        }
    }

    /// Whether what was asked for may have been carried out.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    /// As an error of the operation, where the stream itself knows no better.
    pub(super) fn at(self, job: &Job) -> GitError {
        let repo = job.repo.clone();
        match self {
            Self::Stream(why) | Self::Open(why) => GitError::Unreachable { repo, why },
            Self::Protocol(why) => GitError::Protocol { repo, why },
            Self::Remote(message) => GitError::Remote { repo, message },
            Self::TooLarge { what, limit } => {
                GitError::TooLarge { repo, what: what.to_owned(), limit }
            }
            Self::Mirror(error) => GitError::library(&repo, "packing what is to be pushed", &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::pktline::lines;
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";
    const MAIN: &str = "refs/heads/main";

    #[test]
    fn what_a_server_is_at_and_can_do() {
        let zero = "0".repeat(40);
        let check = |input: &[&str], at: &str, can: bool| {
            let found =
                Advertised::read(&mut lines(input).as_slice(), 10_000).expect("well formed");
            let is = (found.at(MAIN).to_string(), found.can(REPORT));
            assert_eq!(is, (at.to_owned(), can), "{input:?}");
        };
        let main = format!("{ID} {MAIN}\0report-status ofs-delta agent=git/2.47\n");
        let have = format!("{ID} .have\0report-status\n");
        let none = format!("{zero} capabilities^{{}}\0report-status delete-refs\n");
        check(&["# service=git-receive-pack\n", "flush", &main, "flush"], ID, true);
        check(&["version 1\n", &main, "flush"], ID, true);
        check(&[&have, "flush"], &zero, true);
        check(&[&none, "flush"], &zero, true);
        check(&["flush"], &zero, false);
        for broken in [vec!["ERR no\n", "flush"], vec!["zz refs\n", "flush"], vec![main.as_str()]] {
            assert!(
                Advertised::read(&mut lines(&broken).as_slice(), 10_000).is_err(),
                "{broken:?}"
            );
        }
    }

    #[test]
    fn what_a_server_did() {
        let check = |input: &[&str], want: &str| {
            let report = lines(input);
            // In bands, cut anywhere, and without the flush that ends the bands.
            let mut bands = Vec::new();
            for piece in report.chunks(7) {
                bands.extend(format!("{:04x}\u{1}", piece.len() + 5).bytes());
                bands.extend(piece);
            }
            let told = |read: Result<(), Broken>, said| match (said, read) {
                (Some(Sent::Accepted), _) => "accepted".to_owned(),
                (Some(Sent::Moved), _) => "moved".to_owned(),
                (Some(Sent::Refused(why)), _) => why,
                (None, Err(Broken::Remote(why))) => why,
                (None, _) => "open".to_owned(),
            };
            let mut plain = Report { reference: MAIN, said: None };
            let read = plain.plain(&mut report.as_slice());
            assert_eq!(told(read, plain.said), want, "{input:?}");
            let mut banded = Report { reference: MAIN, said: None };
            let read = banded.in_bands(&mut bands.as_slice());
            if input.contains(&"flush") {
                assert_eq!(told(read, banded.said), want, "{input:?} in bands");
            }
        };
        check(&["unpack ok\n", "ok refs/heads/main\n", "flush"], "accepted");
        check(&["unpack ok\n", "ng refs/heads/main hook declined\n", "flush"], "hook declined");
        check(
            &["unpack index-pack failed\n", "ng refs/heads/main unpacker error\n", "flush"],
            "the server cannot take the objects: index-pack failed",
        );
        check(&["unpack ok\n", "ok refs/heads/main2\n", "flush"], "open");
        check(&["unpack ok\n", "ok refs/heads/main\n"], "accepted");
        check(&["unpack ok\n"], "open");
    }

    proptest! {
        #[test]
        fn any_answer_ends_without_panic(input in prop::collection::vec(any::<u8>(), 0..300)) {
            drop(Advertised::read(&mut input.as_slice(), 200));
            let mut report = Report { reference: MAIN, said: None };
            drop(report.plain(&mut input.as_slice()));
            drop(report.in_bands(&mut input.as_slice()));
        }
    }
}
