//! A small OpenID Connect issuer on loopback, which can be made to say anything: for what a
//! certified provider (see the testnet) would never do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use oauth2::url::Url;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::{OidcConfig, ProviderConfig, ProviderKind, ProviderUrl};

pub(super) const CLIENT_ID: &str = "jiggablend";
const CLIENT_SECRET: &str = "the-farms-own-secret";
const KEY_ID: &str = "first";

pub(super) struct TestProvider {
    pub(super) issuer: String,
    state: Shared,
    serving: JoinHandle<()>,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Inner>>);

struct Inner {
    issuer: String,
    key: EncodingKey,
    /// By code: the challenge of PKCE and the claims of the token to come.
    codes: HashMap<String, (String, Value)>,
    /// Calls of the token endpoint.
    exchanges: usize,
}

impl TestProvider {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let key = rcgen::KeyPair::generate().unwrap();
        let state = Shared(Arc::new(Mutex::new(Inner {
            issuer: issuer.clone(),
            key: EncodingKey::from_ec_der(key.serialized_der()),
            codes: HashMap::new(),
            exchanges: 0,
        })));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(document))
            .route("/jwks", get(keys))
            .route("/token", post(token))
            .with_state(state.clone());
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            issuer,
            state,
            serving,
        }
    }

    pub(super) fn config(&self, id: &str, redirect_to: &str) -> ProviderConfig {
        let identity_provider = if id == "oidc" { &self.issuer } else { id };
        let redirect_url = format!("{redirect_to}/api/auth/{id}/callback");
        ProviderConfig {
            id: id.to_owned(),
            name: "Test".to_owned(),
            client_id: CLIENT_ID.to_owned(),
            client_secret: Some(CLIENT_SECRET.to_owned()),
            redirect_url: ProviderUrl::parse(&redirect_url).unwrap(),
            kind: ProviderKind::Oidc(OidcConfig {
                issuer: ProviderUrl::parse(&self.issuer).unwrap(),
                identity_provider: identity_provider.to_owned(),
                auth_url: None,
                token_url: None,
                jwks_url: None,
            }),
        }
    }

    /// Signs somebody in who came from `address`; answers the code. `change` may spoil the claims.
    pub(super) fn approve(
        &self,
        address: &Url,
        subject: &str,
        change: impl FnOnce(&mut Value),
    ) -> String {
        let asked: HashMap<String, String> = address.query_pairs().into_owned().collect();
        assert_eq!(asked["response_type"], "code");
        assert_eq!(asked["code_challenge_method"], "S256");
        let mut inner = self.state.0.lock().unwrap();
        let mut claims = json!({
            "iss": inner.issuer,
            "aud": CLIENT_ID,
            "sub": subject,
            "exp": jsonwebtoken::get_current_timestamp() + 300,
            "nonce": asked["nonce"],
            "name": "Grace",
            "email": format!("{subject}@example.org"),
            "email_verified": true,
        });
        change(&mut claims);
        let code = crate::access::new_secret();
        let challenge = asked["code_challenge"].clone();
        inner.codes.insert(code.clone(), (challenge, claims));
        code
    }

    pub(super) fn exchanges(&self) -> usize {
        self.state.0.lock().unwrap().exchanges
    }
}

impl Drop for TestProvider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn document(State(state): State<Shared>) -> Json<Value> {
    let issuer = state.0.lock().unwrap().issuer.clone();
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/auth"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
    }))
}

async fn keys(State(state): State<Shared>) -> Json<Value> {
    let inner = state.0.lock().unwrap();
    let mut key = Jwk::from_encoding_key(&inner.key, Algorithm::ES256).unwrap();
    key.common.key_id = Some(KEY_ID.to_owned());
    Json(json!({"keys": [{"kty": "unheard-of"}, key]}))
}

async fn token(
    State(state): State<Shared>,
    Form(asked): Form<HashMap<String, String>>,
) -> Response {
    let mut inner = state.0.lock().unwrap();
    inner.exchanges += 1;
    let refused = || {
        (
            StatusCode::BAD_REQUEST,
            Json(json!({"error": "invalid_grant"})),
        )
    };
    let Some((challenge, claims)) = inner.codes.remove(&asked["code"]) else {
        return refused().into_response();
    };
    let verifier = oauth2::PkceCodeVerifier::new(asked["code_verifier"].clone());
    let of_verifier = oauth2::PkceCodeChallenge::from_code_verifier_sha256(&verifier);
    if of_verifier.as_str() != challenge {
        return refused().into_response();
    }
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(KEY_ID.to_owned());
    let id_token = encode(&header, &claims, &inner.key).unwrap();
    let answer = json!({"access_token": "x", "token_type": "Bearer", "id_token": id_token});
    Json(answer).into_response()
}
