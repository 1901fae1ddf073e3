//! One writer per branch: what several callers want on it goes up in one push.
//!
//! A caller puts its wish into the branch's queue and waits for an answer or for its turn,
//! whichever comes first. Whose turn it is builds the wishes of all, one on top of the other, and
//! pushes them together. Nobody's work depends on a caller that goes away: a wish whose caller is
//! gone is left out, and wishes that a leader took along and did not answer queue up anew. That
//! does no harm, because each looks first whether it is there already.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use git2::Oid;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{OwnedMutexGuard, oneshot};

use super::engine::{Remote, Sent};
use super::error::GitError;
use super::id::CommitId;
use super::landed::Chain;

/// Pause before attempt N is N times this.
const PAUSE: Duration = Duration::from_millis(25);
/// Wishes that one push carries.
const BATCH: usize = 256;

/// Where to publish.
pub(super) struct Target {
    pub(super) branch: String,
    /// Whether a missing branch may be made.
    pub(super) create: bool,
    pub(super) max_attempts: u32,
}

/// What to do about a branch as it is.
pub(super) enum Step<T> {
    /// Nothing needs to be pushed.
    Done(T),
    /// Push this commit.
    Send(Oid),
}

/// How publishing ended.
pub(super) enum Published<T> {
    Done(T),
    Sent { commit: CommitId, previous_tip: Option<CommitId>, attempts: u32 },
}

/// Asks `plan` what to do about the branch, in the mirror and anew whenever the branch moved, until
/// what it gives is pushed. Others of this process who write to the branch go along; writers
/// elsewhere are met by the lease.
///
/// # Errors
/// What `plan` says, or the branch and its server; the latter to all that went along.
pub(super) async fn publish<T, P>(
    remote: &Remote,
    target: &Target,
    plan: P,
) -> Result<Published<T>, GitError>
where
    T: Send + 'static,
    P: Fn(&mut Chain<'_>) -> Result<Step<T>, GitError> + Send + Sync + 'static,
{
    let done = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&done);
    let build = move |chain: &mut Chain<'_>| {
        Ok(match plan(chain)? {
            Step::Send(commit) => Link::Add(commit),
            Step::Done(value) => {
                *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
                Link::There
            }
        })
    };
    let (create, max_attempts) = (target.create, target.max_attempts);
    let wish = Wish { build: Arc::new(build), create, max_attempts };
    Ok(match land(remote, &target.branch, wish).await? {
        Landed::Sent { commit, previous_tip, attempts } => {
            Published::Sent { commit, previous_tip, attempts }
        }
        Landed::There => {
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            Published::Done(done.take().expect("the plan said so when it was asked last"))
        }
    })
}

/// What one wish adds to the branch.
enum Link {
    /// Nothing: it is there, or it is not to be done.
    There,
    /// The branch up to this commit.
    Add(Oid),
}

/// How a wish ended.
enum Landed {
    /// Nothing was pushed for it.
    There,
    /// It was pushed.
    Sent { commit: CommitId, previous_tip: Option<CommitId>, attempts: u32 },
}

type Build = dyn Fn(&mut Chain<'_>) -> Result<Link, GitError> + Send + Sync;

/// What a caller wants on a branch.
#[derive(Clone)]
struct Wish {
    build: Arc<Build>,
    create: bool,
    max_attempts: u32,
}

/// What servers say when somebody else holds the branch's lock.
const RACES: [&str; 4] =
    ["cannot lock ref", "failed to lock", "unable to lock", ".lock': file exists"];

type Answer = Result<Landed, GitError>;

/// The writers of all branches that somebody writes to now.
#[derive(Default)]
pub(super) struct Writers(Mutex<HashMap<String, Weak<Writer>>>);

#[derive(Default)]
struct Writer {
    queue: Mutex<Vec<(Wish, oneshot::Sender<Answer>)>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Writers {
    fn of(&self, remote: &Remote, branch: &str) -> Arc<Writer> {
        let mut writers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writers.retain(|_, writer| writer.strong_count() > 0);
        let name = format!("{}\0{branch}", remote.mirror);
        if let Some(writer) = writers.get(&name).and_then(Weak::upgrade) {
            return writer;
        }
        let writer = Arc::new(Writer::default());
        writers.insert(name, Arc::downgrade(&writer));
        writer
    }

    /// Waits until nothing is on its way to the branch from here.
    pub(super) async fn at_rest(&self, remote: &Remote, branch: &str) -> OwnedMutexGuard<()> {
        Arc::clone(&self.of(remote, branch).turn).lock_owned().await
    }
}

impl Writer {
    fn enter(&self, wish: Wish) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push((wish, answer));
        answered
    }

    /// The oldest wishes that somebody still waits for.
    fn take(&self) -> Vec<(Wish, oneshot::Sender<Answer>)> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.retain(|(_, answer)| !answer.is_closed());
        let count = queue.len().min(BATCH);
        queue.drain(..count).collect()
    }
}

