//! Pkt-line, the framing of the git protocol (gitprotocol-common(5)).
//!
//! Bytes in, packets out. Refuses lengths that the protocol forbids, and never reads past its input.

use std::io::{self, Read};

/// Largest packet, its four length digits included.
pub(super) const MAX_PACKET: usize = 65_520;

/// One packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    /// `0000`: end of a section.
    Flush,
    /// `0001`: separates the parts of a version 2 request.
    Delimiter,
    /// `0002`: end of a version 2 response over a stateless connection.
    ResponseEnd,
    /// Content, without its length.
    Data(&'a [u8]),
}

/// Bytes that are not pkt-lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PacketError {
    #[error("packet length at byte {0} is not four hexadecimal digits")]
    Length(usize),
    #[error("packet length at byte {0} is outside 4..=65520")]
    Range(usize),
    #[error("the packet at byte {0} is cut off")]
    Cut(usize),
}

/// The packets of `input`; ends after the first error.
pub(super) struct Packets<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Packets<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0 }
    }

    fn read(&mut self) -> Result<Packet<'a>, PacketError> {
        let at = self.at;
        let rest = &self.input[at..];
        let digits = rest.get(..4).ok_or(PacketError::Cut(at))?;
        let length = length(digits).ok_or(PacketError::Length(at))?;
        let (packet, used) = match length {
            0 => (Packet::Flush, 4),
            1 => (Packet::Delimiter, 4),
            2 => (Packet::ResponseEnd, 4),
            4..=MAX_PACKET => {
                let data = rest.get(4..length).ok_or(PacketError::Cut(at))?;
                (Packet::Data(data), length)
            }
            _ => return Err(PacketError::Range(at)),
        };
        self.at = at + used;
        Ok(packet)
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, PacketError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.input.len() {
            return None;
        }
        let packet = self.read();
        if packet.is_err() {
            self.at = self.input.len();
        }
        Some(packet)
    }
}

/// One packet of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Owned {
    /// End of a section.
    Flush,
    /// Content, without its length.
    Data(Vec<u8>),
    /// What versions before 2 do not have.
    Other,
}

/// Reads one packet, and not a byte more.
///
/// # Errors
/// The stream ends or fails, or what it gives is no packet.
pub(super) fn read(stream: &mut impl Read) -> io::Result<Owned> {
    let mut digits = [0; 4];
    stream.read_exact(&mut digits)?;
    let strange = |error: PacketError| io::Error::new(io::ErrorKind::InvalidData, error);
    match length(&digits).ok_or_else(|| strange(PacketError::Length(0)))? {
        0 => Ok(Owned::Flush),
        1 | 2 => Ok(Owned::Other),
        length @ 4..=MAX_PACKET => {
            let mut data = vec![0; length - 4];
            stream.read_exact(&mut data)?;
            Ok(Owned::Data(data))
        }
        _ => Err(strange(PacketError::Range(0))),
    }
}

/// Appends a data packet. The caller's text is short (a command or a ref prefix).
pub(super) fn put(out: &mut Vec<u8>, text: &str) {
    let length = text.len() + 4;
    assert!(length <= MAX_PACKET, "requests are made of short lines");
    out.extend_from_slice(format!("{length:04x}{text}").as_bytes());
}

/// Appends a flush packet.
pub(super) fn put_flush(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0000");
}

/// Appends a delimiter packet.
pub(super) fn put_delimiter(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0001");
}

/// Packets of these texts, where `flush` stands for a flush.
#[cfg(test)]
pub(super) fn lines(lines: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in lines {
        match *line {
            "flush" => put_flush(&mut out),
            text => put(&mut out, text),
        }
    }
    out
}

fn length(digits: &[u8]) -> Option<usize> {
    digits.iter().try_fold(0, |sum, digit| {
        let value = char::from(*digit).to_digit(16)?;
        Some(sum * 16 + value as usize)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(input: &[u8], want: &[Result<Packet<'_>, PacketError>]) {
        assert_eq!(Packets::new(input).collect::<Vec<_>>(), want, "{input:?}");
    }

    #[test]
    fn packets() {
        use Packet::{Data, Delimiter, Flush, ResponseEnd};
        check(b"", &[]);
        check(b"0006a\n0000", &[Ok(Data(b"a\n")), Ok(Flush)]);
        check(b"000100020004", &[Ok(Delimiter), Ok(ResponseEnd), Ok(Data(b""))]);
        check(b"0003", &[Err(PacketError::Range(0))]);
        check(b"ffff", &[Err(PacketError::Range(0))]);
        check(b"0000+00a", &[Ok(Flush), Err(PacketError::Length(4))]);
        check(b"000", &[Err(PacketError::Cut(0))]);
        check(b"0009abc", &[Err(PacketError::Cut(0))]);
    }

    proptest! {
        #[test]
        fn a_stream_gives_what_the_whole_gives(input in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut stream = input.as_slice();
            for packet in Packets::new(&input) {
                match (packet, read(&mut stream)) {
                    (Ok(Packet::Flush), Ok(Owned::Flush)) | (Err(_), Err(_)) => {}
                    (Ok(Packet::Delimiter | Packet::ResponseEnd), Ok(Owned::Other)) => {}
                    (Ok(Packet::Data(one)), Ok(Owned::Data(other))) => prop_assert_eq!(one, other),
                    (one, other) => prop_assert!(false, "{:?} and {:?}", one, other),
                }
            }
        }

        #[test]
        fn any_bytes_end_without_panic(input in prop::collection::vec(any::<u8>(), 0..400)) {
            let total: usize = Packets::new(&input)
                .map(|packet| match packet {
                    Ok(Packet::Data(data)) => data.len() + 4,
                    Ok(_) => 4,
                    Err(_) => 0,
                })
                .sum();
            prop_assert!(total <= input.len());
        }

        #[test]
        fn what_is_put_is_read(lines in prop::collection::vec("[a-z0-9 \n]{0,60}", 0..20)) {
            let mut out = Vec::new();
            for line in &lines {
                put(&mut out, line);
            }
            put_flush(&mut out);
            let mut want: Vec<_> = lines.iter().map(|l| Ok(Packet::Data(l.as_bytes()))).collect();
            want.push(Ok(Packet::Flush));
            prop_assert_eq!(Packets::new(&out).collect::<Vec<_>>(), want);
        }
    }
}
