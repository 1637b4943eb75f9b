// An OpenID provider by others: oidc-provider, with jose for tokens that a provider would not hand out.
// Arguments: folder of modules, port, id of its signing key. Writes its port. Beside the provider's own paths there is
// POST /test/mint {header, claims, key}: a token with that header and those claims, signed with the provider's key
// ("own"), with another one ("other"), with its public key as a secret ("public"), or not at all ("none").
import { createHmac, generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";
import path from "node:path";

// Nothing but the port goes to the output: what the provider has to say about itself goes beside it.
const say = console.log;
for (const level of ["log", "info", "warn"]) console[level] = console.error;

const [modules, port, kid] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(path.join(modules, name)));
const { default: Provider } = await load("oidc-provider/lib/index.js");
const { SignJWT, exportSPKI } = await load("jose/dist/webapi/index.js");

const issuer = `http://127.0.0.1:${port}`;
const own = generateKeyPairSync("rsa", { modulusLength: 2048 });
const other = generateKeyPairSync("rsa", { modulusLength: 2048 });
const jwk = { ...own.privateKey.export({ format: "jwk" }), kid, use: "sig", alg: "RS256" };

const provider = new Provider(issuer, {
  jwks: { keys: [jwk] },
  clients: [{
    client_id: "bulkhead-cli", token_endpoint_auth_method: "none", application_type: "native",
    grant_types: ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
    response_types: ["code"], redirect_uris: ["http://127.0.0.1/callback", "http://127.0.0.1/api/integration/oauth/callback"],
  }],
  cookies: { keys: ["a key for tests"] },
  pkce: { required: () => true },
  ttl: { AccessToken: 20 },
  features: {
    deviceFlow: { enabled: true },
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => "urn:bulkhead",
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({ scope: "openid profile offline_access", audience: "bulkhead", accessTokenFormat: "jwt", accessTokenTTL: 20, jwt: { sign: { alg: "RS256" } } }),
    },
  },
  issueRefreshToken: async () => true,
  extraTokenClaims: (ctx, token) => ({ preferred_username: token.accountId, realm_access: { roles: ["team-admins"] } }),
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
});

const base64 = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

async function mint({ header, claims, key }) {
  if (key === "own" || key === "other") {
    return new SignJWT(claims).setProtectedHeader(header).sign((key === "own" ? own : other).privateKey);
  }
  const message = `${base64(header)}.${base64(claims)}`;
  if (key === "none") return `${message}.`;
  const secret = await exportSPKI(own.publicKey);
  return `${message}.${createHmac("sha256", secret).update(message).digest("base64url")}`;
}

const handle = provider.callback();
const server = createServer((request, response) => {
  if (request.url !== "/test/mint") return handle(request, response);
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", async () => {
    try {
      response.end(await mint(JSON.parse(Buffer.concat(chunks))));
    } catch (error) {
      response.writeHead(500).end(String(error));
    }
  });
});
server.listen(Number(port), "127.0.0.1", () => say(server.address().port));
