// An OpenID provider for tests, on loopback: client credentials in, JWT access tokens out.
//
//   node provider.mjs PORT STATE_FILE [CLIENTS_FILE]
//
// Once it listens it writes STATE_FILE: {issuer, token_endpoint, jwks_uri, clients: {id: secret}}. Signing keys and
// secrets are made at each start. A token's audience is `sluice`; `resource=urn:NAME` in the request asks for another
// (so that tests have a good token for somebody else). Who may ask, for how long, signed how, with which claims:
// clients.json.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';

import Provider from 'oidc-provider';

const [port, stateFile, clientsFile = new URL('clients.json', import.meta.url)] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const lifetimeDefaultS = 3600;

const clients = new Map(
  JSON.parse(readFileSync(clientsFile, 'utf8')).map((client) => [
    client.id,
    { ...client, secret: randomBytes(24).toString('base64url') },
  ]),
);

function signingKey(type, options, alg) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: randomBytes(8).toString('hex') };
}

const provider = new Provider(issuer, {
  clients: [...clients.values()].map(({ id, secret }) => ({
    client_id: id,
    client_secret: secret,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  })),
  jwks: { keys: [signingKey('rsa', { modulusLength: 2048 }, 'RS256'), signingKey('ec', { namedCurve: 'P-256' }, 'ES256')] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  ttl: { ClientCredentials: (_ctx, token) => token.resourceServer.accessTokenTTL },
  // Kafka's clients send a scope in their own right; it grants nothing here.
  scopes: ['kafka'],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      // Kafka's clients cannot name a resource.
      defaultResource: () => 'urn:sluice',
      getResourceServerInfo: (_ctx, resource, client) => {
        const { lifetime_s: lifetimeS = lifetimeDefaultS, alg = 'RS256' } = clients.get(client.clientId);
        return {
          audience: resource.slice('urn:'.length),
          scope: 'kafka',
          accessTokenTTL: lifetimeS,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg } },
        };
      },
    },
  },
  extraTokenClaims: (_ctx, token) => clients.get(token.clientId)?.claims,
});

provider.listen(Number(port), '127.0.0.1', () => {
  const state = {
    issuer,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/jwks`,
    clients: Object.fromEntries([...clients.values()].map(({ id, secret }) => [id, secret])),
  };
  // Whoever waits for the file must find all of it.
  writeFileSync(`${stateFile}.new`, JSON.stringify(state), { mode: 0o600 });
  renameSync(`${stateFile}.new`, stateFile);
});
