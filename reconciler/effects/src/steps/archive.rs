//! Archives: packed the same way each time, and unpacked no further than they may go.
//!
//! What is packed has no owner and no time, so the same files give the same bytes. What is unpacked is
//! counted before it is written: more files or bytes than a copy may have, or far more bytes than the
//! archive has, are refused, and so are links, special files, and names that lead anywhere else.

use std::io::{Cursor, Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tar::{Archive, Builder, EntryType, Header};

use super::Halt;
use super::files::{BYTES_MAX, FILE_MAX_BYTES, FILES_MAX, GIT, below, refused};
use super::vault::hex;
use super::workspace::rel_path;
use crate::workdir::{EntryKind, RelPath, WorkDir};

/// Most bytes that one byte of a compressed archive may stand for.
const RATIO_MAX: u64 = 200;
/// So many bytes may come of any archive, however small it is.
const RATIO_FREE_BYTES: u64 = 16 << 20;
/// What a gzip file begins with (RFC 1952, section 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Mode bit of a file that its owner may execute.
const EXECUTABLE: u32 = 0o100;

/// Packs a file, or a directory with all that it holds but `.git`.
pub(super) fn pack(
    dir: &WorkDir,
    from: &str,
    to: &str,
    gzip: bool,
) -> Result<Map<String, Value>, Halt> {
    let (source, target) = (rel_path(from)?, rel_path(to)?);
    if target.as_path().starts_with(source.as_path()) {
        return Err(Halt::never(format_args!("{to} lies inside {from}: it would hold itself")));
    }
    let packed = if gzip {
        let stream = GzEncoder::new(Capped::default(), Compression::default());
        let stream = packed(dir, &source, stream)?;
        stream.finish().map_err(|error| unpackable(from, &error))?
    } else {
        packed(dir, &source, Capped::default())?
    };
    dir.write(&target, &packed.bytes).map_err(|error| refused(&error))?;
    let digest = format!("sha256:{}", hex(&Sha256::digest(&packed.bytes)));
    Ok(Map::from_iter([("digest".to_owned(), Value::from(digest))]))
}

fn packed<W: Write>(dir: &WorkDir, source: &RelPath, stream: W) -> Result<W, Halt> {
    let mut packer = Packer { dir, tar: Builder::new(stream), files: 0, bytes: 0 };
    match dir.list(source) {
        Ok(_) => packer.directory(source, "")?,
        Err(_) => {
            let name = source.as_path().file_name().unwrap_or_default();
            packer.file(source, &name.to_string_lossy())?;
        }
    }
    packer.tar.into_inner().map_err(|error| unpackable(&source.to_string(), &error))
}

struct Packer<'a, W: Write> {
    dir: &'a WorkDir,
    tar: Builder<W>,
    files: usize,
    bytes: u64,
}

