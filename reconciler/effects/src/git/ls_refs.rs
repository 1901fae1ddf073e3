//! One branch's tip in one round trip: protocol version 2 `ls-refs` with a ref prefix
//! (gitprotocol-v2(5)), or the list of refs that an older server sends.

use super::http::{HttpLink, Program, Protocol};
use super::id::CommitId;
use super::pktline::{self, Packet, Packets};

use super::error::GitError;
use super::url::RepoUrl;

/// What the first answer of a server was.
#[derive(Debug, PartialEq, Eq)]
enum Advertisement {
    /// Version 2: only capabilities; refs are asked for.
    Version2,
    /// Version 0 or 1: the tip, if the ref was among those listed.
    Listed(Option<CommitId>),
}

/// What a poll found.
pub(super) struct Poll {
    pub(super) tip: Option<CommitId>,
    /// The server speaks version 2: the next poll may ask at once.
    pub(super) version2: bool,
}

/// The commit that `reference` (a full ref name) points to.
///
/// `ask_at_once` leaves the first of two requests out; a server that does not understand is
/// asked again in full.
pub(super) async fn poll(
    link: &HttpLink,
    repo: &RepoUrl,
    reference: &str,
    ask_at_once: bool,
    limit: u64,
) -> Result<Poll, GitError> {
    if ask_at_once && let Ok(tip) = ask(link, repo, reference, limit).await {
        return Ok(Poll { tip, version2: true });
    }
    let program = Program::UploadPack;
    let body = link.advertisement(program, Protocol::Version2, limit).await?;
    let bytes = link.collect(body).await?;
    match read_advertisement(&bytes, reference).map_err(|why| why.at(repo))? {
        Advertisement::Version2 => {
            let tip = ask(link, repo, reference, limit).await?;
            Ok(Poll { tip, version2: true })
        }
        Advertisement::Listed(tip) => Ok(Poll { tip, version2: false }),
    }
}

async fn ask(
    link: &HttpLink,
    repo: &RepoUrl,
    reference: &str,
    limit: u64,
) -> Result<Option<CommitId>, GitError> {
    let request = request(reference).into();
    let body = link.call(Program::UploadPack, Protocol::Version2, request, limit).await?;
    let bytes = link.collect(body).await?;
    read_refs(&bytes, reference).map_err(|why| why.at(repo))
}

/// Why an answer is not understood.
#[derive(Debug, PartialEq, Eq)]
enum Misread {
    Broken(String),
    Refused(String),
}

impl Misread {
    fn at(self, repo: &RepoUrl) -> GitError {
        let repo = repo.clone();
        match self {
            Self::Broken(why) => GitError::Protocol { repo, why },
            Self::Refused(message) => GitError::Remote { repo, message },
        }
    }
}

/// Names no object format: SHA-1 is the default, and servers before git 2.28 refuse the word.
fn request(reference: &str) -> Vec<u8> {
    let mut out = Vec::new();
    pktline::put(&mut out, "command=ls-refs\n");
    pktline::put_delimiter(&mut out);
    pktline::put(&mut out, &format!("ref-prefix {reference}\n"));
    pktline::put_flush(&mut out);
    out
}

/// The answer to `ls-refs`: lines of `ID NAME [attributes]`, then a flush.
fn read_refs(bytes: &[u8], reference: &str) -> Result<Option<CommitId>, Misread> {
    let mut tip = None;
    for packet in Packets::new(bytes) {
        match packet.map_err(|error| Misread::Broken(error.to_string()))? {
            Packet::Flush => return Ok(tip),
            Packet::Data(line) => tip = tip.or(read_line(line, reference)?),
            Packet::Delimiter | Packet::ResponseEnd => {}
        }
    }
    Err(Misread::Broken("the list of refs is cut off".to_owned()))
}

