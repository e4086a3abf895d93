//! The route table: every route of the API, and who may call it.
//!
//! A route comes into being only through [`Route::new`], which takes its [`Access`]; the guard
//! stands before each handler. The tests go through the same table.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware;
use axum::routing::{MethodRouter, delete, get, post};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::Predicate;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::access::{Access, Rule, guard};
use crate::app::App;
use crate::problem::{Problem, ProblemKind};
use crate::{auth, events, farm, files, health, jobs, page, upload};

/// For JSON bodies; a frame list of thousands of single frames fits.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// One line of the table.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    handler: MethodRouter<App>,
}

impl Route {
    fn new(method: Method, path: &'static str, access: Access, handler: MethodRouter<App>) -> Self {
        Self {
            method,
            path,
            access,
            handler,
        }
    }
}

#[rustfmt::skip]
pub(crate) fn table() -> Vec<Route> {
    use Access::{Admin, JobOwner, JobReader, Member, Public, SignedIn};
    const GET: Method = Method::GET;
    const POST: Method = Method::POST;
    const DELETE: Method = Method::DELETE;
    let upload = post(upload::upload).layer(DefaultBodyLimit::disable());
    vec![
        Route::new(GET,    "/api/auth/providers",    Public,    get(auth::providers)),
        Route::new(POST,   "/api/auth/login",        Public,    post(auth::login)),
        Route::new(POST,   "/api/auth/logout",       SignedIn,  post(auth::logout)),
        Route::new(GET,    "/api/auth/me",           SignedIn,  get(auth::me)),
        Route::new(POST,   "/api/jobs",              Member,    post(jobs::create)),
        Route::new(GET,    "/api/jobs",              SignedIn,  get(jobs::list)),
        Route::new(GET,    "/api/jobs/{id}",         JobReader, get(jobs::get)),
        Route::new(DELETE, "/api/jobs/{id}",         JobOwner,  delete(jobs::cancel)),
        Route::new(POST,   "/api/jobs/{id}/upload",  JobOwner,  upload),
        Route::new(GET,    "/api/jobs/{id}/files",   JobReader, get(files::list)),
        Route::new(GET,    "/api/jobs/{id}/files/{file}/download", JobReader, get(files::download)),
        Route::new(GET,    "/api/events",            SignedIn,  get(events::events)),
        Route::new(GET,    "/api/farm",              SignedIn,  get(farm::farm)),
        Route::new(GET,    "/api/nodes",             SignedIn,  get(farm::nodes)),
        Route::new(POST,   "/api/tickets",           Admin,     post(farm::make_ticket)),
        Route::new(GET,    "/livez",                 Public,    get(health::live)),
        Route::new(GET,    "/readyz",                Public,    get(health::ready)),
    ]
}

/// The routes with their guards, and the page for every other address.
pub(crate) fn router(app: App) -> Router {
    let mut router = Router::new();
    for route in table() {
        // To look is not enough for a route that changes something.
        assert!(
            route.method.is_safe() || route.access != Access::JobReader,
            "{} {} changes a job and needs JobOwner",
            route.method,
            route.path
        );
        let rule = Rule {
            app: app.clone(),
            access: route.access,
        };
        let guarded = route
            .handler
            .route_layer(middleware::from_fn_with_state(rule, guard));
        router = router.route(route.path, guarded);
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
        .layer(CompressionLayer::new().compress_when(IsText));
    router
        .fallback(page::page)
        .method_not_allowed_fallback(page::method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
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
