//! Container registries: what tags name and when that was built, for those who look for versions; layers,
//! copies, tags and attachments, for steps.
//!
//! Two clients share the work, and one set of credentials. [`oci_client`] logs in and reads digests,
//! manifests, indexes and configurations (the pull half of the OCI distribution specification 1.1, and
//! Docker's schema 2 media types), each verified against its digest, for whoever looks for versions. Tag
//! lists are read over [`crate::http`]: they follow the `Link` header to their end, have caps, and tell how
//! long a busy registry asks to wait. What a digest names never changes, so it is remembered.
//!
//! What steps do goes through [`crate::http`] altogether (`exchange`): manifests and blobs in both
//! directions, tags, referrers. Blobs are passed on as they come, mounted where they are there already.
//!
//! The egress policy holds in full for all but the library. For that the hosts of the registry and of its
//! token service are checked first; it resolves them again, and it follows redirects unchecked.
//!
//! Nothing is tried again, but for one new login when a token is refused: a busy registry is an error that
//! says how long to wait.

mod attached;
mod auth;
mod blob;
mod copy;
mod error;
mod exchange;
mod image;
mod manifest;
mod pull;
mod reference;
mod referrers;
mod registry;
mod select;
mod tags;

pub use self::attached::Attached;
pub use self::auth::Credentials;
pub use self::copy::{Budget, Place};
pub(crate) use self::copy::{fill, missing};
pub use self::error::OciError;
pub use self::image::{ImageInfo, Platform};
pub use self::manifest::{Content, Part, Removal};
pub use self::reference::{Digest, ImageRepo};
pub use self::referrers::Referrer;
pub use self::registry::{Registry, RegistryOptions};
pub use self::select::{TaggedImage, newest_builds};