fn read_advertisement(bytes: &[u8], reference: &str) -> Result<Advertisement, Misread> {
    let mut tip = None;
    let mut started = false;
    for packet in Packets::new(bytes) {
        match packet.map_err(|error| Misread::Broken(error.to_string()))? {
            Packet::Data(line) if line.starts_with(b"# service=") && !started => {}
            Packet::Data(line) if line.trim_ascii_end() == b"version 2" && !started => {
                return Ok(Advertisement::Version2);
            }
            Packet::Data(line) if line.trim_ascii_end() == b"version 1" && !started => {
                started = true;
            }
            Packet::Data(line) => {
                started = true;
                tip = tip.or(read_line(line, reference)?);
            }
            // The flush after the `# service` line; a repository without refs has no more.
            Packet::Flush if !started => {}
            Packet::Flush => return Ok(Advertisement::Listed(tip)),
            Packet::Delimiter | Packet::ResponseEnd => {}
        }
    }
    if started {
        Err(Misread::Broken("the list of refs is cut off".to_owned()))
    } else {
        Ok(Advertisement::Listed(None))
    }
}

/// The id on `line` if the line is about `reference`.
fn read_line(line: &[u8], reference: &str) -> Result<Option<CommitId>, Misread> {
    // The first line of versions 0 and 1 has capabilities behind a NUL.
    let line = line.split(|b| *b == 0).next().unwrap_or_default();
    let line = String::from_utf8_lossy(line.trim_ascii_end());
    if let Some(message) = line.strip_prefix("ERR ") {
        let clean = message.chars().filter(|c| !c.is_control()).take(300);
        return Err(Misread::Refused(clean.collect()));
    }
    let Some((id, rest)) = line.split_once(' ') else {
        return Err(Misread::Broken("a line without a ref name".to_owned()));
    };
    if rest.split(' ').next() != Some(reference) {
        return Ok(None);
    }
    id.parse().map(Some).map_err(|_| Misread::Broken(format!("{reference} has a strange id")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::pktline::lines;
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";
    const MAIN: &str = "refs/heads/main";

    fn tip() -> Option<CommitId> {
        ID.parse().ok()
    }

    #[test]
    fn version_2_lists() {
        let longer = format!("{ID} refs/heads/main2\n");
        let exact = format!("{ID} {MAIN}\n");
        let check = |input: &[&str], want| assert_eq!(read_refs(&lines(input), MAIN), Ok(want));
        check(&[&longer, &exact, "flush"], tip());
        check(&[&longer, "flush"], None);
        check(&["flush"], None);
        assert!(read_refs(&lines(&[&exact]), MAIN).is_err(), "no flush");
        assert!(read_refs(&lines(&["ERR no\n", "flush"]), MAIN).is_err());
        assert!(read_refs(&lines(&["zz refs/heads/main\n", "flush"]), MAIN).is_err());
    }

    #[test]
    fn advertisements() {
        let check = |input: &[&str], want| {
            assert_eq!(read_advertisement(&lines(input), MAIN), Ok(want), "{input:?}");
        };
        let service = "# service=git-upload-pack\n";
        let first = format!("{ID} HEAD\0multi_ack symref=HEAD:refs/heads/main\n");
        let main = format!("{ID} {MAIN}\n");
        let none = format!("{} capabilities^{{}}\0ofs-delta\n", "0".repeat(40));
        check(&[service, "flush", "version 2\n", "flush"], Advertisement::Version2);
        check(&["version 2\n", "ls-refs\n", "flush"], Advertisement::Version2);
        check(&[service, "flush", &first, &main, "flush"], Advertisement::Listed(tip()));
        check(&[service, "flush", "version 1\n", &main, "flush"], Advertisement::Listed(tip()));
        check(&[service, "flush", &none, "flush"], Advertisement::Listed(None));
        check(&[service, "flush", "flush"], Advertisement::Listed(None));
    }

    proptest! {
        #[test]
        fn any_answer_ends_without_panic(input in prop::collection::vec(any::<u8>(), 0..300)) {
            drop(read_refs(&input, MAIN));
            drop(read_advertisement(&input, MAIN));
        }

        #[test]
        fn any_lines_end_without_panic(input in prop::collection::vec("\\PC{0,80}", 0..10)) {
            let input: Vec<&str> = input.iter().map(String::as_str).collect();
            drop(read_refs(&lines(&input), MAIN));
            drop(read_advertisement(&lines(&input), MAIN));
        }
    }
}
