//! A key for the versions of states, of the kind that a daemon has.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use reconciler_effects::states::{SealedState, Sealing};

pub(crate) struct OneKey(pub(crate) u8);

impl OneKey {
    fn key(&self) -> RandomizedNonceKey {
        RandomizedNonceKey::new(&AES_256_GCM, &[self.0; 32]).expect("32 bytes are a key")
    }
}

impl Sealing for OneKey {
    fn seal(&self, bound: &[u8], open: &[u8]) -> Result<SealedState, String> {
        let mut bytes = open.to_vec();
        let nonce =
            self.key().seal_in_place_append_tag(Aad::from(bound), &mut bytes).expect("it seals");
        let bytes = [nonce.as_ref().as_slice(), &bytes].concat();
        Ok(SealedState { key: self.0.to_string(), bytes })
    }

    fn open(&self, bound: &[u8], sealed: &SealedState) -> Result<Vec<u8>, String> {
        let (nonce, rest) = sealed.bytes.split_at_checked(NONCE_LEN).ok_or("cut")?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).expect("it was cut off so long");
        let mut rest = rest.to_vec();
        let opened = self.key().open_in_place(nonce, Aad::from(bound), &mut rest);
        opened.map(|opened| opened.to_vec()).map_err(|_| "it does not open".to_owned())
    }
}
