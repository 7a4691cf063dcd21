// Rules as teams have them, each with logins to run it for. Node runs them as they stand; Belay runs their text.
// A case is what differs from the login of `node_host.js`.


const rules = {
  'second factor for everybody': [
    function (user, context, callback) {
      context.multifactor = { provider: 'any', allowRememberBrowser: false };
      callback(null, user, context);
    },
    {},
  ],
  'second factor for administrators': [
    function (user, context, callback) {
      var roles = (context.authorization || {}).roles || [];
      if (roles.indexOf('admin') !== -1) {
        context.multifactor = { provider: 'guardian', allowRememberBrowser: false };
      }
      return callback(null, user, context);
    },
    {}, { context: { authorization: { roles: ['admin', 'staff'] } } }, { context: { authorization: null } },
  ],
  'second factor outside the office': [
    function (user, context, callback) {
      const office = configuration.OFFICE.split(',');
      const toNumber = (ip) => ip.split('.').reduce((sum, part) => sum * 256 + parseInt(part, 10), 0);
      const isInside = office.some((block) => {
        const [start, bits] = block.split('/');
        const size = Math.pow(2, 32 - Number(bits));
        return Math.floor(toNumber(start) / size) === Math.floor(toNumber(context.request.ip) / size);
      });
      if (!isInside) context.multifactor = { provider: 'any' };
      callback(null, user, context);
    },
    {}, { context: { request: { ip: '10.1.200.3' } } }, { context: { request: { ip: '192.0.2.77' } } },
  ],
  'second factor where a scope asks for it': [
    function (user, context, callback) {
      var body = context.request.body || {};
      var asked = (context.request.query.scope || body.scope || '').split(' ');
      var sensitive = ['transfer:funds', 'delete:account'];
      if (asked.some(function (scope) { return sensitive.includes(scope); })) {
        context.multifactor = { provider: 'any', allowRememberBrowser: false };
      }
      callback(null, user, context);
    },
    {}, { context: { request: { body: { scope: 'openid transfer:funds' } } } },
    { context: { request: { body: null } } }, { context: { request: { query: { scope: 'delete:account' } } } },
  ],
  'second factor unless the application is exempt': [
    function (user, context, callback) {
      const exempt = ['kiosk', 'till'];
      if (!exempt.includes(context.clientID)) context.multifactor = { provider: 'google-authenticator' };
      callback(null, user, context);
    },
    {}, { context: { clientID: 'portal' } },
  ],
  'second factor by the metadata of the application': [
    function (user, context, callback) {
      context.clientMetadata = context.clientMetadata || {};
      if (context.clientMetadata.require_mfa === 'true') context.multifactor = { provider: 'any' };
      callback(null, user, context);
    },
    {}, { context: { clientMetadata: { require_mfa: 'true' } } }, { context: { clientMetadata: null } },
  ],
  'second factor by the metadata of the person': [
    function (user, context, callback) {
      if (user.user_metadata && user.user_metadata.use_mfa) context.multifactor = { provider: 'any' };
      callback(null, user, context);
    },
    {}, { user: { user_metadata: { use_mfa: true } } }, { user: { user_metadata: null } },
  ],
  'second factor once it is enrolled': [
    function (user, context, callback) {
      if (user.multifactor && user.multifactor.length) context.multifactor = { provider: 'any' };
      callback(null, user, context);
    },
    {}, { user: { multifactor: ['guardian'] } },
  ],
  'no second factor for machines that refresh': [
    function (user, context, callback) {
      if (context.protocol === 'oauth2-refresh-token') {
        return callback(null, user, context);
      }
      context.multifactor = { provider: 'any' };
      return callback(null, user, context);
    },
    {}, { context: { protocol: 'oauth2-refresh-token' } },
  ],
  'no second factor from a known network': [
    function (user, context, callback) {
      if (/^192\.0\.2\./.test(context.request.ip)) context.multifactor = { provider: 'none' };
      callback(null, user, context);
    },
    {}, { context: { request: { ip: '198.51.100.4' } } },
  ],
  'second factor only if none was proven': [
    function (user, context, callback) {
      const done = (context.authentication ? context.authentication.methods : []).find(({ name }) => name === 'mfa');
      if (!done) context.multifactor = { provider: 'any', allowRememberBrowser: false };
      callback(null, user, context);
    },
    {}, { context: { authentication: { methods: [{ name: 'pwd', timestamp: 1 }, { name: 'mfa', timestamp: 2 }] } } },
    { context: { authentication: undefined } },
  ],
  'second factor when risk is not low': [
    function (user, context, callback) {
      const { riskAssessment } = context;
      const isSure = riskAssessment && ['high', 'neutral'].includes(riskAssessment.confidence);
      if (!isSure) context.multifactor = { provider: 'any' };
      callback(null, user, context);
    },
    {}, { context: { riskAssessment: { confidence: 'low' } } }, { context: { riskAssessment: null } },
  ],
  'roles by domain': [
    function (user, context, callback) {
      user.app_metadata = user.app_metadata || {};
      const addRoles = (who) => (/@example\.com$/.test(who.email || '') ? ['staff'] : ['guest']);
      user.app_metadata.roles = addRoles(user);
      auth0.users.updateAppMetadata(user.user_id, user.app_metadata)
        .then(function () {
          context.idToken['https://example.com/roles'] = user.app_metadata.roles;
          callback(null, user, context);
        })
        .catch(function (err) {
          callback(err);
        });
    },
    {}, { user: { email: 'ana@example.org' } }, { user: { email: undefined, app_metadata: null } },
  ],
  'roles as claims': [
    function (user, context, callback) {
      const namespace = 'https://example.com/';
      const assigned = context.authorization.roles;
      context.idToken[`${namespace}roles`] = assigned;
      context.accessToken[`${namespace}roles`] = [...assigned].sort().reverse();
      callback(null, user, context);
    },
    { context: { authorization: { roles: ['b', 'a', 'ä', 'B'] } } },
  ],
  'groups of a directory as one claim': [
    function (user, context, callback) {
      const groups = (user.groups || []).map((g) => g.split(',')[0].replace(/^CN=/i, '')).filter((g) => g.length > 2);
      context.idToken['https://example.com/groups'] = Array.from(new Set(groups)).join(';');
      callback(null, user, context);
    },
    {}, { user: { groups: ['CN=Till,OU=x', 'cn=Till,OU=y', 'CN=ab', 'CN=Größe,DC=z'] } },
  ],
  'profile as claims': [
    function (user, context, callback) {
      Object.assign(context.idToken, {
        'https://example.com/full_name': [user.given_name, user.family_name].filter(Boolean).join(' ') || null,
        'https://example.com/initials': (user.name || '').split(/\s+/).map((w) => w.charAt(0).toUpperCase()).join(''),
        'https://example.com/since': new Date(user.created_at).toISOString().slice(0, 10),
      });
      callback(null, user, context);
    },
    {}, { user: { name: 'élodie van der berg', given_name: 'Élodie', family_name: 'van der Berg' } },
  ],
  'metadata as claims': [
    function (user, context, callback) {
      const { plan = 'free', seats, ...rest } = user.app_metadata || {};
      context.accessToken['https://example.com/plan'] = { plan, seats: seats ?? 1, more: Object.keys(rest).length };
      callback(null, user, context);
    },
    {}, { user: { app_metadata: { plan: 'gold', seats: 0, a: 1, b: { c: 2 } } } }, { user: { app_metadata: null } },
  ],
  'country and language as claims': [
    function (user, context, callback) {
      if (context.request.geoip) {
        context.idToken['https://example.com/country'] = context.request.geoip.country_code || 'XX';
        context.idToken['https://example.com/zone'] = context.request.geoip.time_zone;
      }
      context.idToken['https://example.com/lang'] = (user.user_metadata.lang || 'en-GB').toLowerCase().split('-')[0];
      callback(null, user, context);
    },
    {}, { context: { request: { geoip: { country_code: 'DE', time_zone: 'Europe/Berlin' } } } },
    { context: { request: { geoip: null } }, user: { user_metadata: { lang: 'PT-br' } } },
  ],
  'scopes by plan': [
    function (user, context, callback) {
      const scopes = { free: ['read:things'], gold: ['read:things', 'write:things'] };
      const plan = (user.app_metadata && user.app_metadata.plan) || 'free';
      context.accessToken.scope = (context.accessToken.scope || []).concat(scopes[plan] || []);
      callback(null, user, context);
    },
    {}, { user: { app_metadata: { plan: 'gold' } } }, { user: { app_metadata: { plan: 'other' } } },
  ],
  'scopes cut to what the person may': [
    function (user, context, callback) {
      const asked = ((context.request.body && context.request.body.scope) || '').split(' ');
      const permitted = new Map(Object.entries(user.app_metadata.permissions || {}));
      context.accessToken.scope = asked.filter((scope) => !scope.includes(':') || permitted.get(scope) === true);
      callback(null, user, context);
    },
    {}, { user: { app_metadata: { permissions: { 'read:things': true, 'write:things': false } } },
      context: { request: { body: { scope: 'openid read:things write:things' } } } },
  ],
  'only a list of people': [
    function (user, context, callback) {
      const allowed = ['bob@example.com', 'ana@example.com'];
      const may = user.email && user.email_verified && allowed.some((email) => email === user.email.toLowerCase());
      if (!may) return callback(new UnauthorizedError('Access denied.'));
      callback(null, user, context);
    },
    {}, { user: { email: 'BOB@example.com' } }, { user: { email: 'eve@example.com' } },
    { user: { email_verified: false } },
  ],
  'only a domain': [
    function (user, context, callback) {
      const domains = ['example.com', 'example.org'];
      const parts = (user.email || '').split('@');
      const isAllowed = domains.some((domain) => parts[parts.length - 1].toLowerCase() === domain);
      if (isAllowed) return callback(null, user, context);
      return callback('Access denied.');
    },
    {}, { user: { email: 'x@y@EXAMPLE.ORG' } }, { user: { email: 'x@example.com.evil.net' } }, { user: { email: '' } },
  ],
  'not these domains': [
    function (user, context, callback) {
      const banned = /@(mailinator|example-throwaway)\.(com|net)$/i;
      if (banned.test(user.email)) callback(new Error(`The domain ${user.email.match(banned)[1]} is not welcome`));
      else callback(null, user, context);
    },
    {}, { user: { email: 'x@Mailinator.net' } },
  ],
  'verified addresses only': [
    function emailVerified(user, context, callback) {
      if (!user.email || !user.email_verified) {
        return callback(new UnauthorizedError('Please verify your email before logging in.'));
      } else {
        return callback(null, user, context);
      }
    },
    {}, { user: { email_verified: false } }, { user: { email: undefined } },
  ],
  'not at weekends': [
    function (user, context, callback) {
      if (context.clientName === 'Till') {
        const d = new Date(context.request.at).getUTCDay();
        if (d === 0 || d === 6) {
          return callback(new UnauthorizedError('This app is available during the week'));
        }
      }
      callback(null, user, context);
    },
    { context: { request: { at: '2026-11-25T10:00:00Z' } } }, { context: { request: { at: '2026-11-28T23:59:59Z' } } },
    { context: { clientName: 'Other', request: { at: '2026-11-29T00:00:00Z' } } },
  ],
  'office hours': [
    function (user, context, callback) {
      var now = new Date(Date.parse(context.request.at));
      var minutes = now.getUTCHours() * 60 + now.getUTCMinutes();
      if (minutes < 7 * 60 + 30 || minutes >= 19 * 60) return callback(new Error('Closed at ' + now.toISOString()));
      callback(null, user, context);
    },
    { context: { request: { at: '2026-11-25T07:30:00Z' } } }, { context: { request: { at: '2026-11-25T19:00:00+00:00' } } },
    { context: { request: { at: 'Wed, 25 Nov 2026 03:00:00 GMT' } } },
  ],
  'not these countries': [
    function (user, context, callback) {
      const forbidden = configuration.COUNTRIES.split(';');
      const country = context.request.geoip && context.request.geoip.country_code;
      if (forbidden.includes(country)) return callback(new UnauthorizedError(`Not from ${country}`));
      callback(null, user, context);
    },
    {}, { context: { request: { geoip: { country_code: 'YY' } } } },
  ],
  'only these addresses': [
    function (user, context, callback) {
      const whitelist = ['192.0.2.1', '2001:db8::1'];
      if (!whitelist.some((ip) => context.request.ip === ip)) {
        return callback(new Error('Access denied from this IP address.'));
      }
      return callback(null, user, context);
    },
    {}, { context: { request: { ip: '203.0.113.9' } } },
  ],
  'roles that an application wants': [
    function (user, context, callback) {
      const wanted = JSON.parse(context.clientMetadata.required_roles || '[]');
      const has = new Set(context.authorization.roles);
      const missing = wanted.filter((role) => !has.has(role));
      if (missing.length) return callback(new UnauthorizedError('Missing roles: ' + missing.join(', ')));
      callback(null, user, context);
    },
    {}, { context: { clientMetadata: { required_roles: '["staff","till"]' }, authorization: { roles: ['till'] } } },
    { context: { clientMetadata: { required_roles: '[' } } },
  ],
  'people by connection': [
    function (user, context, callback) {
      switch (context.connection) {
        case 'guests':
          return callback(new UnauthorizedError('Guests use the other door'));
        case 'staff':
          user.is_staff = true;
        // falls through
        default:
          return callback(null, user, context);
      }
    },
    {}, { context: { connection: 'guests' } }, { context: { connection: 'partners' } },
  ],
  'block the inactive': [
    function (user, context, callback) {
      const days = (Date.parse('2026-11-25T00:00:00Z') - Date.parse(user.updated_at)) / 864e5;
      if (days > 90) return callback(new Error(`Inactive for ${Math.floor(days)} days`));
      callback(null, user, context);
    },
    {}, { user: { updated_at: '2026-01-01T12:00:00.000Z' } }, { user: { updated_at: 'never' } },
  ],
  'old passwords': [
    function (user, context, callback) {
      function daysSince(date) {
        return Math.round((new Date('2026-11-25') - new Date(date)) / (1000 * 60 * 60 * 24));
      }
      var last = user.last_password_reset || user.created_at;
      if (daysSince(last) > 30) return callback(new UnauthorizedError('please change your password'));
      callback(null, user, context);
    },
    {}, { user: { last_password_reset: '2026-11-20T00:00:00Z' } },
  ],
  'first login only': [
    function (user, context, callback) {
      const count = context.stats && context.stats.loginsCount ? context.stats.loginsCount : 0;
      if (count > 1) return callback(null, user, context);
      user.user_metadata = Object.assign({}, user.user_metadata, { welcomed: true });
      auth0.users.updateUserMetadata(user.user_id, user.user_metadata)
        .then(() => callback(null, user, context))
        .catch(callback);
    },
    {}, { context: { stats: { loginsCount: 2 } } }, { context: { stats: null } },
  ],
  'signup in two callbacks': [
    function (user, context, callback) {
      user.app_metadata = user.app_metadata || {};
      if (user.app_metadata.signed_up) return callback(null, user, context);
      user.app_metadata.signed_up = true;
      auth0.users.updateAppMetadata(user.user_id, user.app_metadata, function (err) {
        if (err) return callback(err);
        context.idToken['https://example.com/is_new'] = true;
        callback(null, user, context);
      });
    },
    {}, { user: { app_metadata: { signed_up: true } } },
  ],
  'gravatar': [
    function (user, context, callback) {
      const crypto = require('crypto');
      const hash = crypto.createHash('md5').update((user.email || '').trim().toLowerCase()).digest('hex');
      context.idToken['https://example.com/picture'] = `https://s.gravatar.com/avatar/${hash}?s=80`;
      callback(null, user, context);
    },
    {}, { user: { email: '  Élodie@Example.com ' } },
  ],
  'a signed reference': [
    function (user, context, callback) {
      const crypto = require('crypto');
      const payload = Buffer.from(JSON.stringify({ sub: user.user_id, at: 1700000000 })).toString('base64');
      const mac = crypto.createHmac('sha256', configuration.KEY).update(payload).digest('base64');
      context.idToken['https://example.com/ref'] = payload + '.' + mac.replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
      callback(null, user, context);
    },
    {}, { user: { user_id: 'auth0|ünïcode-😀' } },
  ],
  'a digest for support': [
    function (user, context, callback) {
      const { createHash } = require('crypto');
      const text = `${user.user_id}:${configuration.KEY}`.repeat(20);
      context.idToken['https://example.com/ticket'] = [
        createHash('sha1').update(text, 'utf8').digest('hex').slice(0, 12),
        createHash('sha256').update(text).digest().toString('base64'),
      ];
      callback(null, user, context);
    },
    {},
  ],
  'an address to continue at': [
    function (user, context, callback) {
      const url = require('url');
      const querystring = require('querystring');
      const query = querystring.stringify({ id: user.user_id, tags: ['a b', 'c&d'], empty: '' });
      const target = new URL('https://example.com/welcome?' + query);
      context.idToken['https://example.com/next'] = [
        target.hostname, target.pathname, target.searchParams.get('id'), target.searchParams.getAll('tags').length,
        url.parse('https://a.example.com:8443/x?y=z').port, querystring.parse('a=1&a=2&b=%20c').a.length,
        new URLSearchParams({ a: 'ü ö', b: '1+1' }).toString(),
      ];
      callback(null, user, context);
    },
    {},
  ],
  'redirect to a form': [
    function (user, context, callback) {
      if (!user.user_metadata.consent) {
        context.redirect = { url: 'https://example.com/consent?' + new URLSearchParams({ u: user.user_id }) };
      }
      callback(null, user, context);
    },
    {}, { user: { user_metadata: { consent: true } } },
  ],
  'ask a service': [
    async function (user, context, callback) {
      try {
        const response = await fetch(configuration.SERVICE + '/people/' + encodeURIComponent(user.email), {
          headers: { authorization: 'Bearer ' + configuration.TOKEN },
        });
        if (!response.ok) return callback(new Error('service said ' + response.status));
        const person = await response.json();
        context.idToken['https://example.com/from_service'] = [person.path, person.authorization];
        return callback(null, user, context);
      } catch (error) {
        return callback(new Error('service unreachable'));
      }
    },
    {}, { user: { email: 'none' } },
  ],
  'tell a service': [
    function (user, context, callback) {
      const body = JSON.stringify({ who: user.email, where: context.request.ip });
      fetch(configuration.SERVICE + '/logins', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body })
        .then((response) => response.json())
        .then((told) => {
          context.idToken['https://example.com/told'] = [told.method, told.body, told.type];
          callback(null, user, context);
        })
        .catch(() => callback(null, user, context));
    },
    {},
  ],
  'ask two services at once': [
    async (user, context, callback) => {
      const [one, two] = await Promise.all(
        ['/one', '/two'].map((path) => fetch(configuration.SERVICE + path).then((r) => r.text())),
      );
      context.idToken['https://example.com/both'] = [JSON.parse(one).path, JSON.parse(two).path];
      callback(null, user, context);
    },
    {},
  ],
  'an async rule': [
    async function (user, context, callback) {
      const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
      const order = [];
      setTimeout(() => order.push('timer 2'), 4);
      setTimeout(() => order.push('timer 1'), 2);
      setImmediate(() => order.push('immediate'));
      process.nextTick(() => order.push('tick'));
      Promise.resolve().then(() => order.push('promise'));
      await wait(30);
      context.idToken['https://example.com/order'] = order.sort();
      callback(null, user, context);
    },
    {},
  ],
  'a rule that rejects': [
    async function (user, context, callback) {
      if (!user.email.endsWith('.com')) throw new UnauthorizedError('Only .com');
      callback(null, user, context);
    },
    {}, { user: { email: 'ana@example.org' } }, { user: { email: undefined } },
  ],
  'a rule with a mistake': [
    function (user, context, callback) {
      context.idToken['https://example.com/team'] = user.app_metadata.team.name.trim();
      callback(null, user, context);
    },
    {}, { user: { app_metadata: { team: { name: ' Till ' } } } },
  ],
  'a rule that calls back twice': [
    function (user, context, callback) {
      callback(null, user, context);
      callback(new Error('too late'));
    },
    {},
  ],
  'a rule that says nothing of user and context': [
    function (user, context, callback) {
      context.idToken['https://example.com/kept'] = true;
      callback();
    },
    {},
  ],
  'new objects instead of the old': [
    function (user, context, callback) {
      callback(null, { ...user, nickname: 'new' }, { ...context, idToken: { 'https://example.com/a': 1n === 1n } });
    },
    {},
  ],
  'a cache across logins': [
    function (user, context, callback) {
      global.cache = global.cache || { hits: 0 };
      global.cache.hits += 1;
      context.idToken['https://example.com/cached'] = global.cache.hits > 0;
      callback(null, user, context);
    },
    {}, {},
  ],
  'log and go on': [
    function (user, context, callback) {
      console.log('login of', user.user_id, { at: context.clientID });
      console.error(new Error('only told'));
      callback(null, user, context);
    },
    {},
  ],
  'text in many languages': [
    function (user, context, callback) {
      const name = user.name || '';
      context.idToken['https://example.com/text'] = [
        name.normalize('NFD').replace(/[\u0300-\u036f]/g, ''), name.toUpperCase(), [...name].length, name.length,
        /^\p{Lu}\p{L}+/u.test(name), name.padEnd(8, '·'), [...name].at(-1), name.replaceAll('e', '3'), escape(name),
        encodeURIComponent(name), name.localeCompare(name), 'ß'.toUpperCase(), 'İ'.toLowerCase().length,
      ];
      callback(null, user, context);
    },
    { user: { name: 'Élodie 😀' } }, { user: { name: 'Ångström' } },
  ],
  'numbers and dates': [
    function (user, context, callback) {
      const at = new Date(Date.UTC(2026, 1, 29, 25, 61, 61, 1001));
      context.idToken['https://example.com/sums'] = [
        0.1 + 0.2, (1234.5678).toFixed(2), (255).toString(36), parseInt('08', 10), Number(''), Number('1e3'),
        Math.max(), -0, [3, 20, 100].sort(), [1, 2, 3].includes(NaN), at.toISOString(), at.getDay(), at.valueOf(),
        new Date('2026-11-25').getTime(), new Date('2026-11-25T00:00:00').getTime(), typeof Date.now(),
        JSON.stringify(new Date(0)), new Date(NaN).getTime(), isNaN(new Date('x')), 2 ** 53 + 1, 7 % -3, -7 % 3, ~~-1.5,
      ];
      callback(null, user, context);
    },
    {},
  ],
  'old ways of writing': [
    function (user, context, callback) {
      var self = this, parts = arguments.length, text = '';
      for (var name in { b: 1, a: 2, 1: 3 }) text += name;
      with ({ inner: 'with' }) text += inner;
      implicit = text;
      label: for (var i = 0; i < 3; i++) for (;;) continue label;
      context.idToken['https://example.com/old'] = [typeof self, parts, implicit, i, typeof hoisted, '\x41\101'];
      function hoisted() {}
      callback(null, user, context);
    },
    {},
  ],
};

module.exports = rules;
