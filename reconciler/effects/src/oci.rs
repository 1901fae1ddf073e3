//! Reads container registries: tags, digests, and when an image was built.
//!
//! Two clients share the work, and one set of credentials. [`oci_client`] logs in and reads digests,
//! manifests, indexes and configurations (the pull half of the OCI distribution specification 1.1, and
//! Docker's schema 2 media types), each verified against its digest. Tag lists are read over
//! [`crate::http`]: they follow the `Link` header to their end, have caps, and tell how long a busy registry
//! asks to wait. What a digest names never changes, so it is remembered.
//!
//! The egress policy holds in full for tag lists. For the library the hosts of the registry and of its
//! token service are checked first; it resolves them again, and it follows redirects unchecked.
//!
//! It never pulls layers, never writes, and never tries again, but for one new login when a token is
//! refused: a busy registry is an error that says how long to wait.

mod auth;
mod error;
mod image;
mod pull;
mod reference;
mod registry;
mod select;
mod tags;

pub use self::auth::Credentials;
pub use self::error::OciError;
pub use self::image::{ImageInfo, Platform};
pub use self::reference::{Digest, ImageRepo};
pub use self::registry::{Registry, RegistryOptions};
pub use self::select::{TaggedImage, newest_builds};
