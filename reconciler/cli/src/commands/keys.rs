//! `lockstep keys`: the keys under which evidence holds.

use crate::failure::Failure;
use crate::session::Session;

pub(crate) async fn run(session: &Session) -> Result<(), Failure> {
    let keys = session.client.signing_keys().await?;
    session.out.answer(&keys, |keys| {
        keys.keys.iter().map(|key| format!("# {}\n{}", key.id, key.pem)).collect()
    })
}
