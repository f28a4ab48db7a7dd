//! What the requests of one frontend share, and what each of them carries along.

use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agora_process::{ClusterFile, Endpoint};
use agora_proto::common::{Code, Role};
use agora_proto::customer::{GetSession, TouchSession, command, query};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::databases::{Databases, Failure, expected};
use crate::passwords::Passwords;
use crate::payment::{PaymentClient, PaymentTimeouts};
use crate::problem::Problem;
use crate::rest::key::Scope;
use crate::rest::token::{Token, invalid_session};
use crate::server::rates::Rates;

/// How long a request may take that has to wait for more than the databases: a purchase.
pub const REQUEST_TIME: Duration = Duration::from_secs(10);

/// How long one try to pay may take. Several fit into a request.
const PAYMENT_TIMEOUTS: PaymentTimeouts =
    PaymentTimeouts { connect: Duration::from_secs(1), request: Duration::from_secs(2) };

/// A frontend: no state but its connections.
pub struct App {
    /// Whose frontend this is.
    pub role: Role,
    /// Both databases.
    pub databases: Databases,
    /// The hashing of passwords.
    pub passwords: Passwords,
    /// The financial service. Only buyers pay, but any frontend finishes purchases that were left.
    pub payments: PaymentClient,
    /// How many more requests may be under way.
    pub admission: Arc<Semaphore>,
    /// How many more requests each client may make just now.
    pub rates: Rates,
    /// How long the databases may take to answer a request.
    pub patience: Duration,
    /// Purchases under way or being finished: they go on when their client leaves, and a stopping frontend waits for them.
    pub purchases: TaskTracker,
}

impl App {
    /// A frontend of this cluster. Connects lazily.
    ///
    /// # Errors
    /// The password hashing or the payment client can't be set up.
    pub fn new(role: Role, cluster: &ClusterFile) -> anyhow::Result<Arc<Self>> {
        let nodes = |endpoints: &[Endpoint]| {
            endpoints.iter().map(|e| (e.name.clone(), e.address)).collect::<Vec<_>>()
        };
        let options = agora_db_client::Options::default;
        Ok(Arc::new(App {
            role,
            databases: Databases {
                customer: agora_db_client::Database::connect(nodes(&cluster.customer), options()),
                product: agora_db_client::Database::connect(nodes(&cluster.product), options()),
            },
            passwords: Passwords::new(cluster.admission.password_hashes)
                .map_err(|error| anyhow::anyhow!(error))?,
            payments: PaymentClient::new(format!("http://{}/", cluster.financial.address), PAYMENT_TIMEOUTS)?,
            admission: Arc::new(Semaphore::new(
                cluster.admission.frontend_requests.min(Semaphore::MAX_PERMITS),
            )),
            rates: Rates::new(cluster.admission.client_requests_per_s),
            patience: Duration::from_millis(cluster.admission.answer_within_ms),
            purchases: TaskTracker::new(),
        }))
    }
}

/// When a request arrived. Put into the request.
#[derive(Clone, Copy, Debug)]
pub struct Arrival(pub Instant);

/// The frontend and the deadline of one request.
#[derive(Clone)]
pub struct Context {
    app: Arc<App>,
    arrival: Instant,
    /// When it must have been answered.
    pub deadline: Instant,
}

impl Context {
    /// For a request that has to wait for more than the databases.
    pub fn patient(self) -> Self {
        Context { deadline: self.arrival + REQUEST_TIME, ..self }
    }

    /// The frontend, for what outlives the request.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }
}

impl Deref for Context {
    type Target = App;

    fn deref(&self) -> &App {
        &self.app
    }
}

impl FromRequestParts<Arc<App>> for Context {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        let arrival = parts.extensions.get::<Arrival>().map_or_else(Instant::now, |arrival| arrival.0);
        Ok(Context { app: Arc::clone(app), arrival, deadline: arrival + app.patience })
    }
}

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The id of the buyer or seller.
    pub id: u64,
    /// Within which its idempotency keys are its own.
    pub scope: Scope,
}

impl Context {
    /// Whose session this is. Its use is on record before the caller gets to do anything, because only recorded use keeps a
    /// session alive; that costs a write at most once in a while.
    ///
    /// # Errors
    /// `invalid_session`, `wrong_role`, or the customer database does not answer.
    pub async fn user(&self, token: &Token) -> Result<User, Problem> {
        let question = query::Body::GetSession(GetSession { token_hash: token.hash() });
        let answer = self.databases.ask_customer(self.deadline, question).await;
        let session = expected!(customer::Session, answer.map_err(of_session)?)?;
        if session.role() != self.role {
            let ours = if self.role == Role::Buyer { "buyer" } else { "seller" };
            return Err(Problem::new(
                Code::WrongRole,
                format!("this frontend serves {ours}s, and the session is none of a {ours}"),
            ));
        }
        if session.touch_due {
            let touch = command::Body::TouchSession(TouchSession { token_hash: token.hash() });
            self.databases.change_customer(self.deadline, None, touch).await.map_err(of_touch)?;
        }
        Ok(User { id: session.user_id, scope: Scope::user(self.role, session.user_id) })
    }
}

fn of_session(failure: Failure) -> Problem {
    match failure {
        Failure::Refused(refusal) if refusal.code() == Code::InvalidSession => invalid_session(),
        other => other.into(),
    }
}

/// Whether a touch took effect matters to nobody: of what the caller wanted, nothing happened.
fn of_touch(failure: Failure) -> Problem {
    match failure {
        Failure::Call(error @ agora_db_client::CallError::OutcomeUnknown(_)) => {
            tracing::warn!(%error, "could not record the use of a session");
            Problem::unavailable("the customer database can't be reached now; nothing happened")
        }
        other => of_session(other),
    }
}

/// A caller whose session was checked before anything else of the request is looked at.
pub struct Caller {
    /// What the caller showed.
    pub token: Token,
    /// Who it is.
    pub user: User,
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let token = Token::from_request_parts(parts, app).await?;
        let Ok(context) = Context::from_request_parts(parts, app).await;
        let user = context.user(&token).await?;
        Ok(Caller { token, user })
    }
}
