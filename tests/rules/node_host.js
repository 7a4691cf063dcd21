// Runs the corpus under Node, with Node's own modules, and prints how each case ended: what Belay is compared with.
'use strict';

const corpus = require('./corpus.js');
const [, , service] = process.argv;

const LOGIN = {
  user: {
    user_id: 'auth0|0123456789abcdef01234567', email: 'ana@example.com', email_verified: true, name: 'Ana',
    nickname: 'ana', user_metadata: {}, app_metadata: {}, created_at: '2026-01-15T08:00:00.000Z',
    updated_at: '2026-11-01T08:00:00.000Z', identities: [{ provider: 'auth0', connection: 'staff', isSocial: false }],
  },
  context: {
    clientID: 'till', clientName: 'Till', clientMetadata: {}, connection: 'staff', protocol: 'oauth2-password',
    stats: { loginsCount: 1 }, accessToken: {}, idToken: {}, authorization: { roles: [] },
    riskAssessment: { confidence: 'neutral' }, authentication: { methods: [{ name: 'pwd', timestamp: 1 }] },
    request: { ip: '192.0.2.1', query: {}, body: { scope: 'openid' }, geoip: {} },
  },
};
const CONFIGURATION = { OFFICE: '10.0.0.0/8,192.0.2.0/26', COUNTRIES: 'XX;YY', KEY: 'k-é', TOKEN: 't', SERVICE: service };

class UnauthorizedError extends Error {
  constructor(message) {
    super(message);
    this.name = 'UnauthorizedError';
  }
}

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

function merged(base, more) {
  const found = { ...base };
  for (const [name, value] of Object.entries(more || {})) {
    found[name] = isObject(value) && isObject(base[name]) ? merged(base[name], value) : value;
  }
  return found;
}

const copy = (value) => JSON.parse(JSON.stringify(value));

function run(rule, seen) {
  return new Promise((resolve) => {
    let { user, context } = copy(seen);
    const writes = [];
    const told = (error) => ({
      name: String((error && error.name) || 'Error'),
      message: String(error && error.message !== undefined ? error.message : error),
    });
    const threw = (error) => resolve({ kind: 'threw', ...told(error) });
    const change = (kind) => (id, patch, done) => {
      writes.push({ kind, user_id: id, patch: copy(patch) });
      if (done) return void setImmediate(done, null, user);
      return Promise.resolve(user);
    };
    Object.assign(globalThis, {
      configuration: CONFIGURATION,
      UnauthorizedError,
      auth0: { users: { updateAppMetadata: change('app_metadata'), updateUserMetadata: change('user_metadata') } },
    });
    const callback = (error, newUser, newContext) => {
      if (error) return resolve({ kind: 'denied', ...told(error) });
      user = newUser || user;
      context = newContext || context;
      resolve({ kind: 'passed', ...copy({ user, context, writes }) });
    };
    try {
      const result = rule(user, context, callback);
      if (result && result.then) result.then(() => {}, threw);
    } catch (error) {
      threw(error);
    }
  });
}

async function main() {
  console.log = console.error = () => {};
  globalThis.require = require;
  const found = [];
  for (const [name, [rule, ...cases]] of Object.entries(corpus)) {
    const written = rule.toString();
    const fresh = (0, eval)(`(${written})`); // as sloppy as Auth0 ran it
    for (const one of cases) {
      const seen = copy({ user: merged(LOGIN.user, one.user), context: merged(LOGIN.context, one.context) });
      found.push({ name, script: written, seen, configuration: CONFIGURATION, ended: await run(fresh, seen) });
    }
  }
  process.stdout.write(JSON.stringify(found));
}

main();
