//! A wall clock that jumps under the daemon: libfaketime tells it another time than the machine has, and leaves its
//! steady clock alone, as a step of the real one would.

use std::fs;
use std::path::PathBuf;

use acceptance::lockstepd::Settings;
use acceptance::{At as _, Failure, Outcome};
use axum::http::StatusCode;
use reconciler_api::v1::Phase;
use serde_json::json;
use tempfile::TempDir;

use crate::pipeline::{app_steps, direct, step};
use crate::site::{SOON, Site};

/// What the daemon takes for its clock.
struct Hands {
    dir: TempDir,
}

impl Hands {
    fn at(offset: &str) -> Outcome<Self> {
        let hands = Self { dir: acceptance::process::open_folder("clock")? };
        hands.put(offset)?;
        Ok(hands)
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("offset")
    }

    /// Puts the clock this far from the machine's.
    fn put(&self, offset: &str) -> Outcome {
        let next = self.dir.path().join("next");
        fs::write(&next, format!("{offset}\n")).at(next.display())?;
        fs::rename(&next, self.file()).at("the clock")
    }

    fn settings(&self) -> Outcome<Settings> {
        let found = fs::read_dir("/usr/lib").at("/usr/lib")?.filter_map(Result::ok);
        let library = found
            .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
            .find(|path| path.exists())
            .ok_or_else(|| {
                Failure::new("libfaketime is missing: tests/acceptance/tools says how to get it")
            })?;
        let environment = [
            ("LD_PRELOAD", library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file().display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Ok(Settings { environment, ..Settings::default() })
    }
}

#[tokio::test]
async fn whatever_the_clock_does_nothing_is_sent_twice_and_nothing_stands_still() -> Outcome {
    let hands = Hands::at("+0")?;
    let mut site = Site::start_with(hands.settings()?, &["dev"]).await?;
    let sent = json!({
        "url": site.desk.url("/sent"), "method": "POST", "delivery": "at_most_once", "timeout": "1h",
    });
    let rollout = json!({
        "url": site.desk.url("/rollout"), "poll": { "interval": "1s", "timeout": "5m" },
    });
    let mut steps = app_steps(&site);
    steps.extend([step("sent", "http", &sent), step("rollout", "http", &rollout)]);
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    site.desk.answer("/rollout", StatusCode::SERVICE_UNAVAILABLE);
    let mut freight = site.first_freight().await?;
    // Put forward, put back behind where it began, and put right again.
    for (round, offset) in ["+1h", "-1h", "-1y", "+0"].into_iter().enumerate() {
        site.desk.hold("/sent");
        let id = site.promote("dev", &freight).await?;
        site.lockstepd
            .eventually(SOON, "the request is under way", async || {
                match site.desk.taken("/sent").len() {
                    taken if taken > round => Ok(()),
                    taken => Err(Failure::new(format!("{taken} requests"))),
                }
            })
            .await?;
        hands.put(offset)?;
        site.desk.release("/sent");
        let polled = site.desk.taken("/rollout").len();
        site.lockstepd
            .eventually(SOON, "the rollout is asked about", async || {
                match site.desk.taken("/rollout").len() {
                    asked if asked > polled + 1 => Ok(()),
                    _ => Err(Failure::new("not yet")),
                }
            })
            .await?;
        site.desk.answer("/rollout", StatusCode::OK);
        site.is(&id, Phase::Succeeded).await.map_err(|failure| failure.with("clock", offset))?;
        site.desk.answer("/rollout", StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(site.desk.taken("/sent").len(), round + 1, "{offset}");
        freight = site.freight(offset).await.map_err(|failure| failure.with("clock", offset))?;
    }
    assert!(site.lockstepd.log().contains("the clock was put back"), "{}", site.lockstepd.log());
    site.lockstepd.stop().await?;
    site.lockstepd.verify_ledger().await
}
