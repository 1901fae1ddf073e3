//! Brings up the loopback interface of a new network namespace.

use std::io;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// `RTM_NEWLINK` with `NLM_F_REQUEST | NLM_F_ACK`, see `rtnetlink(7)`.
const NEW_LINK: u16 = 16;
const REQUEST_AND_ACK: u16 = 5;
/// The first interface of a network namespace is its loopback.
const LOOPBACK: i32 = 1;
const UP: u32 = 1;
/// `NLMSG_ERROR`, which a success is too.
const ANSWER: u16 = 2;

pub(super) fn up() -> io::Result<()> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let mut message = Vec::with_capacity(32);
    // Header: length, type, flags, sequence, port.
    message.extend(32_u32.to_ne_bytes());
    message.extend(NEW_LINK.to_ne_bytes());
    message.extend(REQUEST_AND_ACK.to_ne_bytes());
    message.extend([0; 8]);
    // Interface: family and padding, type, index, flags, which flags are meant.
    message.extend([0; 4]);
    message.extend(LOOPBACK.to_ne_bytes());
    message.extend(UP.to_ne_bytes());
    message.extend(UP.to_ne_bytes());
    rustix::net::send(&socket, &message, SendFlags::empty())?;
    let mut answer = [0; 256];
    let (length, _) = rustix::net::recv(&socket, &mut answer, RecvFlags::empty())?;
    let kind = answer.get(4..6).map(|kind| u16::from_ne_bytes([kind[0], kind[1]]));
    let errno = answer.get(16..20).map(|e| i32::from_ne_bytes([e[0], e[1], e[2], e[3]]));
    match (kind, errno) {
        (Some(ANSWER), Some(0)) if length >= 20 => Ok(()),
        (Some(ANSWER), Some(errno)) if length >= 20 => {
            Err(io::Error::from_raw_os_error(errno.saturating_neg()))
        }
        _ => Err(io::Error::other("the kernel's answer about the loopback interface is unknown")),
    }
}