/// Waits until somebody has answered the wish, if need be by taking the lead.
async fn land(remote: &Remote, branch: &str, wish: Wish) -> Answer {
    let writer = remote.engine.writers.of(remote, branch);
    loop {
        let mut answered = writer.enter(wish.clone());
        let answer = loop {
            let turn = tokio::select! {
                biased;
                answer = &mut answered => break answer.ok(),
                turn = Arc::clone(&writer.turn).lock_owned() => turn,
            };
            match answered.try_recv() {
                Ok(answer) => break Some(answer),
                Err(TryRecvError::Closed) => break None,
                Err(TryRecvError::Empty) => lead(remote, branch, writer.take()).await?,
            }
            drop(turn);
        };
        if let Some(answer) = answer {
            return answer;
        }
    }
}

/// Answers wishes together. Where that fails because of what they bring, each alone: one that a hook
/// does not like, or all of them being too large for one request, must not stop the others.
///
/// # Errors
/// The caller was told to stop; nobody is answered then.
async fn lead(
    remote: &Remote,
    branch: &str,
    batch: Vec<(Wish, oneshot::Sender<Answer>)>,
) -> Result<(), GitError> {
    let (wishes, callers): (Vec<Wish>, Vec<_>) = batch.into_iter().unzip();
    let answers = match push(remote, branch, &wishes).await {
        Err(error) if wishes.len() > 1 && may_be_of_one(&error) => {
            let mut answers = Vec::with_capacity(wishes.len());
            for wish in &wishes {
                let alone = push(remote, branch, std::slice::from_ref(wish)).await;
                answers.push(one(alone)?);
            }
            answers
        }
        Err(error @ GitError::Cancelled { .. }) => return Err(error),
        Err(error) if wishes.len() == 1 => vec![Err(error)],
        Err(error) => {
            let error = Arc::new(error);
            wishes.iter().map(|_| Err(GitError::Shared(Arc::clone(&error)))).collect()
        }
        Ok(answers) => answers,
    };
    for (caller, answer) in callers.into_iter().zip(answers) {
        // Who is gone finds out by asking again.
        let _gone = caller.send(answer);
    }
    Ok(())
}

/// Whether a failure may be due to what is pushed, and not to the branch or its server.
fn may_be_of_one(error: &GitError) -> bool {
    !matches!(
        error,
        GitError::Cancelled { .. }
            | GitError::Unreachable { .. }
            | GitError::Timeout { .. }
            | GitError::Server { .. }
            | GitError::Contended { .. }
            | GitError::Blocked { .. }
            | GitError::CredentialsRefused { .. }
            | GitError::CredentialsMissing { .. }
            | GitError::RepositoryNotFound { .. }
            | GitError::LocalNotAllowed { .. }
            | GitError::Moved { .. }
            | GitError::Open(_)
    )
}

/// The answer to the only wish.
fn one(alone: Result<Vec<Answer>, GitError>) -> Result<Answer, GitError> {
    match alone {
        Err(error @ GitError::Cancelled { .. }) => Err(error),
        Err(error) => Ok(Err(error)),
        Ok(mut answers) => Ok(answers.pop().expect("one wish has one answer")),
    }
}

/// Builds the wishes on the branch's tip, in their order, until what that gives is pushed.
async fn push(remote: &Remote, branch: &str, wishes: &[Wish]) -> Result<Vec<Answer>, GitError> {
    let max_attempts = wishes.iter().map(|wish| wish.max_attempts).max().unwrap_or(1).max(1);
    let mut last = None;
    for attempts in 1..=max_attempts {
        if attempts > 1 {
            tokio::time::sleep(PAUSE * attempts).await;
        }
        let tip = current(remote, branch).await?;
        let (work, at) = (wishes.to_vec(), tip.clone());
        let name = branch.to_owned();
        let building = remote.run(move |job| build(Chain::new(job, &name, at), &work, attempts));
        let built = building.await?;
        let Some(head) = built.head else { return Ok(built.answers) };
        match remote.send(branch, head.oid(), tip.as_ref()).await? {
            Sent::Accepted => {
                let count = wishes.len();
                tracing::info!(repo = %remote.repo, branch, commit = %head, count, attempts, "pushed");
                return Ok(built.answers);
            }
            Sent::Moved => {}
            Sent::Refused(reason) => judge(remote, branch, tip.as_ref(), reason).await?,
        }
        tracing::debug!(repo = %remote.repo, branch, attempts, "the branch moved");
        last = tip;
    }
    Err(GitError::Contended {
        repo: remote.repo.clone(),
        branch: branch.to_owned(),
        attempts: max_attempts,
        tip: last.map_or_else(|| "none".to_owned(), String::from),
    })
}

