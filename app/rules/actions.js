// Runs an action: the body of a function that the prelude calls with what it shares. `event` is made of what a rule
// sees, and the calls of `api` leave the same traces as a rule's changes, so that both have the same effects.
  'use strict';
  const { user: who, context: login } = parse(stringify({ user, context }));
  const body = login.request.body || {};
  const copy = (value) => (value === undefined ? null : parse(stringify(value)));

  const event = {
    authentication: login.authentication,
    authorization: login.authorization,
    client: { client_id: login.clientID, name: login.clientName, metadata: login.clientMetadata || {} },
    configuration: {},
    connection: {
      id: login.connectionID,
      name: login.connection,
      strategy: login.connectionStrategy,
      metadata: login.connectionMetadata || {},
    },
    request: {
      ip: login.request.ip,
      method: 'POST',
      hostname: login.request.hostname,
      user_agent: login.request.userAgent,
      query: {},
      body,
      geoip: {},
    },
    resource_server: body.audience ? { identifier: body.audience } : undefined,
    secrets,
    stats: { logins_count: (login.stats || {}).loginsCount },
    tenant: { id: login.tenant },
    transaction: {
      protocol: login.protocol,
      requested_scopes: String(body.scope || '').split(' ').filter(Boolean),
      acr_values: [],
      ui_locales: [],
      locale: 'en',
    },
    user: assign({ multifactor: [] }, who, { enrolledFactors: factors.map((type) => ({ type, options: {} })) }),
  };

  const cannot = (what) => () => {
    throw new Error(what + ' is not possible in this flow of this server');
  };
  const claim = (place) => (name, value) => {
    context[place][String(name)] = copy(value);
    return api;
  };
  const change = (kind) => (name, value) => {
    writes[writes.length] = { kind, user_id: who.user_id, patch: { [String(name)]: copy(value) } };
    return api;
  };
  const rescope = (choose) => (scope) => {
    const present = context.accessToken.scope || granted;
    context.accessToken.scope = choose(present.filter((word) => word !== scope), String(scope));
    return api;
  };
  // One factor of these. Demands of several actions hold together; when nothing fulfils them all, the login ends.
  const DEMANDABLE = ['otp', 'recovery-code', 'push-notification', 'phone', 'webauthn-roaming', 'webauthn-platform', 'email'];
  function demand(factors, onlyEnrolled) {
    if (!Array.isArray(factors) || factors.length === 0) throw new TypeError('a factor is an object with a type');
    let names = factors.map((factor) => (factor || {}).type);
    for (const name of names) {
      const isKnown = DEMANDABLE.includes(name) && (onlyEnrolled || (name !== 'email' && name !== 'recovery-code'));
      if (!isKnown) throw new TypeError(`this factor cannot be asked for here: ${name}`);
    }
    const before = context.multifactor || {};
    if (before.factors) names = names.filter((name) => before.factors.includes(name));
    context.multifactor = { provider: 'any', factors: names, onlyEnrolled: onlyEnrolled || Boolean(before.onlyEnrolled) };
    return api;
  }
  const cache = {
    get: (key) => (kept['cache:' + key] === undefined ? undefined : { value: kept['cache:' + key] }),
    set: (key, value) => { kept['cache:' + key] = String(value); return { type: 'success' }; },
    delete: (key) => { delete kept['cache:' + key]; return { type: 'success' }; },
  };

  const api = {
    access: { deny: (reason) => { end('denied', { name: 'Error', message: String(reason || '') }); return api; } },
    accessToken: {
      setCustomClaim: claim('accessToken'),
      addScope: rescope((others, scope) => [...others, scope]),
      removeScope: rescope((others) => others),
    },
    idToken: { setCustomClaim: claim('idToken') },
    multifactor: {
      enable(provider, options) {
        const wanted = { provider, allowRememberBrowser: Boolean((options || {}).allowRememberBrowser) };
        // What an earlier action demanded of the factor stays, unless this one waives or names what cannot be.
        const before = context.multifactor;
        if (provider === 'any' && before && before.factors) {
          wanted.factors = before.factors;
          wanted.onlyEnrolled = before.onlyEnrolled;
        }
        context.multifactor = wanted;
        return api;
      },
    },
    authentication: {
      challengeWith: (factor, options) => demand([factor, ...((options || {}).additionalFactors || [])], true),
      challengeWithAny: (factors) => demand(factors, true),
      enrollWith: (factor, options) => demand([factor, ...((options || {}).additionalFactors || [])], false),
      enrollWithAny: (factors) => demand(factors, false),
    },
    user: { setAppMetadata: change('app_metadata'), setUserMetadata: change('user_metadata') },
    cache,
    rules: { wasExecuted: (id) => ran.includes(String(id)) },
    redirect: {
      canRedirect: () => false,
      sendUserTo: cannot('a redirect'),
      encodeToken: cannot('a redirect'),
      validateToken: cannot('a redirect'),
    },
  };
  for (const [part, names] of Object.entries({
    authentication: 'recordMethod setPrimaryUser',
    refreshToken: 'revoke setExpiresAt setIdleExpiresAt evictMetadata setMetadata',
    session: 'revoke setExpiresAt setIdleExpiresAt setMetadata',
    samlResponse: 'setAttribute',
    transaction: 'setMetadata',
  })) {
    api[part] = api[part] || {};
    for (const name of names.split(' ')) api[part][name] = cannot(`api.${part}.${name}`);
  }

  const module = { exports: {} };
  let run;
  try {
    Function('module', 'exports', source + '\n')(module, module.exports);
    run = module.exports.onExecutePostLogin;
    if (typeof run !== 'function') throw new SyntaxError('an action exports the function onExecutePostLogin');
  } catch (error) {
    return end('failed', { why: 'not_compiled', message: told(error).message });
  }
  if (is_check) return end('passed');
  try {
    Promise.resolve(run(event, api)).then(() => end('passed'), threw);
  } catch (error) {
    threw(error);
  }
