//! The route table: every route of the API, and who may call it.
//!
//! A route comes into being only through [`Route::new`], which takes its [`Access`] and a handler
//! with its OpenAPI annotation. The guard stands before each handler, and the document at
//! `/api/openapi.json` is made from this table. The tests go through the same table.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware;
use axum::routing::MethodRouter;
use tower::ServiceBuilder;
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate, SizeAbove};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{PathItem, RefOr};
use utoipa_axum::router::UtoipaMethodRouter;
use utoipa_axum::routes;

use crate::access::{Access, Rule, guard};
use crate::app::App;
use crate::metrics::observe;
use crate::problem::{Problem, ProblemKind, as_problem};
use crate::{
    audit, auth, events, farm, files, health, jobs, metrics, openapi, page, runners, settings,
    tickets, tokens, upload, users, webhooks,
};

/// For JSON bodies; a frame list of thousands of single frames fits.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// What fits into one packet is sent as it is.
const COMPRESS_ABOVE_BYTES: u64 = 1024;

/// One line of the table.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) access: Access,
    /// Whether it changes something: a token needs the scope for that, and a browser must send it
    /// from the farm's own page.
    pub(crate) changes: bool,
    pub(crate) operation: Operation,
    /// What the operation refers to.
    pub(crate) schemas: Vec<(String, RefOr<Schema>)>,
    handler: MethodRouter<App>,
}

impl Route {
    /// `documented` is `routes!(handler)` of one handler.
    fn new(access: Access, documented: UtoipaMethodRouter<App>) -> Self {
        let (schemas, paths, handler) = documented;
        let (path, item) = paths
            .paths
            .into_iter()
            .next()
            .expect("a handler has a path");
        let (method, operation) = the_operation(item);
        // To look is not enough for a route that changes something.
        assert!(
            method.is_safe() || access != Access::JobReader,
            "{method} {path} changes a job and needs more than JobReader"
        );
        Self {
            changes: !method.is_safe(),
            method,
            path,
            access,
            operation,
            schemas,
            handler,
        }
    }

    /// For a safe method that changes something all the same.
    fn changing(mut self) -> Self {
        self.changes = true;
        self
    }

    /// For bodies of any size: the handler bounds them itself.
    fn unbounded_body(mut self) -> Self {
        self.handler = self.handler.layer(DefaultBodyLimit::disable());
        self
    }
}

fn the_operation(item: PathItem) -> (Method, Operation) {
    let operations = [
        (Method::GET, item.get),
        (Method::PUT, item.put),
        (Method::POST, item.post),
        (Method::DELETE, item.delete),
        (Method::PATCH, item.patch),
        (Method::HEAD, item.head),
        (Method::OPTIONS, item.options),
    ];
    let mut present = operations
        .into_iter()
        .filter_map(|(method, operation)| Some((method, operation?)));
    let found = present.next().expect("a handler has a method");
    assert!(present.next().is_none(), "one line, one method");
    found
}

