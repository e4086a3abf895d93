// A real OAuth 2 and OpenID Connect provider on loopback (oidc-provider, which is certified):
// it insists on PKCE with S256, signs its tokens and lets each code be used once.
//
//   node provider.mjs REDIRECT_URI...
//
// Prints its issuer's address as one line, and ends when its standard input does. Its sign-in
// form takes any name; what the name says decides what is known of the account:
//   NAME             e-mail address NAME@example.org, verified
//   NAME-unverified  the same address, and nobody has verified it
// Beside the standard endpoints, /discord/users/@me answers in the shape of Discord's API.

import { createServer } from "node:http";
import Provider from "oidc-provider";

const CLIENT_ID = "jiggablend";
const CLIENT_SECRET = "a-secret-of-the-test-provider";

function claimsOf(name) {
  const verified = !name.endsWith("-unverified");
  const email = `${name.replace(/-unverified$/, "")}@example.org`;
  return { sub: `subject-of-${name}`, email, email_verified: verified, name: `${name} of the provider` };
}

const server = createServer();
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [{
    client_id: CLIENT_ID,
    client_secret: CLIENT_SECRET,
    redirect_uris: process.argv.slice(2),
    response_types: ["code"],
    grant_types: ["authorization_code"],
    token_endpoint_auth_method: "client_secret_basic",
  }, {
    client_id: `${CLIENT_ID}-post`,
    client_secret: CLIENT_SECRET,
    redirect_uris: process.argv.slice(2),
    response_types: ["code"],
    grant_types: ["authorization_code"],
    token_endpoint_auth_method: "client_secret_post",
  }],
  pkce: { required: () => true },
  scopes: ["openid", "email", "profile", "identify"],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
  // Google puts these into the ID token as well.
  conformIdTokenClaims: false,
  findAccount: (_context, name) => ({ accountId: name, claims: () => claimsOf(name) }),
});

provider.use(async (context, next) => {
  if (context.path !== "/discord/users/@me") return next();
  const bearer = (context.get("authorization").match(/^Bearer (.+)$/i) ?? [])[1];
  const token = bearer && (await provider.AccessToken.find(bearer));
  if (!token || !token.scopes.has("identify")) {
    context.status = 401;
    context.body = { message: "401: Unauthorized", code: 0 };
    return;
  }
  const claims = claimsOf(token.accountId);
  context.body = {
    id: claims.sub,
    username: token.accountId,
    global_name: claims.name,
    ...(token.scopes.has("email") ? { email: claims.email, verified: claims.email_verified } : {}),
  };
});

server.on("request", provider.callback());
console.log(issuer);
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
