//! Holding a lease: renewed while work goes on, given up in time when it cannot be renewed.

use std::time::Duration;

use reconciler_store::Lease;
use tokio::time::Instant;

use super::{LEASE, Worker};

/// Returns when the lease can no longer be relied on: it was taken over, or it could not be renewed
/// for two thirds of its time. The holder's own monotonic clock decides, never the wall clock of
/// two machines compared.
pub(super) async fn hold(worker: &Worker, lease: &Lease) {
    let mut renewed_at = Instant::now();
    loop {
        tokio::time::sleep(LEASE / 6).await;
        match worker.store.renew(lease, LEASE, worker.clock.now()).await {
            Ok(()) => renewed_at = Instant::now(),
            Err(reconciler_store::LeaseError::Lost { .. }) => return,
            Err(error) => {
                tracing::warn!(%error, "the lease of {} could not be renewed", lease.key);
                if renewed_at.elapsed() > stop_after() {
                    return;
                }
            }
        }
    }
}

fn stop_after() -> Duration {
    LEASE * 2 / 3
}