/// What wishes come to on one tip.
struct Built {
    /// By wish; they hold once `head` is on the branch.
    answers: Vec<Answer>,
    /// What is to be pushed; absent: nothing.
    head: Option<CommitId>,
}

fn build(mut chain: Chain<'_>, wishes: &[Wish], attempts: u32) -> Result<Built, GitError> {
    let mut built = Built { answers: Vec::with_capacity(wishes.len()), head: None };
    for wish in wishes {
        chain.job().check()?;
        let previous_tip = chain.tip().cloned();
        let link = match previous_tip {
            None if !wish.create => Err(GitError::BranchNotFound {
                repo: chain.job().repo.clone(),
                branch: chain.branch().to_owned(),
            }),
            _ => (wish.build)(&mut chain),
        };
        built.answers.push(match link {
            // The mirror, or the caller, is at fault, not this wish.
            Err(error @ (GitError::DamagedMirror { .. } | GitError::Cancelled { .. })) => {
                return Err(error);
            }
            Err(error) => Err(error),
            Ok(Link::There) => Ok(Landed::There),
            Ok(Link::Add(commit)) => {
                let commit = CommitId::from(commit);
                chain.add(&commit)?;
                built.head = Some(commit.clone());
                Ok(Landed::Sent { commit, previous_tip, attempts })
            }
        });
    }
    Ok(built)
}

/// The branch's tip, with its history in the mirror; absent: there is no such branch.
async fn current(remote: &Remote, branch: &str) -> Result<Option<CommitId>, GitError> {
    match remote.tip(branch).await? {
        Some(tip) => remote.fetch_branch(branch, &tip).await.map(Some),
        None => Ok(None),
    }
}

/// A server words a lost race as it likes. The branch says whether it was one: if it moved, or
/// if somebody holds its lock, it was.
async fn judge(
    remote: &Remote,
    branch: &str,
    tip: Option<&CommitId>,
    reason: String,
) -> Result<(), GitError> {
    let now = remote.tip(branch).await?;
    let said = reason.to_ascii_lowercase();
    let raced = RACES.iter().any(|race| said.contains(race));
    if now.as_ref() != tip || raced {
        return Ok(());
    }
    let (repo, branch) = (remote.repo.clone(), branch.to_owned());
    Err(GitError::Rejected { repo, branch, reason })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use git2::{Repository, Signature};
    use tokio_util::sync::CancellationToken;

    use super::super::config::GitConfig;
    use super::super::credentials::Credentials;
    use super::super::engine::Engine;
    use super::*;

    fn committed(repository: &Repository, parent: Option<Oid>, reference: Option<&str>) -> Oid {
        let who = Signature::now("us", "us@example.org").unwrap();
        let parent = parent.map(|id| repository.find_commit(id).unwrap());
        let tree = repository.find_tree(repository.treebuilder(None).unwrap().write().unwrap());
        let parents: Vec<_> = parent.iter().collect();
        repository.commit(reference, &who, &who, "one more", &tree.unwrap(), &parents).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_waits_for_a_push_that_panics_is_answered() {
        let dir = tempfile::tempdir().unwrap();
        let served = dir.path().join("served.git");
        committed(&Repository::init_bare(&served).unwrap(), None, Some("refs/heads/main"));
        let config = GitConfig { allow_local: true, ..GitConfig::new(dir.path().join("mirrors")) };
        let engine = Arc::new(Engine::new(config).unwrap());
        let url = served.to_str().unwrap().parse().unwrap();
        let (anonymous, cancel) = (Credentials::Anonymous, CancellationToken::new());
        let remote = Remote::new(&engine, "test", &url, anonymous, cancel).unwrap();

        let target = Target { branch: "main".to_owned(), create: false, max_attempts: 3 };
        let held = engine.writers.at_rest(&remote, "main").await;
        let bad = publish(&remote, &target, |_| -> Result<Step<()>, GitError> { panic!("a bug") });
        let good = publish(&remote, &target, |chain| {
            let tip = chain.tip().map(CommitId::oid);
            Ok(Step::<()>::Send(committed(&chain.job().repository, tip, None)))
        });
        let mut both = Box::pin(futures::future::join(bad, good));
        tokio::select! {
            biased;
            _ = &mut both => panic!("the branch is not free"),
            () = std::future::ready(()) => {}
        }
        drop(held);
        let (bad, good) = tokio::time::timeout(Duration::from_secs(60), both).await.unwrap();
        assert!(matches!(good, Ok(Published::Sent { .. })), "it has nothing to do with the bug");
        let Err(error) = bad else { panic!("nothing was pushed for it") };
        assert!(error.to_string().contains("broke down (a bug)"), "{error}");
        assert!(matches!(error, GitError::Panicked { .. }));
    }
}
