//! A push in our own words: the client's half of `git-receive-pack` (gitprotocol-pack(5)), over the
//! streams that libgit2 would use.
//!
//! libgit2 marks every tree of every ref that the server has before it packs, which takes as long as
//! the repository is large. What a push brings is known here: the commits that the branch lacks, and
//! what their trees changed. So the work is as large as the change.

use std::io::{self, Read, Write};

use git2::{ObjectType, Oid, Repository, Tree};

use super::engine::Sent;
use super::error::GitError;
use super::mirror::Job;
use super::pktline::{self, Owned};

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
    /// The mirror cannot give what is to be sent.
    Mirror(git2::Error),
}

/// What a server is at, and what it can do.
#[derive(Debug, Default, PartialEq, Eq)]
struct Advertised {
    refs: Vec<(String, Oid)>,
    capabilities: Vec<String>,
}

/// Pushes one update.
pub(super) fn push(job: &Job, wire: &mut impl Wire, update: &Update<'_>) -> Result<Sent, Broken> {
    let mut stream = wire.advertisement()?;
    let server = Advertised::read(&mut stream)?;
    if server.at(update.reference) != update.expected {
        leave(&mut stream);
        return Ok(Sent::Moved);
    }
    if update.object.is_none() && !server.can(DELETE) {
        leave(&mut stream);
        return Ok(Sent::Refused("the server removes no refs".to_owned()));
    }
    let pack = match update.object {
        Some(object) => Some(pack(&job.repository, object, &server.known(update))?),
        None => None,
    };
    let mut request = Vec::new();
    server.command(update, &mut request);
    let mut stream = wire.request()?.unwrap_or(stream);
    stream.write_all(&request)?;
    if let Some(pack) = pack {
        stream.write_all(&pack)?;
    }
    stream.flush()?;
    if !server.can(REPORT) {
        return Err(Broken::Protocol("the server does not report what it did".to_owned()));
    }
    let report =
        if server.can(SIDE_BAND) { demultiplexed(&mut stream)? } else { all(&mut stream)? };
    outcome(&report, update.reference)
}

