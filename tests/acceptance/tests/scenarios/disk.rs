//! The disk full under the daemon, and free again: it says so without filling the disk further, and does
//! nothing twice and loses nothing.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

use acceptance::lockstepd::Settings;
use acceptance::{At as _, Failure, Outcome};
use reconciler_api::v1::Phase;
use serde_json::json;

use crate::pipeline::{app_steps, call, clone_gitops, direct};
use crate::site::{SOON, Site};

/// MiB of the disk: what the daemon keeps free for its database, and some room.
const DISK: u32 = 300;
const MIB: usize = 1 << 20;

/// What takes up the disk.
struct Filler(PathBuf);

impl Filler {
    /// Takes up so many MiB, or all that there are.
    fn takes(site: &Site, most: usize) -> Outcome<Self> {
        let path = site.lockstepd.data_dir().join("filler");
        let mut file = File::create(&path).at(path.display())?;
        let (mut block, mut left) = (vec![0; MIB], most);
        while left > 0 && !block.is_empty() {
            match file.write_all(&block) {
                Ok(()) => left -= 1,
                // To the last byte.
                Err(error) if error.kind() == ErrorKind::StorageFull => {
                    let half = block.len() / 2;
                    block.truncate(half);
                }
                Err(error) => return Err(error).at(path.display()),
            }
        }
        Ok(Self(path))
    }

    fn goes(self) -> Outcome {
        fs::remove_file(&self.0).at(self.0.display())
    }
}

/// Waits until the daemon's log has this, and answers how often.
async fn says(site: &Site, what: &str) -> Outcome<usize> {
    let what_is_waited_for = format!("its log says {what:?}");
    let heard = site.lockstepd.eventually(SOON, &what_is_waited_for, async || {
        let times = site.lockstepd.log().matches(what).count();
        if times > 0 { Ok(times) } else { Err(Failure::new("not yet")) }
    });
    heard.await
}

#[tokio::test]
async fn what_could_not_be_written_down_is_done_once_all_the_same() -> Outcome {
    let settings = Settings { disk: Some(DISK), ..Settings::default() };
    let site = Site::start_with(settings, &["dev"]).await?;
    let mut steps = app_steps(&site);
    steps.push(call("held", &site.desk.url("/held")));
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    site.desk.hold("/held");
    let id = site.promote("dev", &site.first_freight().await?).await?;
    let sent = site.lockstepd.eventually(SOON, "the request is sent", async || {
        if site.desk.taken("/held").is_empty() { Err(Failure::new("not yet")) } else { Ok(()) }
    });
    sent.await?;
    let filler = Filler::takes(&site, usize::MAX)?;
    site.desk.release("/held");
    let told = says(&site, "due work cannot be claimed").await?;
    assert_eq!(told, 1, "{}", site.lockstepd.log());
    site.is(&id, Phase::Committing).await?;
    filler.goes()?;
    site.is(&id, Phase::Succeeded).await?;
    says(&site, "due work can be claimed again").await?;
    assert_eq!(site.desk.keys("/held").len(), 1, "{:?}", site.desk.taken("/held"));
    let pushed = site.gitops.log("main").await?;
    let ours = pushed.iter().filter(|commit| commit.trailer("Lockstep-Promotion").is_some());
    assert_eq!(ours.count(), 1, "{pushed:#?}");
    // How often it complained depends on the time that it took, but not on how fast it is.
    let complaints = site.lockstepd.log().matches(" ERROR ").count();
    assert!(complaints < 40, "{complaints} complaints: {}", site.lockstepd.log());
    Ok(())
}

#[tokio::test]
async fn nothing_large_begins_on_a_disk_that_is_nearly_full() -> Outcome {
    let settings = Settings { disk: Some(DISK), ..Settings::default() };
    let site = Site::start_with(settings, &["dev"]).await?;
    let steps = [clone_gitops(&site)];
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    let freight = site.first_freight().await?;
    let filler = Filler::takes(&site, 100)?;
    let id = site.promote("dev", &freight).await?;
    let waits = site.lockstepd.eventually(SOON, "its step failed", async || {
        let promotion = site.client()?.promotion(crate::site::PROJECT, &id).await?;
        let said: Vec<String> =
            promotion.waiting.iter().map(|waiting| waiting.message.clone()).collect();
        let said = said.join("; ");
        if said.contains("nearly full") { Ok(said) } else { Err(Failure::new(said)) }
    });
    let said = waits.await?;
    assert!(said.contains("256 MiB are kept for the database; make room there"), "{said}");
    filler.goes()?;
    site.is(&id, Phase::Succeeded).await.map(drop)
}
