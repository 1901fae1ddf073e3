//! Reads container registries: tags, digests, and when an image was built.
//!
//! Speaks the pull half of the OCI distribution specification 1.1 (and Docker's schema 2 media types) over
//! [`crate::http`], so that the same egress policy, deadlines and caps hold as everywhere. Tag lists follow
//! the `Link` header to their end; manifests are verified against their digest; what a digest names never
//! changes, so it is remembered.
//!
//! It never pulls layers, never writes, and never retries: a busy registry is an error that says how long
//! to wait.

mod auth;
mod error;
mod image;
mod reference;
mod registry;
mod select;

pub use self::auth::Credentials;
pub use self::error::OciError;
pub use self::image::{ImageInfo, Platform};
pub use self::reference::{Digest, ImageRepo};
pub use self::registry::{Registry, RegistryOptions};
pub use self::select::{TaggedImage, newest_builds};