impl Advertised {
    /// Reads up to the flush that ends the list.
    fn read(stream: &mut impl Read) -> Result<Self, Broken> {
        let mut found = Self::default();
        let mut is_first = true;
        loop {
            match pktline::read(stream)? {
                Owned::Data(line) if line.starts_with(b"# service=") => {
                    // The line has a section of its own.
                    match pktline::read(stream)? {
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
            return Err(Broken::Remote(plain(message)));
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

    /// What the server has for sure: what the ref is at, or for a new one whatever there is.
    fn known(&self, update: &Update<'_>) -> Vec<Oid> {
        if update.expected.is_zero() {
            return self.refs.iter().map(|(_, id)| *id).collect();
        }
        vec![update.expected]
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

/// Everything that `object` needs and `known` has not, as a pack.
fn pack(repository: &Repository, object: Oid, known: &[Oid]) -> Result<Vec<u8>, Broken> {
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
    for id in walk {
        let commit = id.and_then(|id| repository.find_commit(id)).map_err(Broken::Mirror)?;
        builder.insert_object(commit.id(), None).map_err(Broken::Mirror)?;
        let before = commit.parent(0).and_then(|parent| parent.tree()).ok();
        let tree = commit.tree().map_err(Broken::Mirror)?;
        let mut put = |id| builder.insert_object(id, None);
        changed(repository, &tree, before.as_ref(), &mut put).map_err(Broken::Mirror)?;
    }
    let mut bytes = git2::Buf::new();
    builder.write_buf(&mut bytes).map_err(Broken::Mirror)?;
    Ok(bytes.to_vec())
}

/// Puts what a tree has and the one before has not at the same place.
fn changed(
    repository: &Repository,
    tree: &Tree<'_>,
    before: Option<&Tree<'_>>,
    put: &mut impl FnMut(Oid) -> Result<(), git2::Error>,
) -> Result<(), git2::Error> {
    if before.is_some_and(|before| before.id() == tree.id()) {
        return Ok(());
    }
    put(tree.id())?;
    for entry in tree {
        let there = before.and_then(|before| before.get_name_bytes(entry.name_bytes()));
        if there.as_ref().is_some_and(|there| there.id() == entry.id()) {
            continue;
        }
        match entry.kind() {
            Some(ObjectType::Tree) => {
                let inner = repository.find_tree(entry.id())?;
                let there = there.and_then(|there| repository.find_tree(there.id()).ok());
                changed(repository, &inner, there.as_ref(), put)?;
            }
            Some(ObjectType::Blob) => put(entry.id())?,
            // The commit of a submodule is in another repository.
            Some(ObjectType::Any | ObjectType::Commit | ObjectType::Tag) | None => {}
        }
    }
    Ok(())
}

/// What the server did with the one ref.
fn outcome(report: &[u8], reference: &str) -> Result<Sent, Broken> {
    let mut said = None;
    let mut rest = report;
    loop {
        match pktline::read(&mut rest)? {
            Owned::Data(line) => {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if let Some(unpack) = line.strip_prefix("unpack ")
                    && unpack != "ok"
                {
                    let why = format!("it cannot take the objects: {}", plain(unpack));
                    said.get_or_insert(Sent::Refused(why));
                }
                let about = |verb: &str| {
                    let rest = line.strip_prefix(verb)?.strip_prefix(' ')?;
                    let why = rest.strip_prefix(reference)?;
                    (why.is_empty() || why.starts_with(' ')).then(|| plain(why.trim()))
                };
                if about("ok").is_some() {
                    said.get_or_insert(Sent::Accepted);
                } else if let Some(why) = about("ng") {
                    said.get_or_insert(Sent::Refused(why));
                }
            }
            Owned::Flush => {
                return said.ok_or_else(|| strange("in the report: it says nothing of the ref"));
            }
            Owned::Other => return Err(strange("in the report")),
        }
    }
}

/// The first band of an answer in bands. What the second one says is for people at a terminal; the
/// third is the server giving up.
fn demultiplexed(stream: &mut impl Read) -> Result<Vec<u8>, Broken> {
    let mut report = Vec::new();
    loop {
        match pktline::read(stream)? {
            Owned::Data(data) => match data.split_first() {
                Some((1, data)) => report.extend_from_slice(data),
                Some((2, _)) | None => {}
                Some((3, data)) => {
                    return Err(Broken::Remote(plain(&String::from_utf8_lossy(data))));
                }
                Some(_) => return Err(strange("in the bands of the answer")),
            },
            Owned::Flush => return Ok(report),
            Owned::Other => return Err(strange("in the answer")),
        }
    }
}

/// An answer without bands, up to its flush.
fn all(stream: &mut impl Read) -> Result<Vec<u8>, Broken> {
    let mut report = Vec::new();
    loop {
        match pktline::read(stream)? {
            Owned::Data(data) => pktline::put(&mut report, &String::from_utf8_lossy(&data)),
            Owned::Flush => {
                pktline::put_flush(&mut report);
                return Ok(report);
            }
            Owned::Other => return Err(strange("in the report")),
        }
    }
}

/// Says that nothing is wanted, so that a server which waits ends in peace. Whether that arrives does
/// not matter.
fn leave(stream: &mut impl Write) {
    let mut bye = Vec::new();
    pktline::put_flush(&mut bye);
    stream.write_all(&bye).ok();
}

/// Text of a server without what moves a terminal, and of bounded length.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
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
    /// As an error of the operation, where the stream itself knows no better.
    pub(super) fn at(self, job: &Job) -> GitError {
        let repo = job.repo.clone();
        match self {
            Self::Stream(why) => GitError::Unreachable { repo, why },
            Self::Protocol(why) => GitError::Protocol { repo, why },
            Self::Remote(message) => GitError::Remote { repo, message },
            Self::Mirror(error) => GitError::library(&repo, "packing what is to be pushed", &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";
    const MAIN: &str = "refs/heads/main";

    fn lines(lines: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in lines {
            match *line {
                "flush" => pktline::put_flush(&mut out),
                text => pktline::put(&mut out, text),
            }
        }
        out
    }

    #[test]
    fn what_a_server_is_at_and_can_do() {
        let zero = "0".repeat(40);
        let check = |input: &[&str], at: &str, can: bool| {
            let found = Advertised::read(&mut lines(input).as_slice()).expect("well formed");
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
            assert!(Advertised::read(&mut lines(&broken).as_slice()).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn what_a_server_did() {
        let check = |input: &[&str], want: &str| {
            let is = match outcome(&lines(input), MAIN) {
                Ok(Sent::Accepted) => "accepted".to_owned(),
                Ok(Sent::Moved) => "moved".to_owned(),
                Ok(Sent::Refused(why)) => why,
                Err(_) => "broken".to_owned(),
            };
            assert_eq!(is, want, "{input:?}");
        };
        check(&["unpack ok\n", "ok refs/heads/main\n", "flush"], "accepted");
        check(&["unpack ok\n", "ng refs/heads/main hook declined\n", "flush"], "hook declined");
        check(
            &["unpack index-pack failed\n", "ng refs/heads/main unpacker error\n", "flush"],
            "it cannot take the objects: index-pack failed",
        );
        check(&["unpack ok\n", "ok refs/heads/main2\n", "flush"], "broken");
        check(&["unpack ok\n", "ok refs/heads/main\n"], "broken");
    }

    proptest! {
        #[test]
        fn any_answer_ends_without_panic(input in prop::collection::vec(any::<u8>(), 0..300)) {
            drop(Advertised::read(&mut input.as_slice()));
            drop(outcome(&input, MAIN));
            drop(demultiplexed(&mut input.as_slice()));
            drop(all(&mut input.as_slice()));
        }
    }
}