impl<W: Write> Packer<'_, W> {
    /// What a directory holds, by name; `name` is its own in the archive.
    fn directory(&mut self, path: &RelPath, name: &str) -> Result<(), Halt> {
        let mut entries = self.dir.list(path).map_err(|error| refused(&error))?;
        entries.sort();
        for entry in entries {
            let inner = below(path, &entry.name)?;
            let name =
                if name.is_empty() { entry.name.clone() } else { format!("{name}/{}", entry.name) };
            match entry.kind {
                EntryKind::Directory if entry.name == GIT => {}
                EntryKind::Directory => {
                    self.entry(&inner, &format!("{name}/"), EntryType::Directory, 0o755, &[])?;
                    self.directory(&inner, &name)?;
                }
                EntryKind::File => self.file(&inner, &name)?,
                EntryKind::Other => {
                    return Err(Halt::never(format_args!(
                        "{inner} is a symbolic link or a special file, which is not packed"
                    )));
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &RelPath, name: &str) -> Result<(), Halt> {
        let bytes = self.dir.read(path, FILE_MAX_BYTES).map_err(|error| refused(&error))?;
        let executable = self.dir.is_executable(path).map_err(|error| refused(&error))?;
        self.bytes += bytes.len() as u64;
        let mode = if executable { 0o755 } else { 0o644 };
        self.entry(path, name, EntryType::Regular, mode, &bytes)
    }

    fn entry(
        &mut self,
        path: &RelPath,
        name: &str,
        kind: EntryType,
        mode: u32,
        bytes: &[u8],
    ) -> Result<(), Halt> {
        self.files += 1;
        if self.files > FILES_MAX || self.bytes > BYTES_MAX {
            return Err(Halt::never(too_much()));
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(bytes.len() as u64);
        self.tar
            .append_data(&mut header, name, bytes)
            .map_err(|error| unpackable(&path.to_string(), &error))
    }
}

/// Unpacks an archive, compressed or not, without the first `strip` parts of each name.
pub(super) fn unpack(dir: &WorkDir, from: &str, to: &str, strip: usize) -> Result<(), Halt> {
    let bytes = dir.read(&rel_path(from)?, FILE_MAX_BYTES).map_err(|error| refused(&error))?;
    let size = bytes.len() as u64;
    let target = rel_path(to)?;
    dir.create_dir(&target).map_err(|error| refused(&error))?;
    let is_gzip = bytes.starts_with(&GZIP_MAGIC);
    let bytes = Cursor::new(bytes);
    let stream: Box<dyn Read> =
        if is_gzip { Box::new(MultiGzDecoder::new(bytes)) } else { Box::new(bytes) };
    let limit = BYTES_MAX.min(RATIO_FREE_BYTES.max(size.saturating_mul(RATIO_MAX)));
    // One byte more than is allowed shows that there is more.
    let mut archive = Archive::new(stream.take(limit + 1));
    let wrong = |error: &std::io::Error| {
        Halt::never(format_args!("{from} is no archive that can be unpacked: {error}"))
    };
    let mut count = 0;
    let mut unpacked = 0;
    for entry in archive.entries().map_err(|error| wrong(&error))? {
        let mut entry = entry.map_err(|error| wrong(&error))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        count += 1;
        unpacked += entry.size();
        if count > FILES_MAX || unpacked > BYTES_MAX {
            return Err(Halt::never(format_args!("{from}: {}", too_much())));
        }
        if unpacked > limit {
            return Err(Halt::never(format_args!(
                "{from} would become more than {limit} bytes of {size}: an archive that grows so much \
                 is not unpacked"
            )));
        }
        let kind = entry.header().entry_type();
        let refuse = |why: &str| {
            Halt::never(format_args!("{from}: {name:?} {why}; nothing more is unpacked"))
        };
        let Some(inner) = stripped(&name, strip).map_err(refuse)? else { continue };
        let place = rel_path(&target.as_path().join(inner).to_string_lossy())?;
        match kind {
            EntryType::Directory => {
                dir.create_dir(&place).map_err(|error| refused(&error))?;
            }
            EntryType::Regular | EntryType::Continuous => {
                if entry.size() > FILE_MAX_BYTES {
                    return Err(refuse("is larger than a file may be"));
                }
                let executable =
                    entry.header().mode().map_err(|error| wrong(&error))? & EXECUTABLE != 0;
                let mut content = Vec::new();
                entry.read_to_end(&mut content).map_err(|error| wrong(&error))?;
                dir.write(&place, &content).map_err(|error| refused(&error))?;
                dir.set_executable(&place, executable).map_err(|error| refused(&error))?;
            }
            // Says nothing of a file.
            EntryType::XGlobalHeader => {}
            _ => return Err(refuse("is a link or a special file")),
        }
    }
    Ok(())
}

/// The name without its first parts; none if nothing is left.
///
/// # Errors
/// It could lead out of the directory, or belongs to git.
fn stripped(name: &str, strip: usize) -> Result<Option<String>, &'static str> {
    if name.starts_with('/') {
        return Err("is an absolute path");
    }
    let parts: Vec<&str> =
        name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err("leads out of the directory");
    }
    if parts.contains(&GIT) {
        return Err("belongs to git");
    }
    let left = parts.get(strip..).unwrap_or_default().join("/");
    Ok((!left.is_empty()).then_some(left))
}

fn too_much() -> String {
    format!("more than {FILES_MAX} files, or {BYTES_MAX} bytes, are not handled")
}

fn unpackable(path: &str, error: &std::io::Error) -> Halt {
    Halt::never(format_args!("{path} cannot be packed: {error}"))
}

/// A file in the making that may not grow larger than files may be.
#[derive(Default)]
struct Capped {
    bytes: Vec<u8>,
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if (self.bytes.len() + bytes.len()) as u64 > FILE_MAX_BYTES {
            let why = format!("the archive is larger than {FILE_MAX_BYTES} bytes");
            return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, why));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