#[rustfmt::skip]
pub(crate) fn table() -> Vec<Route> {
    use Access::{
        Account, Admin, JobManager, JobOwner, JobReader, Member, Metrics, Public, Runner, SignedIn,
    };
    vec![
        Route::new(Public,     routes!(auth::local::providers)),
        Route::new(Public,     routes!(auth::local::login)),
        Route::new(Public,     routes!(auth::local::register)),
        Route::new(SignedIn,   routes!(auth::sessions::logout)),
        Route::new(SignedIn,   routes!(auth::account::me)),
        Route::new(Public,     routes!(auth::external::login)),
        Route::new(Public,     routes!(auth::external::callback)),
        Route::new(Account,    routes!(auth::external::link)),
        Route::new(Account,    routes!(auth::external::unlink)),
        Route::new(Account,    routes!(auth::local::change_password)),
        Route::new(Account,    routes!(auth::sessions::list)),
        Route::new(Account,    routes!(auth::sessions::end)),
        Route::new(Account,    routes!(auth::sessions::end_others)),
        Route::new(Public,     routes!(auth::device::start)),
        Route::new(Account,    routes!(auth::device::approve)),
        Route::new(Public,     routes!(auth::device::token)),
        Route::new(Account,    routes!(tokens::list)),
        Route::new(Account,    routes!(tokens::create)),
        Route::new(Account,    routes!(tokens::revoke)),

        Route::new(Admin,      routes!(users::list)),
        Route::new(Admin,      routes!(users::create)),
        Route::new(SignedIn,   routes!(users::names::find)),
        Route::new(Admin,      routes!(users::get)),
        Route::new(Admin,      routes!(users::change)),
        Route::new(Admin,      routes!(users::delete)),
        Route::new(Admin,      routes!(users::invitations::list)),
        Route::new(Admin,      routes!(users::invitations::create)),
        Route::new(Admin,      routes!(users::invitations::revoke)),
        Route::new(SignedIn,   routes!(settings::get)),
        Route::new(Admin,      routes!(settings::change)),
        Route::new(Admin,      routes!(audit::list)),

        Route::new(Member,     routes!(jobs::create)),
        Route::new(SignedIn,   routes!(jobs::list)),
        Route::new(JobReader,  routes!(jobs::get)),
        Route::new(JobManager, routes!(jobs::cancel)),
        Route::new(JobReader,  routes!(jobs::frames::frames)),
        Route::new(JobReader,  routes!(jobs::attempts::attempts)),
        Route::new(JobReader,  routes!(jobs::attempts::task_attempts)),
        Route::new(JobReader,  routes!(jobs::logs::log)),
        Route::new(JobManager, routes!(jobs::shares::shares)),
        Route::new(JobOwner,   routes!(jobs::shares::share)),
        Route::new(JobOwner,   routes!(jobs::shares::unshare)),
        Route::new(JobManager, routes!(upload::upload)).unbounded_body(),
        Route::new(JobReader,  routes!(upload::discover)),
        Route::new(JobReader,  routes!(upload::discover_upload)),
        Route::new(JobManager, routes!(upload::offset)).changing(),
        Route::new(JobManager, routes!(upload::patch)).unbounded_body(),
        Route::new(JobManager, routes!(upload::remove)),
        Route::new(JobReader,  routes!(files::list)),
        Route::new(JobReader,  routes!(files::download)),
        Route::new(JobReader,  routes!(files::preview)),
        Route::new(JobReader,  routes!(files::archive)),

        Route::new(SignedIn,   routes!(events::events)),

        Route::new(SignedIn,   routes!(farm::farm)),
        Route::new(SignedIn,   routes!(farm::nodes)),
        Route::new(SignedIn,   routes!(farm::node)),
        Route::new(Admin,      routes!(farm::remove_node)),
        Route::new(Admin,      routes!(tickets::list)),
        Route::new(Admin,      routes!(tickets::create)),
        Route::new(Admin,      routes!(tickets::revoke)),

        Route::new(Public,     routes!(runners::register::register)),
        Route::new(Runner,     routes!(runners::heartbeat::heartbeat)),
        Route::new(Runner,     routes!(runners::tasks::tasks)),
        Route::new(Runner,     routes!(runners::complete::complete)),
        Route::new(Runner,     routes!(runners::files::download)),
        Route::new(Runner,     routes!(runners::upload::upload)).unbounded_body(),
        Route::new(Admin,      routes!(runners::admin::list)),
        Route::new(Admin,      routes!(runners::admin::list_tokens)),
        Route::new(Admin,      routes!(runners::admin::create_token)),
        Route::new(Admin,      routes!(runners::admin::revoke_token)),

        Route::new(SignedIn,   routes!(webhooks::list)),
        Route::new(Member,     routes!(webhooks::create)),
        Route::new(SignedIn,   routes!(webhooks::get)),
        Route::new(Member,     routes!(webhooks::change)),
        Route::new(Member,     routes!(webhooks::delete)),
        Route::new(Member,     routes!(webhooks::test)),
        Route::new(SignedIn,   routes!(webhooks::deliveries)),

        Route::new(Public,     routes!(openapi::document)),
        Route::new(Public,     routes!(openapi::docs)),
        Route::new(Public,     routes!(openapi::docs_file)),
        Route::new(Public,     routes!(health::live)),
        Route::new(Public,     routes!(health::ready)),
        Route::new(Metrics,    routes!(metrics::metrics)),
    ]
}

/// The routes with their guards, and the page for every other address.
pub(crate) fn router(app: App) -> Router {
    let mut router = Router::new();
    for route in table() {
        let rule = Rule {
            app: app.clone(),
            access: route.access,
            changes: route.changes,
        };
        let counted = app.request_metrics.of_route(&route.method, &route.path);
        let guarded = route
            .handler
            .route_layer(middleware::from_fn_with_state(rule, guard))
            .route_layer(middleware::from_fn_with_state(counted, observe));
        router = router.route(&route.path, guarded);
    }
    let layers = ServiceBuilder::new()
        .layer(CatchPanicLayer::custom(|panic| {
            drop::<Box<dyn std::any::Any + Send>>(panic);
            let why = "this node made an error while it answered; its log says more";
            axum::response::IntoResponse::into_response(Problem::new(ProblemKind::Internal, why))
        }))
        .layer(if_missing("x-content-type-options", "nosniff"))
        .layer(if_missing("referrer-policy", "same-origin"))
        .layer(if_missing("cross-origin-resource-policy", "same-origin"))
        .layer(if_missing("cache-control", "no-store"))
        // A better ratio would take longer than the bytes that it saves.
        .layer(
            CompressionLayer::new()
                .quality(CompressionLevel::Fastest)
                .compress_when(SizeAbove::new(COMPRESS_ABOVE_BYTES).and(IsText)),
        );
    router
        .fallback(page::page)
        .method_not_allowed_fallback(page::method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::map_response(as_problem))
        .layer(layers)
        .with_state(app)
}

fn if_missing(name: &'static str, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(
        HeaderName::from_static(name),
        HeaderValue::from_static(value),
    )
}

/// JSON and the page's text are compressed; events and users' files go out as they are.
#[derive(Clone, Copy)]
struct IsText;

impl Predicate for IsText {
    fn should_compress<B>(&self, response: &axum::http::Response<B>) -> bool
    where
        B: axum::body::HttpBody,
    {
        let headers = response.headers();
        let media_type = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .unwrap_or_default();
        let is_file = headers.contains_key(header::CONTENT_DISPOSITION);
        let compresses = matches!(
            media_type,
            "application/json" | "text/html" | "text/css" | "text/javascript" | "image/svg+xml"
        );
        compresses && !is_file
    }
}
